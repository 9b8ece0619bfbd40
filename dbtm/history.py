"""History: every write above the low watermark, so that later reads can be judged against it.

Writes enter in Lsn order, when the Lsn is given ("in flight"), and leave from the old end, by number; what a
write did is exact, because its images were made when it got its Lsn. Nothing below `floor` is remembered:
who read below it gets `TOO_OLD` (I9).
"""

from collections import deque
from collections.abc import Iterable, Sequence

import msgspec

from grit.core.ids import Collection, Key, Lsn, Realm, TxnId
from grit.core.outcome import Conflict
from grit.core.parts import KeyRead, PredicateRead, Read
from grit.core.predicate import matches
from grit.core.values import decode_record


class Change(msgspec.Struct, frozen=True, gc=False):
    """What one write did to one record.

    Attributes:
        fields: The fields whose value changed; None: the record came or went.
        deltas: Those of `fields` that were only incremented.
        before, after: The whole images, canonical; None = absent.
    """

    lsn: Lsn
    txid: TxnId
    origin: str
    collection: Collection
    key: Key
    fields: frozenset[str] | None
    deltas: frozenset[str]
    before: bytes | None
    after: bytes | None


RECENT_KEYS = 8_192
"""Keys of one generation of recent writes: small enough to stay in the processor's cache."""


class _Lane:
    """The changes of one collection, by key and in order.

    Most reads are a few transactions old and touch nothing that was written since. To tell so from `by_key` would
    touch memory at random, ten times a transaction, the more keys the slower. So the keys written last stand in two
    small generations too, with the Lsn of the write. They may name what was forgotten since, never miss a write:
    who is not there was not written; who is there is looked up.
    """

    __slots__ = ("by_key", "in_order", "older", "older_since", "recent", "recent_since")

    def __init__(self, since: Lsn) -> None:
        self.by_key: dict[Key, list[Change]] = {}
        self.in_order: deque[Change] = deque()
        self.recent: dict[Key, Lsn] = {}
        self.recent_since = since
        self.older: dict[Key, Lsn] = {}
        self.older_since = since

    def note(self, key: Key, lsn: Lsn) -> None:
        """Note a write in the newest generation; a full one becomes the older."""
        self.recent[key] = lsn
        if len(self.recent) >= RECENT_KEYS:
            self.older, self.recent = self.recent, {}
            # Some writes of `lsn` may stand in either: the new generation is whole above it only.
            self.older_since, self.recent_since = self.recent_since, lsn

    def may_have_newer(self, key: Key, since: Lsn) -> bool:
        """Tell whether the record may have been written above `since`; False is certain."""
        if self.recent.get(key, since) > since:
            return True
        if since >= self.recent_since:
            return False
        return since < self.older_since or self.older.get(key, since) > since


