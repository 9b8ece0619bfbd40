"""What happened in a run, in order, as nobody inside of it could know: what the checks hold the run to.

The world and its processes note here as they go; nothing in a run reads it. Moments are those of the world: one counter
for everything, so what has a lower one came first.
"""

from collections.abc import Mapping

import msgspec

from grit.core.ids import Lsn, Offset, Realm, TxnId
from grit.core.messages import ReadAnswered
from grit.core.outcome import Outcome
from grit.core.queries import Query


class Said(msgspec.Struct, frozen=True):
    """Who told which outcome, to whomever."""

    moment: int
    speaker: str
    outcome: Outcome


class Shown(msgspec.Struct, frozen=True):
    """What a DBTM answered to a read."""

    realm: Realm
    queries: tuple[Query, ...]
    answer: ReadAnswered


class Chronicle:
    """The notes of one run.

    Attributes:
        landed: log -> the moment of the record at each offset.
        admitted: (realm, Lsn, txid) -> when a leader certified that local and gave it that Lsn.
        said: Every outcome that a role told anybody.
        shown: Every read that was answered.
        refused: Whose clients were told that they have no effect.
        slips: Invariants that were seen broken as it happened, in words.
    """

    def __init__(self) -> None:
        self.landed: dict[str, dict[Offset, int]] = {}
        self.admitted: dict[tuple[Realm, Lsn, TxnId], int] = {}
        self.said: list[Said] = []
        self.shown: list[Shown] = []
        self.refused: list[TxnId] = []
        self.slips: list[str] = []

    def slip(self, invariant: str, text: str) -> None:
        """Note that an invariant was broken; once is enough."""
        line = f"{invariant}: {text}"
        if line not in self.slips:
            self.slips.append(line)

    def expect_within(self, who: str, counts: Mapping[str, int], bounds: Mapping[str, int]) -> None:
        """Note every table that holds more than its bound (I12)."""
        for name, most in bounds.items():
            if counts[name] > most:
                self.slip("I12", f"{who}: {counts[name]} in its table `{name}`, the bound is {most}")
