"""Images: the newest value of every record that was lately read or written.

Coherent because every write passes the leader: a write updates it when it gets its Lsn. Votes, increments,
before-images and hot reads are answered from it; only misses touch the database.
"""

from msgspec import UNSET, UnsetType

from dbtm.history import History
from grit.core.ids import Collection, Key, Lsn


class Images:
    """The history's newest images, then a bounded cache, least recently used out first (I12)."""

    def __init__(self, history: History, records_max: int) -> None:
        self._history = history
        self._records_max = records_max
        self._cache: dict[tuple[Collection, Key], bytes | None] = {}

    def newest(self, collection: Collection, key: Key) -> bytes | UnsetType | None:
        """Return the newest image, in flight included; None = absent, UNSET = ask the database."""
        changes = self._history.changes_of(collection, key)
        return changes[-1].after if changes else self._cached(collection, key)

    def durable(self, collection: Collection, key: Key, tail: Lsn) -> bytes | UnsetType | None:
        """Return the newest durable image: as `newest`, less what is in flight above `tail`."""
        changes = self._history.changes_of(collection, key)
        for change in reversed(changes):
            if change.lsn <= tail:
                return change.after
        return changes[0].before if changes else self._cached(collection, key)

    def note(self, collection: Collection, key: Key, image: bytes | None) -> None:
        """Take a newest image: of a write, or of a read that the caller brought up to date."""
        self._cache.pop((collection, key), None)
        self._cache[collection, key] = image
        if len(self._cache) > self._records_max:
            del self._cache[next(iter(self._cache))]

    def forget(self) -> None:
        """Forget everything that is not in the history: writes in flight turned out void."""
        self._cache.clear()

    def _cached(self, collection: Collection, key: Key) -> bytes | UnsetType | None:
        image = self._cache.get((collection, key), UNSET)
        if image is not UNSET:
            self._cache[collection, key] = self._cache.pop((collection, key))
        return image
