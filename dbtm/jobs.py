"""Jobs: work of a DBTM that may have to look into the database before it can be done in one atomic step.

A job pins the overlay before it looks, so that what it was told stays repairable: a fact from the database
holds for the state at the pin, and everything durable above it is in the overlay, everything in flight in the
history. A job that finds something missing looks again; when nothing is missing it runs to its end in the
same step.
"""

from collections.abc import Callable, Iterable, Mapping

import msgspec
from msgspec import UNSET, UnsetType

from dbtm.certify import newest_rows
from dbtm.effects import Effect, ReadStore
from dbtm.ledger import Ledger
from dbtm.pending import RecordId
from grit.core.ids import Collection, Epoch, Key, LinkId, Lsn, Millis, TxnId
from grit.core.parts import Part, PredicateRead
from grit.core.queries import FindRows, GetRows, Query, StoreAnswer
from grit.core.values import Row, encode_record


class Facts:
    """What a job was told by the database, brought up to date whenever it is asked."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._pin: Lsn | None = None
        self._images: dict[RecordId, bytes | None] = {}
        self._rows: dict[PredicateRead, Mapping[Key, Row]] = {}
        self._asked: list[GetRows | PredicateRead] = []

    @property
    def pinned(self) -> Lsn | None:
        """Where the overlay is pinned; None before the first look."""
        return self._pin

    def ask(self, missing: Iterable[RecordId | PredicateRead]) -> tuple[Query, ...]:
        """Pin, and return the queries that tell what is missing: one for the records of each collection, then the others."""
        if self._pin is None:
            self._pin = self._ledger.overlay.pin()
        keys: dict[Collection, list[Key]] = {}
        reads: list[PredicateRead] = []
        for one in dict.fromkeys(missing):
            if isinstance(one, PredicateRead):
                reads.append(one)
            else:
                keys.setdefault(one[0], []).append(one[1])
        records = [GetRows(collection, tuple(wanted)) for collection, wanted in keys.items()]
        self._asked = [*records, *reads]
        return (*records, *(FindRows(read.collection, read.where) for read in reads))

    def told(self, answer: StoreAnswer) -> None:
        """Take the answer to what was asked."""
        for asked, rows in zip(self._asked, answer.rows, strict=True):
            if isinstance(asked, PredicateRead):
                self._rows[asked] = dict(rows)
            else:
                found = dict(rows)
                for key in asked.keys:
                    row = found.get(key)
                    self._images[asked.collection, key] = None if row is None else encode_record(row)

    def newest(self, collection: Collection, key: Key) -> bytes | UnsetType | None:
        """Return the newest image of a record, in flight included; UNSET = not known."""
        image = self._ledger.images.newest(collection, key)
        if image is not UNSET:
            return image
        if self._pin is None or (collection, key) not in self._images:
            return UNSET
        overlaid = self._ledger.overlay.get(collection, key)
        image = overlaid[1] if overlaid is not None and overlaid[0] > self._pin else self._images[collection, key]
        self._ledger.images.note(collection, key, image)
        return image

    def rows_of(self, read: PredicateRead) -> Mapping[Key, Row] | None:
        """Return the newest rows that a predicate may match, in flight included; None = not known."""
        stored = self._rows.get(read)
        if stored is None or self._pin is None:
            return None
        overlaid = self._ledger.overlay.above(read.collection, self._pin)
        in_flight = self._ledger.history.changes_above(read.collection, self._ledger.tail)
        return newest_rows(stored, overlaid, in_flight)

    def done(self) -> None:
        """Release the pin; may be called again."""
        if self._pin is not None:
            self._ledger.overlay.unpin(self._pin)
            self._pin = None


class LocalJob(msgspec.Struct, eq=False):
    """The commit of a local transaction. `began`: when it came, by this DBTM's clock."""

    link: LinkId
    id: int
    txid: TxnId
    encoded: bytes
    part: Part
    trace: str
    origin: str
    began: Millis
    facts: Facts


class Ballot(msgspec.Struct, frozen=True, gc=False):
    """One part of a round; `problem`: why its bytes are no part, "" when they are."""

    txid: TxnId
    encoded: bytes
    part: Part
    trace: str
    origin: str
    problem: str = ""


class VoteJob(msgspec.Struct, eq=False):
    """The certification of a round. `decided`: ballots whose outcome came before their turn."""

    gtm_epoch: Epoch
    round: int
    ballots: tuple[Ballot, ...]
    began: Millis
    facts: Facts
    decided: set[TxnId] = msgspec.field(default_factory=set)


class StoreDesk:
    """Questions to the database that are under way, and what to do with the answers."""

    def __init__(self, ledger: Ledger, effects: list[Effect]) -> None:
        self._ledger = ledger
        self._effects = effects
        self._last = 0
        self._waiting: dict[int, _Question] = {}

    def ask(
        self, queries: tuple[Query, ...], then: Callable[[StoreAnswer], None], failed: Callable[[str], None]
    ) -> None:
        """Ask, and call one of the two when the answer comes; never within this call."""
        self._last += 1
        self._waiting[self._last] = _Question(self._ledger.overlay.applied, then, failed)
        self._effects.append(ReadStore(self._last, queries))

    def answered(self, question_id: int, answer: StoreAnswer) -> bool:
        """Deliver an answer; False: the database went back behind what it held when it was asked.

        What was dropped meanwhile is not delivered.
        """
        question = self._waiting.pop(question_id, None)
        if question is None:
            return True
        if (0 if answer.before is None else answer.before.lsn) < question.applied:
            return False
        question.then(answer)
        if answer.after is not None:
            self._ledger.overlay.applied_through(answer.after.lsn)
        return True

    def failed(self, question_id: int, reason: str) -> None:
        """Deliver a failure."""
        question = self._waiting.pop(question_id, None)
        if question is not None:
            question.failed(reason)

    def drop(self) -> None:
        """Forget everything under way."""
        self._waiting.clear()


class _Question(msgspec.Struct, frozen=True, eq=False):
    """`applied`: what the database was known to hold when it was asked."""

    applied: Lsn
    then: Callable[[StoreAnswer], None]
    failed: Callable[[str], None]
