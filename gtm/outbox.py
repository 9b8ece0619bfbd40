"""What is admitted and not yet folded: transactions that wait for the log, and the one COMMITS record in flight.

One append at a time: while it is under way, what is evaluated gathers, and the next record takes it. So the fold's own
numbers are right for the record that is built: nothing else of this epoch can come between.
"""

from collections import deque
from collections.abc import Sequence

from grit.core.fold import GtlFold
from grit.core.ids import Csn, Epoch, Millis, Realm
from grit.core.messages import Votes
from grit.core.records import CommitEntry, Commits, PartEntry
from gtm.config import GtmConfig
from gtm.rounds import Round, Transaction


class _Admitted:
    """A transaction with what its entry needs, but for the numbers."""

    __slots__ = ("parts", "round", "txn")

    def __init__(self, round_number: int, txn: Transaction, ballots: dict[Realm, Votes]) -> None:
        self.round = round_number
        self.txn = txn
        self.parts = [
            PartEntry(realm, ballots[realm].dbtm_epoch, ballots[realm].gtm_epoch, Csn(0), part)
            for realm, part in txn.request.parts
        ]


class Outbox:
    """Bounded by `rounds_evaluated_max` rounds of `round_max` transactions each."""

    def __init__(self, config: GtmConfig) -> None:
        self._config = config
        self._waiting: deque[_Admitted] = deque()
        self._sent: list[_Admitted] = []
        self._in_flight: Commits | None = None

    @property
    def rounds(self) -> int:
        """How many evaluated rounds are on their way into the log."""
        return len({admitted.round for admitted in (*self._sent, *self._waiting)})

    @property
    def in_flight(self) -> int:
        """How many transactions are in the record in flight."""
        return len(self._sent)

    def __len__(self) -> int:
        return len(self._sent) + len(self._waiting)

    @property
    def is_full(self) -> bool:
        """Tell whether no other round may be evaluated now."""
        return len(self) > 0 and self.rounds >= self._config.rounds_evaluated_max

    def add(self, voted: Round, txns: Sequence[Transaction]) -> None:
        """Take the admitted of a round, in their order."""
        self._waiting.extend(_Admitted(voted.number, txn, voted.ballots) for txn in txns)

    def build(self, fold: GtlFold, epoch: Epoch, clock: Millis) -> Commits | None:
        """Return the next record to append; None while one is in flight, or when nothing waits.

        Its time is `clock`; prev_csn continues the fold's last Csn of each realm through the record.
        """
        if self._in_flight is not None or not self._waiting:
            return None
        self._take()
        last_csn: dict[Realm, Csn] = {}
        entries = []
        for place, admitted in enumerate(self._sent):
            csn = Csn(fold.next_csn + place)
            parts = []
            for part in admitted.parts:
                prev_csn = last_csn.get(part.realm, fold.last_csn.get(part.realm, Csn(0)))
                parts.append(PartEntry(part.realm, part.dbtm_epoch, part.gtm_epoch, prev_csn, part.part))
                last_csn[part.realm] = csn
            request = admitted.txn.request
            entries.append(
                CommitEntry(request.txid, tuple(parts), request.key, request.result, request.trace, request.origin)
            )
        self._in_flight = Commits(epoch, fold.next_csn, clock, tuple(entries))
        return self._in_flight

    def _take(self) -> None:
        size = 0
        while self._waiting and len(self._sent) < self._config.record_entries_max:
            size += self._waiting[0].txn.bytes_held
            if self._sent and size > self._config.record_bytes_max:
                return
            self._sent.append(self._waiting.popleft())

    def is_in_flight(self, record: Commits) -> bool:
        """Tell whether `record`, which was just folded, is the one that was in flight."""
        return record == self._in_flight

    def land(self) -> list[Transaction]:
        """The record in flight is decided: folded, or certainly not appended. Return its transactions, in order."""
        landed = [admitted.txn for admitted in self._sent]
        self._sent.clear()
        self._in_flight = None
        return landed

    def take_all(self) -> list[Transaction]:
        """Return everything, in order, and forget it: another epoch begins."""
        everything = self.land() + [admitted.txn for admitted in self._waiting]
        self._waiting.clear()
        return everything
