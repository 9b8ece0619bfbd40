"""A player that ends: it plays a log into a database up to an offset, exactly, and reports how far it is.

The machine and the shell are those of every player; only the tail of the log ends where it is told, and every
record moves the cursor, so that it comes to stand at that offset.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

from grit.core.catalog import RealmDef
from grit.core.ids import Offset
from grit.core.queries import Cursor, RowWrite
from grit.log.port import Log
from grit.runtime.fatal import FATAL
from grit.store.port import StoreWriter
from log_players.cursor import PlayerLimits, PlayerMachine
from log_players.player import Player

LIMITS = PlayerLimits(quiet_ms=0)
"""Without linger and without quiet: what is there is applied, records without entries too."""


async def play_to(
    realm: RealmDef,
    log: Log,
    writer: StoreWriter,
    end: Offset,
    *,
    reached: Callable[[Cursor], None],
    tell: Callable[[str], None],
) -> Cursor | None:
    """Play until the cursor of the database stands at `end`; return it, None for the beginning of the log.

    Args:
        realm: As the catalogue has it.
        log: Its DBTL; it holds all records up to `end`.
        writer: Its database, whose cursor lies at or before `end`.
        end: Exclusive.
        reached: Told the cursor after every batch.
        tell: Takes what an operator should see, such as a disk that is full: that is waited for.

    Raises:
        LogError, StoreRefused: As `Player.run`.
        StoreUnavailable: The database cannot be made.
    """
    await writer.prepare()
    watched = _WatchedWriter(writer, end, reached)
    if end == 0 or watched.is_at_end(await writer.cursor()):
        return await writer.cursor()

    def make_machine() -> PlayerMachine:
        return PlayerMachine(realm.name, realm.collections, log=log.name, limits=LIMITS)

    player = Player(_LogUpTo(log, end), watched, make_machine, trace=lambda _: None, tell=tell)
    await _run_until(player, watched.arrived)
    return await writer.cursor()


async def _run_until(player: Player, arrived: asyncio.Event) -> None:
    """Run a player until it has arrived; what ends it before is raised, a bug in one of its tasks too."""
    loop = asyncio.get_running_loop()
    broken: asyncio.Future[None] = loop.create_future()

    def take(_: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        if context.get(FATAL) and not broken.done():
            broken.set_exception(context["exception"])

    before = loop.get_exception_handler()
    loop.set_exception_handler(take)
    running, waiting = loop.create_task(player.run()), loop.create_task(arrived.wait())
    ends: set[asyncio.Future[Any]] = {running, waiting, broken}
    try:
        await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in (running, waiting):
            task.cancel()
        await asyncio.wait({running, waiting})
        loop.set_exception_handler(before)
    for ended in (broken, running):
        if ended.done() and not ended.cancelled():
            ended.result()
    broken.cancel()


class _WatchedWriter:
    """A `StoreWriter` that says how far the database is, and when it has arrived."""

    def __init__(self, writer: StoreWriter, end: Offset, reached: Callable[[Cursor], None]) -> None:
        self.arrived = asyncio.Event()
        self._writer = writer
        self._end = end
        self._reached = reached

    def is_at_end(self, cursor: Cursor | None) -> bool:
        """Tell whether the cursor stands at the end; remember it."""
        if cursor is not None and cursor.offset >= self._end:
            self.arrived.set()
        return self.arrived.is_set()

    async def prepare(self) -> None:
        await self._writer.prepare()

    async def cursor(self) -> Cursor | None:
        cursor = await self._writer.cursor()
        self.is_at_end(cursor)
        return cursor

    async def apply(self, expected: Cursor | None, writes: Sequence[RowWrite], reached: Cursor) -> bool:
        is_done = await self._writer.apply(expected, writes, reached)
        if is_done:
            self._reached(reached)
            self.is_at_end(reached)
        return is_done

    async def close(self) -> None:
        await self._writer.close()


class _LogUpTo:
    """A `Log` whose tail never gets beyond `end`; only to be read, and not closed.

    What lies beyond is there for who asks for it: a checkpoint from which a player can begin is often written behind the
    offset of which it speaks, and may lie there.
    """

    def __init__(self, log: Log, end: Offset) -> None:
        self._log = log
        self._end = end

    @property
    def name(self) -> str:
        return self._log.name

    async def append(self, payload: bytes) -> Offset:
        raise AssertionError(f"a player appends nothing to {self.name}")

    async def read(self, start: Offset, *, bytes_max: int = 1 << 20) -> Sequence[tuple[Offset, bytes]]:
        rows = await self._log.read(start, bytes_max=bytes_max)
        return [row for row in rows if row[0] < self._end] if start < self._end else rows

    async def start(self) -> Offset:
        return await self._log.start()

    async def cut(self, offset: Offset) -> None:
        raise AssertionError(f"a player does not cut {self.name}")

    async def end(self) -> Offset:
        return await self._log.end()

    async def wait(self, start: Offset, *, timeout_ms: int) -> bool:
        if start >= self._end:
            await asyncio.sleep(timeout_ms / 1000)
            return False
        return await self._log.wait(start, timeout_ms=timeout_ms)

    async def close(self) -> None:
        """The log is its owner's to close."""
