"""Writes of a log player to a relational database, in one thread."""

import asyncio
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

import sqlalchemy as sa

from grit.core.errors import StoreRefused
from grit.core.ids import Realm
from grit.core.queries import Cursor, RowWrite
from grit.runtime.failpoints import failpoint
from grit.store.hold import Hold
from grit.store.port import ApplyUnknown, StoreUnavailable
from grit.store.sql.batch import Step, plan
from grit.store.sql.layout import Layout, TableAccess
from grit.store.sql.position import advance_position, read_position
from grit.store.sql.reader import unknown_collection
from grit.store.sql.schema import make_missing
from grit.store.sql.sqlite import is_transient

_Result = TypeVar("_Result")


class SqlWriter:
    """`StoreWriter` over tables. A transaction holds the write lock from its first statement on."""

    def __init__(self, realm: Realm, layouts: Iterable[Layout], engine: sa.Engine, hold: Hold | None = None) -> None:
        """Take over `engine`, whose transactions begin with the write lock (see `sqlite.writing_engine`).

        `hold` is taken with the first connection and released by `close`; None: nobody swaps the file of this database.
        """
        self._realm = realm
        self._tables = {layout.definition.name: TableAccess(realm, layout) for layout in layouts}
        self._engine = engine
        self._hold = hold
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=f"apply {realm}")

    async def prepare(self) -> None:
        """See `StoreWriter.prepare`."""
        await self._run(self._prepare)

    async def cursor(self) -> Cursor | None:
        """See `StoreWriter.cursor`."""
        return await self._run(self._cursor)

    async def apply(self, expected: Cursor | None, writes: Sequence[RowWrite], reached: Cursor) -> bool:
        """See `StoreWriter.apply`."""
        return await self._run(lambda: self._apply(expected, writes, reached))

    async def close(self) -> None:
        """See `StoreWriter.close`; waits for the batch under way."""
        await asyncio.to_thread(self._thread.shutdown)
        self._engine.dispose()
        if self._hold is not None:
            self._hold.release()

    async def _run(self, work: Callable[[], _Result]) -> _Result:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    def _prepare(self) -> None:
        with self._connected() as connection, self._committed(connection):
            make_missing(connection, self._tables.values())

    def _cursor(self) -> Cursor | None:
        with self._connected() as connection:
            return read_position(connection)

    def _apply(self, expected: Cursor | None, writes: Sequence[RowWrite], reached: Cursor) -> bool:
        for write in writes:
            if write.collection not in self._tables:
                raise unknown_collection(self._realm, write.collection)
        steps = plan(writes, self._tables)
        with self._connected() as connection, self._committed(connection):
            if not advance_position(connection, expected, reached):
                return False
            self._run_steps(connection, steps)
            failpoint("store.before_commit")
            return True

    def _run_steps(self, connection: sa.Connection, steps: Sequence[Step]) -> None:
        for step in steps:
            try:
                step.run(connection)
            except sa.exc.DBAPIError as error:
                if is_transient(error):
                    raise
                raise self._refusal(connection, step, error) from error

    def _refusal(self, connection: sa.Connection, step: Step, error: sa.exc.DBAPIError) -> StoreRefused:
        """Find the record, which the database does not name: write those of the step one by one.

        All is rolled back later. Somebody's trigger may have ended the transaction already: then the savepoint
        begins another one, else what is tried here would stay.
        """
        connection.begin_nested()
        for key, parameters in zip(step.keys, step.parameters, strict=True):
            try:
                connection.exec_driver_sql(step.text, parameters)
            except sa.exc.DBAPIError as culprit:
                return StoreRefused(f"{step.access.named(key)}: {culprit.orig}")
        return StoreRefused(f"{step.access.place}: {error.orig}")

    @contextmanager
    def _connected(self) -> Iterator[sa.Connection]:
        """Lend the connection; what the database says there has not changed anything."""
        if self._hold is not None:
            self._hold.take()
        try:
            with self._engine.connect() as connection:
                yield connection
        except sa.exc.DBAPIError as error:
            if is_transient(error):
                raise StoreUnavailable(f"realm {self._realm}: the database cannot be written: {error.orig}") from error
            raise StoreRefused(f"realm {self._realm}: {error.orig}") from error

    @contextmanager
    def _committed(self, connection: sa.Connection) -> Iterator[None]:
        """Commit after the block, unless it raised."""
        transaction = connection.begin()
        try:
            yield
        except BaseException:
            transaction.rollback()
            raise
        try:
            transaction.commit()
        except sa.exc.DBAPIError as error:
            raise ApplyUnknown(f"realm {self._realm}: the commit of a batch failed: {error.orig}") from error
