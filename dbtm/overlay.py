"""Overlay: the newest durable value of every record written above the player's position in the database.

A read takes rows from the database, which may be anywhere behind, and lets these values replace, add and
remove rows; the result is exact at the durable tail (protocol.md section 4). A value may leave only when
the player is known to have applied it *and* no read that began before that is still under way: evicted
between the two looks of a read, it would be a lost update.
"""

from collections import Counter, deque
from collections.abc import Iterable, Mapping

from grit.core.ids import Collection, Key, Lsn


class Overlay:
    """Values above `applied`, the Lsn that the database is known to hold durably."""

    def __init__(self) -> None:
        self.applied = Lsn(0)
        self._values: dict[Collection, dict[Key, tuple[Lsn, bytes | None]]] = {}
        self._in_order: deque[tuple[Lsn, Collection, Key]] = deque()
        self._pins: Counter[Lsn] = Counter()

    @property
    def oldest(self) -> Lsn | None:
        """The Lsn of the oldest value that is held; None: the database has them all."""
        return self._in_order[0][0] if self._in_order else None

    def add(self, lsn: Lsn, collection: Collection, key: Key, after: bytes | None) -> None:
        """Take the durable value of a record; Lsns come in order."""
        if lsn <= self.applied and not self._pins:
            return
        self._values.setdefault(collection, {})[key] = (lsn, after)
        self._in_order.append((lsn, collection, key))

    def pin(self) -> Lsn:
        """Keep every value above the present `applied` until `unpin` of what this returns."""
        self._pins[self.applied] += 1
        return self.applied

    def unpin(self, pinned: Lsn) -> None:
        """End a pin."""
        self._pins[pinned] -= 1
        if not self._pins[pinned]:
            del self._pins[pinned]
        self._evict()

    def applied_through(self, lsn: Lsn) -> None:
        """Learn that the database holds everything up to `lsn`."""
        self.applied = max(self.applied, lsn)
        self._evict()

    def get(self, collection: Collection, key: Key) -> tuple[Lsn, bytes | None] | None:
        """Return (Lsn, value) of a record, value None = deleted; None = the database has the newest."""
        values = self._values.get(collection)
        return None if values is None else values.get(key)

    def above(self, collection: Collection, lsn: Lsn) -> Iterable[tuple[Key, bytes | None]]:
        """Return key and value of every record of the collection that was written above `lsn`."""
        values: Mapping[Key, tuple[Lsn, bytes | None]] = self._values.get(collection, {})
        return [(key, value) for key, (at, value) in values.items() if at > lsn]

    def __len__(self) -> int:
        """Return the number of values held."""
        return sum(len(values) for values in self._values.values())

    def _evict(self) -> None:
        floor = min(self._pins, default=self.applied)
        while self._in_order and self._in_order[0][0] <= floor:
            lsn, collection, key = self._in_order.popleft()
            values = self._values[collection]
            held = values.get(key)
            if held is not None and held[0] == lsn:
                del values[key]
                if not values:
                    del self._values[collection]
