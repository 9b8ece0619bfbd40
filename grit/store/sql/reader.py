"""Reads of a DBTM from a relational database, in a few threads."""

import asyncio
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from functools import partial

import sqlalchemy as sa

from grit.core.errors import StoreRefused
from grit.core.ids import Collection, Realm
from grit.core.queries import Query, StoreAnswer
from grit.store.hold import Hold
from grit.store.port import StoreUnavailable
from grit.store.sql.find import Found, answer
from grit.store.sql.layout import Layout, TableAccess
from grit.store.sql.position import read_position
from grit.store.sql.sqlite import is_damaged, is_transient

READERS = 3
"""So many reads are under way at once."""


class SqlReader:
    """`StoreReader` over tables.

    Position, rows and position are separate statements without a transaction around them, as on a database
    server: what a player writes in between is seen, and the overlay repairs it.
    """

    def __init__(self, realm: Realm, layouts: Iterable[Layout], engine: sa.Engine, hold: Hold | None = None) -> None:
        """Take over `engine`, which has READERS connections that need not be able to write.

        `hold` is taken with the first read and released by `close`; None: nobody swaps the file of this database.
        """
        self._realm = realm
        self._tables = {layout.definition.name: TableAccess(realm, layout) for layout in layouts}
        self._engine = engine
        self._hold = hold
        self._threads = ThreadPoolExecutor(READERS, thread_name_prefix=f"read {realm}")

    async def read(self, queries: Sequence[Query]) -> StoreAnswer:
        """See `StoreReader.read`."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, self._read, tuple(queries))

    async def snapshot(self, queries: Sequence[Query]) -> StoreAnswer:
        """See `StoreReader.snapshot`."""
        read = partial(self._read, tuple(queries), is_snapshot=True)
        return await asyncio.get_running_loop().run_in_executor(self._threads, read)

    async def close(self) -> None:
        """See `StoreReader.close`; waits for the reads under way."""
        await asyncio.to_thread(self._threads.shutdown)
        self._engine.dispose()
        if self._hold is not None:
            self._hold.release()

    def _read(self, queries: tuple[Query, ...], *, is_snapshot: bool = False) -> StoreAnswer:
        if self._hold is not None:
            self._hold.take()
        try:
            with self._engine.connect() as connection, _one_moment(connection) if is_snapshot else nullcontext():
                before = read_position(connection)
                rows = tuple(self._rows(connection, query) for query in queries)
                return StoreAnswer(before, rows, read_position(connection))
        except sa.exc.DBAPIError as error:
            if is_damaged(error):
                raise StoreRefused(
                    f"realm {self._realm}: the file is damaged or another's ({error.orig}): rebuild it"
                ) from error
            raise StoreUnavailable(
                f"realm {self._realm}: the database cannot be read ({error.orig}): has its player been started?"
            ) from error

    def _rows(self, connection: sa.Connection, query: Query) -> Found:
        access = self._tables.get(query.collection)
        if access is None:
            raise unknown_collection(self._realm, query.collection)
        try:
            return answer(connection, access, query)
        except sa.exc.DBAPIError as error:
            if is_transient(error):
                raise
            raise StoreRefused(
                f"{access.place}: the database is not as the catalogue says: {error.orig}: "
                "restart the player after a change of the catalogue, or repair the table"
            ) from error


@contextmanager
def _one_moment(connection: sa.Connection) -> Iterator[None]:
    """Let all statements of the block see the database as the first of them does."""
    connection.exec_driver_sql("BEGIN")
    try:
        yield
    finally:
        connection.exec_driver_sql("ROLLBACK")


def unknown_collection(realm: Realm, collection: Collection) -> StoreRefused:
    """Return the error for a collection that the catalogue does not have."""
    return StoreRefused(f"realm {realm} has no collection {collection}: does everybody use one grit.yaml?")
