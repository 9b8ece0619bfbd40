"""A player that ends at an offset: exactly there, whatever the log holds beyond it."""

import asyncio
from collections.abc import Sequence

import pytest

from grit.core.errors import LogError, StoreRefused
from grit.core.ids import Epoch, Lsn, Offset
from grit.core.queries import Cursor, GetRows, RowWrite
from grit.core.records import encode_log_record
from grit.log.memory import MemoryLog
from grit.store.memory import MemoryStore
from grit.store.port import StoreUnavailable
from log_players.replaying import play_to
from tests.unit.checker.recorded import ITEMS, ORDERS, Recorded, catalogue, key, put

REALM = catalogue()[ORDERS]


async def log_of(recorded: Recorded) -> MemoryLog:
    log = MemoryLog("dbtl.orders")
    for record in recorded.dbtl[ORDERS]:
        await log.append(encode_log_record(record))
    return log


async def play(log: MemoryLog, store: MemoryStore, end: int) -> list[int]:
    """Play to an offset; return where the database stood after each batch."""
    reached: list[int] = []
    async with asyncio.timeout(10):
        await play_to(
            REALM, log, store, Offset(end), reached=lambda c: reached.append(c.offset), tell=lambda _: None
        )  # fmt: skip
    return reached


def names(store: MemoryStore) -> list[str]:
    keys = tuple(key(number) for number in range(5))
    return [row["name"] for _, row in store.read_now([GetRows(ITEMS, keys)]).rows[0]]


async def test_it_ends_exactly_where_it_is_told_and_goes_on_from_there() -> None:
    recorded, store = Recorded(), MemoryStore(REALM)
    for number, name in enumerate("abc"):
        recorded.local(ORDERS, put(number, name))
    recorded.renew(ORDERS)
    log = await log_of(recorded)
    end = len(recorded.dbtl[ORDERS])
    assert await play(log, store, end - 2) == [end - 2]
    assert names(store) == ["a", "b"]
    assert await play(log, store, end) == [end]  # the renewal too, though it holds no entry
    assert names(store) == ["a", "b", "c"]
    assert await play(log, store, end) == []


class InPieces(MemoryLog):
    """Gives one record at a time, as a long log does with its megabytes, and later than the database applies the one before."""

    async def read(self, start: Offset, *, bytes_max: int = 1) -> Sequence[tuple[Offset, bytes]]:
        for _ in range(20):
            await asyncio.sleep(0)
        return (await super().read(start))[:1]


async def test_records_without_entries_behind_the_last_entry_are_reached_at_once() -> None:
    recorded, store, log = Recorded(), MemoryStore(REALM), InPieces("dbtl.orders")
    recorded.local(ORDERS, put(1, "a"))
    recorded.renew(ORDERS)
    for record in recorded.dbtl[ORDERS]:
        await log.append(encode_log_record(record))
    end = len(recorded.dbtl[ORDERS])
    assert (await play(log, store, end))[-1] == end


async def test_the_beginning_of_a_log_needs_no_player() -> None:
    store = MemoryStore(REALM)
    assert await play(await log_of(Recorded()), store, 0) == []
    assert store.cursor_now() is None


async def test_a_log_that_cannot_be_played_raises_what_ends_every_player() -> None:
    store = MemoryStore(REALM)
    store.apply_now(None, (), Cursor("another log", Offset(1), Epoch(0), Lsn(0)))
    log = await log_of(Recorded())
    with pytest.raises(LogError, match="was filled from log another log"):
        await play(log, store, 2)


class Refusing(MemoryStore):
    """Refuses every batch, or breaks."""

    def __init__(self, error: Exception) -> None:
        super().__init__(REALM)
        self.error: Exception | None = error

    async def apply(self, expected: Cursor | None, writes: Sequence[RowWrite], reached: Cursor) -> bool:
        if self.error is not None:
            error, self.error = self.error, None
            raise error
        return await super().apply(expected, writes, reached)


async def test_a_database_that_is_away_is_waited_for() -> None:
    store = Refusing(StoreUnavailable("full"))
    await play(await log_of(Recorded()), store, 2)
    assert (store.cursor_now() or Cursor("", Offset(0), Epoch(0), Lsn(0))).offset == 2


async def test_an_entry_that_the_database_refuses_ends_it() -> None:
    with pytest.raises(StoreRefused, match="a trigger"):
        await play(await log_of(Recorded()), Refusing(StoreRefused("a trigger")), 2)


async def test_a_bug_ends_it_too() -> None:
    with pytest.raises(ZeroDivisionError):
        await play(await log_of(Recorded()), Refusing(ZeroDivisionError()), 2)
