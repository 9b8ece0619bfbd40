"""A database in memory: the model that the other adapters are held to, and the store of the simulator.

It does nothing by itself and never waits: the coroutines of the ports call the plain methods beside them, which
the simulator calls directly. Rows are shared with the caller, who treats them as immutable.
"""

from collections.abc import Sequence

from grit.core.catalog import RealmDef
from grit.core.errors import StoreRefused
from grit.core.ids import Collection, Key
from grit.core.ordering import ordered
from grit.core.predicate import matches
from grit.core.queries import Cursor, FindRows, GetRows, Query, RowWrite, StoreAnswer
from grit.core.values import Row


class MemoryStore:
    """Both ports of one realm's database; whoever shall see the same data shares the object."""

    def __init__(self, realm: RealmDef) -> None:
        self._realm = realm
        self._cursor: Cursor | None = None
        self._rows: dict[Collection, dict[Key, Row]] = {name: {} for name in realm.collections}

    def read_now(self, queries: Sequence[Query]) -> StoreAnswer:
        """Answer at once, as `read` does; `before` and `after` are the same."""
        return StoreAnswer(self._cursor, tuple(self._answer(query) for query in queries), self._cursor)

    def apply_now(self, expected: Cursor | None, writes: Sequence[RowWrite], reached: Cursor) -> bool:
        """Apply at once, as `apply` does."""
        if self._cursor != expected:
            return False
        targets = [self._collection(write.collection) for write in writes]
        for rows, write in zip(targets, writes, strict=True):
            if write.row is None:
                rows.pop(write.key, None)
            else:
                rows[write.key] = {field: value for field, value in write.row.items() if value is not None}
        self._cursor = reached
        return True

    def cursor_now(self) -> Cursor | None:
        """Return the stored cursor."""
        return self._cursor

    async def read(self, queries: Sequence[Query]) -> StoreAnswer:
        """See `StoreReader.read`."""
        return self.read_now(queries)

    async def snapshot(self, queries: Sequence[Query]) -> StoreAnswer:
        """See `StoreReader.snapshot`."""
        return self.read_now(queries)

    async def prepare(self) -> None:
        """Nothing is missing."""

    async def cursor(self) -> Cursor | None:
        """See `StoreWriter.cursor`."""
        return self._cursor

    async def apply(self, expected: Cursor | None, writes: Sequence[RowWrite], reached: Cursor) -> bool:
        """See `StoreWriter.apply`."""
        return self.apply_now(expected, writes, reached)

    async def close(self) -> None:
        """Nothing to release; the data stays."""

    def _answer(self, query: Query) -> tuple[tuple[Key, Row], ...]:
        rows = self._collection(query.collection)
        if isinstance(query, GetRows):
            return tuple((key, rows[key]) for key in query.keys if key in rows)
        return self._find(rows, query)

    def _find(self, rows: dict[Key, Row], query: FindRows) -> tuple[tuple[Key, Row], ...]:
        found = [(key, row) for key, row in rows.items() if matches(query.where, row)]
        return tuple(ordered(found, query.order_by)[: query.limit])

    def _collection(self, name: Collection) -> dict[Key, Row]:
        rows = self._rows.get(name)
        if rows is None:
            raise StoreRefused(f"realm {self._realm.name} has no collection {name}: does everybody use one grit.yaml?")
        return rows
