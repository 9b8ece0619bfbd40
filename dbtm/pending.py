"""Pending parts: globals that were voted for and have no outcome yet, with all they read and would write.

Every test here is against *undecided* writes: a write may or may not happen, and so may every other pending
write of the same record. Both images of a write count, with its own fields as they were and as it sets
them; what another undecided write of the record changes, and what is incremented, is unknown, and unknown
counts as a match (protocol.md section 4). Images are made from the newest value of the record at the time of
the question, because a decided write to other fields may have come between.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import TypeVar

import msgspec

from dbtm.constraints import Planned
from grit.core.ids import Collection, Epoch, Key, Millis, TxnId
from grit.core.parts import KeyRead, Part, PredicateRead, Read, Write, after_image, touched_fields
from grit.core.predicate import may_match
from grit.core.values import decode_record

RecordId = tuple[Collection, Key]
_K = TypeVar("_K")
_V = TypeVar("_V")


class PendingPart(msgspec.Struct, frozen=True, gc=False):
    """One undecided part.

    `reads`: its own and those of its constraints. `writes`: empty for a participant that only read, and for
    one that answered an error about the data. `plans`: of `writes`, on the images of the vote.
    """

    txid: TxnId
    gtm_epoch: Epoch
    round: int
    encoded: bytes
    part: Part
    reads: tuple[Read, ...]
    writes: tuple[Write, ...]
    since: Millis
    trace: str
    origin: str
    plans: Mapping[RecordId, Planned] = {}


class Pending:
    """All undecided parts of a realm, in the order of their votes, indexed by what they touch.

    `wanted`: those whose outcome something waits for or has waited for, in the order in which it began to.
    """

    def __init__(self) -> None:
        self.parts: dict[TxnId, PendingPart] = {}
        self.wanted: dict[TxnId, None] = {}
        self._images: dict[RecordId, bytes | None] = {}
        self._writers: dict[RecordId, dict[TxnId, Write]] = {}
        self._written: dict[Collection, dict[RecordId, None]] = {}
        self._key_readers: dict[RecordId, dict[TxnId, list[KeyRead]]] = {}
        self._predicate_readers: dict[Collection, dict[TxnId, list[PredicateRead]]] = {}

    def add(self, part: PendingPart, images: Mapping[RecordId, bytes | None]) -> None:
        """Take a part that was voted for; `images` holds the newest image of every record that it writes."""
        assert part.txid not in self.parts
        self.parts[part.txid] = part
        for write in part.writes:
            record = (write.collection, write.key)
            self._images[record] = images[record]
            self._writers.setdefault(record, {})[part.txid] = write
            self._written.setdefault(write.collection, {})[record] = None
        for read in part.reads:
            if isinstance(read, KeyRead):
                self._key_readers.setdefault((read.collection, read.key), {}).setdefault(part.txid, []).append(read)
            else:
                self._predicate_readers.setdefault(read.collection, {}).setdefault(part.txid, []).append(read)

    def remove(self, txid: TxnId) -> PendingPart | None:
        """Take a part out: it is decided. None: it is not here."""
        part = self.parts.pop(txid, None)
        if part is None:
            return None
        self.wanted.pop(txid, None)
        for write in part.writes:
            record = (write.collection, write.key)
            _discard(self._writers, record, txid)
            if record not in self._writers:
                self._written[write.collection].pop(record, None)
                self._images.pop(record, None)
        for read in part.reads:
            if isinstance(read, KeyRead):
                _discard(self._key_readers, (read.collection, read.key), txid)
            else:
                _discard(self._predicate_readers, read.collection, txid)
        return part

    def note(self, collection: Collection, key: Key, image: bytes | None) -> None:
        """Learn that a record got a new image."""
        if (collection, key) in self._images:
            self._images[collection, key] = image

    def image(self, collection: Collection, key: Key) -> bytes | None:
        """Return the newest image of a record that an undecided part writes."""
        return self._images[collection, key]

    def want(self, txids: Iterable[TxnId]) -> None:
        """Note that something waits for the outcome of these pending parts, or was refused because there is none."""
        self.wanted.update(dict.fromkeys(txids))

    def writers_of(self, collection: Collection, key: Key) -> Iterable[TxnId]:
        """Return the undecided parts that write the record."""
        return self._writers.get((collection, key), ())

    def writers_that_disturb(self, reads: Iterable[Read]) -> list[TxnId]:
        """Return the parts whose writes would change what was read, in order of their votes."""
        found: set[TxnId] = set()
        for read in reads:
            for record in self._records_of(read):
                for txid, write in self._writers[record].items():
                    if txid not in found and self._may_disturb(write, txid, read):
                        found.add(txid)
        return self._in_order(found)

    def readers_disturbed_by(self, plans: Iterable[Planned]) -> list[TxnId]:
        """Return the parts that read what these writes would change, in order of their votes."""
        found: set[TxnId] = set()
        for planned in plans:
            write = planned.write
            for txid, reads in self._key_readers.get((write.collection, write.key), {}).items():
                if any(_touches(write, read) for read in reads):
                    found.add(txid)
            for txid, queries in self._predicate_readers.get(write.collection, {}).items():
                if any(self._write_may_disturb(planned, read) for read in queries):
                    found.add(txid)
        return self._in_order(found)

    def writers_of_same(self, plans: Iterable[Planned]) -> list[TxnId]:
        """Return the parts that write a common field of a common record, increments of both sides excepted."""
        found: set[TxnId] = set()
        for planned in plans:
            for txid, other in self._writers.get((planned.write.collection, planned.write.key), {}).items():
                if _overlap(planned.write, other):
                    found.add(txid)
        return self._in_order(found)

    def incrementers_of_same(self, plans: Iterable[Planned]) -> list[TxnId]:
        """Return the parts that increment a field that these increment."""
        found: set[TxnId] = set()
        for planned in plans:
            fields = {field for field, _ in planned.write.deltas}
            for txid, other in self._writers.get((planned.write.collection, planned.write.key), {}).items():
                if any(field in fields for field, _ in other.deltas):
                    found.add(txid)
        return self._in_order(found)

    def deltas_on(self, collection: Collection, key: Key, field: str) -> list[int]:
        """Return the undecided increments of a field."""
        writers = self._writers.get((collection, key), {})
        return [delta for write in writers.values() for name, delta in write.deltas if name == field]

    def _records_of(self, read: Read) -> Sequence[RecordId]:
        if isinstance(read, KeyRead):
            record = (read.collection, read.key)
            return (record,) if record in self._writers else ()
        return tuple(self._written.get(read.collection, ()))

    def _may_disturb(self, write: Write, writer: TxnId, read: Read) -> bool:
        """Tell whether an undecided write would change what was read."""
        if isinstance(read, KeyRead):
            return _touches(write, read)
        unknown = self._unknown_fields(write, writer)
        if unknown is None:
            return True
        newest = self._images.get((write.collection, write.key))
        before = None if newest is None else decode_record(newest)
        images = (before, after_image(write, before))
        return any(image is not None and may_match(read.where, image, unknown) for image in images)

    def _write_may_disturb(self, planned: Planned, read: PredicateRead) -> bool:
        """Tell whether a write that is being certified would change what a pending part read."""
        unknown = self._unknown_fields(planned.write, None)
        if unknown is None:
            return True
        images = (planned.before, planned.after)
        return any(image is not None and may_match(read.where, image, unknown) for image in images)

    def _unknown_fields(self, write: Write, writer: TxnId | None) -> frozenset[str] | None:
        """Return the fields of the record that undecided writes leave open, beside what `write` sets; None = any."""
        unknown: set[str] = {field for field, _ in write.deltas}
        for txid, other in self._writers.get((write.collection, write.key), {}).items():
            if txid != writer:
                touched = touched_fields(other)
                if touched is None:
                    return None
                unknown |= touched
        return frozenset(unknown)

    def _in_order(self, txids: set[TxnId]) -> list[TxnId]:
        return [txid for txid in self.parts if txid in txids] if txids else []


def _discard(index: dict[_K, dict[TxnId, _V]], where: _K, txid: TxnId) -> None:
    """Take a transaction out of an index, and the place itself when it was the last; twice is fine."""
    there = index.get(where)
    if there is not None:
        there.pop(txid, None)
        if not there:
            del index[where]


def _touches(write: Write, read: KeyRead) -> bool:
    """Tell whether an undecided write may change what a read of the same record looked at."""
    touched = touched_fields(write)
    if touched is None:
        return True
    if read.commutes:
        touched = touched.difference(field for field, _ in write.deltas)
    return bool(touched) if read.fields is None else not touched.isdisjoint(read.fields)


def _overlap(one: Write, other: Write) -> bool:
    """Tell whether two writes of a record do not commute: a common field that is not incremented by both."""
    first, second = touched_fields(one), touched_fields(other)
    if first is None or second is None:
        return True
    both = {field for field, _ in one.deltas} & {field for field, _ in other.deltas}
    return bool((first & second) - both)