class History:
    """The changes with an Lsn in (floor, newest]; `changes_max` bounds their number (I12)."""

    def __init__(self, changes_max: int) -> None:
        self.floor = Lsn(0)
        self.newest = Lsn(0)
        self._changes_max = changes_max
        self._lanes: dict[Collection, _Lane] = {}
        self._in_order: deque[Change] = deque()

    def begin(self, lsn: Lsn) -> None:
        """Begin behind `lsn`: nothing up to there is remembered."""
        assert not self._in_order, "history begins once"
        self.floor = self.newest = lsn

    def add(self, lsn: Lsn, changes: Iterable[Change]) -> None:
        """Remember the changes of the transaction that got `lsn`, the next one; drop the oldest beyond the limit."""
        assert lsn == self.newest + 1, f"Lsn {lsn} after {self.newest}"
        self.newest = lsn
        for change in changes:
            lane = self._lanes.get(change.collection)
            if lane is None:
                lane = self._lanes[change.collection] = _Lane(Lsn(lsn - 1))
            written = lane.by_key.get(change.key)
            if written is None:
                lane.by_key[change.key] = [change]
            else:
                written.append(change)
            lane.in_order.append(change)
            lane.note(change.key, lsn)
            self._in_order.append(change)

    def trim(self, durable: Lsn) -> None:
        """Forget the oldest beyond the limit, whole transactions, never one that is in flight."""
        while len(self._in_order) > self._changes_max and self._in_order[0].lsn <= durable:
            self.floor = self._in_order[0].lsn
            while self._in_order and self._in_order[0].lsn == self.floor:
                self._drop(self._in_order.popleft(), oldest=True)

    def truncate(self, above: Lsn) -> None:
        """Forget what was in flight above `above`: its append turned out void."""
        while self._in_order and self._in_order[-1].lsn > above:
            self._drop(self._in_order.pop(), oldest=False)
        self.newest = min(self.newest, above)

    def _drop(self, change: Change, *, oldest: bool) -> None:
        lane = self._lanes[change.collection]
        written = lane.by_key[change.key]
        dropped = (written.pop(0), lane.in_order.popleft()) if oldest else (written.pop(), lane.in_order.pop())
        assert dropped[0] is change
        assert dropped[1] is change
        if not written:
            del lane.by_key[change.key]

    def changes_of(self, collection: Collection, key: Key) -> Sequence[Change]:
        """Return the remembered changes of a record, oldest first."""
        lane = self._lanes.get(collection)
        return () if lane is None else lane.by_key.get(key, ())

    def changes_above(self, collection: Collection, lsn: Lsn) -> list[Change]:
        """Return the changes of a collection above `lsn`, newest first."""
        lane = self._lanes.get(collection)
        found: list[Change] = []
        for change in reversed(lane.in_order) if lane is not None else ():
            if change.lsn <= lsn:
                break
            found.append(change)
        return found

    def find_stale_read(self, reads: Iterable[Read], since: Lsn, upto: Lsn | None = None) -> tuple[Read, Change] | None:
        """Return a read, exact at `since`, that a write in (since, upto] made stale, with that write.

        The first such read in the order given, and the newest such write; None: all still hold. In-flight
        writes count as committed: if their append is void, so is the record of whoever counted on this.
        """
        if self.newest <= since:
            return None
        lanes = self._lanes
        for read in reads:
            lane = lanes.get(read.collection)
            if lane is None or (isinstance(read, KeyRead) and not lane.may_have_newer(read.key, since)):
                continue
            changes = lane.by_key.get(read.key) if isinstance(read, KeyRead) else lane.in_order
            if changes and changes[-1].lsn > since:
                change = _newest_that_disturbs(changes, read, since, upto)
                if change is not None:
                    return read, change
        return None

    def size(self) -> int:
        """Return the number of changes remembered."""
        return len(self._in_order)


def _newest_that_disturbs(changes: Sequence[Change], read: Read, since: Lsn, upto: Lsn | None) -> Change | None:
    for change in reversed(changes):
        if change.lsn <= since:
            return None
        if (upto is None or change.lsn <= upto) and disturbs(change, read):
            return change
    return None


def disturbs(change: Change, read: Read) -> bool:
    """Tell whether a decided write changed what was read; the caller has matched the collection, and the key of a KeyRead."""
    if isinstance(read, KeyRead):
        if change.fields is None:
            return True
        fields = change.fields - change.deltas if read.commutes else change.fields
        return bool(fields) if read.fields is None else not fields.isdisjoint(read.fields)
    return _disturbs_predicate(change, read)


def _disturbs_predicate(change: Change, read: PredicateRead) -> bool:
    was = change.before is not None and matches(read.where, decode_record(change.before))
    is_now = change.after is not None and matches(read.where, decode_record(change.after))
    if was != is_now:
        return True
    if not was:
        return False
    return change.fields is None or read.fields is None or not change.fields.isdisjoint(read.fields)


def conflict_of(read: Read, change: Change, realm: Realm, position: Lsn) -> Conflict:
    """Return what an abort says: which read, changed by whom, where."""
    return Conflict(
        realm=realm,
        collection=change.collection,
        key=change.key,
        winner=change.txid,
        origin=change.origin,
        lsn=change.lsn,
        position=position,
        predicate=isinstance(read, PredicateRead),
    )
