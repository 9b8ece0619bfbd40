"""The player's shell over a real log and store in memory."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress

import pytest

from grit.core.catalog import CollectionDef, RealmDef, Shape
from grit.core.errors import LogError, StoreRefused
from grit.core.fold import DbtlFold
from grit.core.ids import Collection, Csn, Epoch, LeaderId, Lsn, Millis, Offset, Realm, make_txn_id
from grit.core.keys import encode_key
from grit.core.queries import Cursor, GetRows, RowWrite
from grit.core.records import DbtmEpoch, Entries, Entry, Genesis, Image, Through, decode_dbtl_record, encode_log_record
from grit.core.states import split_state
from grit.core.steps import Trace
from grit.core.values import encode_record
from grit.log.memory import MemoryLog
from grit.store.memory import MemoryStore
from grit.store.port import ApplyUnknown, StoreUnavailable
from log_players.cursor import PlayerMachine
from log_players.player import Player

ITEMS = Collection("items")
REALM = RealmDef(Realm("shop"), "memory", "", {ITEMS: CollectionDef(ITEMS, Shape.TABLE, ("id",), {})})
TIME = Millis(1_700_000_000_000)


class StoreWithFaults(MemoryStore):
    """Raises the faults it was given, one an apply, before or after applying."""

    def __init__(self, *faults: Exception) -> None:
        super().__init__(REALM)
        self.faults = list(faults)

    async def apply(self, expected: Cursor | None, writes: Sequence[RowWrite], reached: Cursor) -> bool:
        fault = self.faults.pop(0) if self.faults else None
        if isinstance(fault, ApplyUnknown):
            self.apply_now(expected, writes, reached)
        if fault is not None:
            raise fault
        return self.apply_now(expected, writes, reached)


class Stage:
    """A log, a store, the players on them, and what they told."""

    def __init__(self, store: MemoryStore) -> None:
        self.log = MemoryLog("dbtl.shop")
        self.store = store
        self.traces: list[Trace] = []
        self.told: list[str] = []
        self.next_lsn = 1

    def player(self) -> Player:
        def machine() -> PlayerMachine:
            return PlayerMachine(REALM.name, REALM.collections)

        return Player(self.log, self.store, machine, trace=self.traces.append, tell=self.told.append)

    async def open_log(self, log_id: str = "log-1") -> None:
        await self.log.append(encode_log_record(Genesis(log_id, REALM.name, 1)))
        await self.log.append(encode_log_record(DbtmEpoch(Epoch(1), LeaderId("a"), "", TIME, "gtl-1")))

    async def commit(self, number: int, *, trace: str = "") -> None:
        image = Image(ITEMS, encode_key((number,)), encode_record({"id": number}), None)
        entry = Entry(make_txn_id(TIME, self.next_lsn), Csn(0), b"", (image,), trace)
        record = Entries(Epoch(1), Lsn(self.next_lsn), TIME, Through(Csn(0), Offset(0)), (entry,))
        self.next_lsn += 1
        await self.log.append(encode_log_record(record))

    async def checkpoint(self, at: int) -> None:
        """Append the checkpoint of an offset."""
        fold = DbtlFold(self.log.name, REALM.name)
        for offset, payload in await self.log.read(Offset(0), bytes_max=1 << 30):
            if offset < at:
                fold.apply(offset, decode_dbtl_record(payload, log=self.log.name, offset=offset))
        for record in split_state(Offset(at), fold.dump()):
            await self.log.append(encode_log_record(record))

    def lsn(self) -> int:
        cursor = self.store.cursor_now()
        return cursor.lsn if cursor else 0

    def items(self, count: int) -> int:
        keys = tuple(encode_key((number,)) for number in range(count))
        return len(self.store.read_now([GetRows(ITEMS, keys)]).rows[0])


@asynccontextmanager
async def running(*players: Player) -> AsyncIterator[None]:
    tasks = [asyncio.ensure_future(player.run()) for player in players]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        for task in tasks:
            with suppress(asyncio.CancelledError):
                await task


async def until(condition: Callable[[], bool]) -> None:
    async def look() -> None:
        if not condition():
            await asyncio.sleep(0.002)
            await look()

    async with asyncio.timeout(10):
        await look()


async def test_a_player_applies_what_is_there_and_what_comes() -> None:
    stage = Stage(MemoryStore(REALM))
    await stage.open_log()
    await stage.commit(0)
    player = stage.player()
    async with running(player):
        await until(lambda: stage.lsn() == 1)
        await stage.commit(1, trace="00-aa-bb-01")
        await until(lambda: player.metrics.applied_lsn == 2)
    assert stage.items(3) == 2
    assert [trace.name for trace in stage.traces] == ["apply"]
    assert (player.metrics.rows, player.metrics.lag) == (2, 0)


async def test_a_player_that_starts_again_goes_on_where_the_database_stands() -> None:
    stage = Stage(MemoryStore(REALM))
    await stage.open_log()
    await stage.commit(0)
    async with running(stage.player()):
        await until(lambda: stage.lsn() == 1)
    await stage.commit(1)
    second = stage.player()
    async with running(second):
        await until(lambda: second.metrics.applied_lsn == 2)
    assert second.metrics.rows == 1


async def test_two_players_at_once_apply_each_transaction_once() -> None:
    stage = Stage(MemoryStore(REALM))
    await stage.open_log()
    left, right = stage.player(), stage.player()
    async with running(left, right):
        for number in range(50):
            await stage.commit(number)
        await until(lambda: stage.lsn() == 50)
    assert stage.items(60) == 50
    assert left.metrics.rows + right.metrics.rows == 50


async def test_a_database_that_is_away_or_leaves_it_open_is_asked_again() -> None:
    stage = Stage(StoreWithFaults(StoreUnavailable("connection refused"), ApplyUnknown("connection lost")))
    await stage.open_log()
    await stage.commit(0)
    player = stage.player()
    async with running(player):
        await until(lambda: player.metrics.applied_lsn == 1)
    assert player.metrics.away == 1
    assert "connection refused" in stage.told[0]


async def test_a_refused_entry_ends_the_player_with_its_place() -> None:
    stage = Stage(StoreWithFaults(StoreRefused("items/(0): constraint")))
    await stage.open_log()
    await stage.commit(0)
    with pytest.raises(StoreRefused, match=r"offset 2, Lsn 1 .*items/\(0\): constraint"):
        async with asyncio.timeout(10):
            await stage.player().run()
    assert stage.store.cursor_now() is None


async def test_a_log_that_lost_records_is_refused_and_nothing_is_changed() -> None:
    stage = Stage(MemoryStore(REALM))
    await stage.open_log()
    beyond = Cursor("log-1", Offset(9), Epoch(1), Lsn(7))
    stage.store.apply_now(None, (), beyond)
    with pytest.raises(LogError, match="ends at offset 2"):
        async with asyncio.timeout(10):
            await stage.player().run()
    assert stage.store.cursor_now() == beyond


async def test_a_record_that_cannot_be_read_ends_the_player_with_its_offset() -> None:
    stage = Stage(MemoryStore(REALM))
    await stage.open_log()
    await stage.log.append(b"\x63garbage")
    with pytest.raises(LogError, match=r"dbtl\.shop, offset 2"):
        async with asyncio.timeout(10):
            await stage.player().run()


async def test_a_database_that_went_back_is_played_forward_again() -> None:
    stage = Stage(MemoryStore(REALM))
    await stage.open_log()
    await stage.commit(0)
    player = stage.player()
    async with running(player):
        await until(lambda: player.metrics.applied_lsn == 1)
        stage.store.apply_now(stage.store.cursor_now(), (RowWrite(ITEMS, encode_key((0,)), None),), OLD)
        await stage.commit(1)
        await until(lambda: player.metrics.applied_lsn == 2)
    assert stage.items(3) == 2
    assert player.metrics.restarts == 1


OLD = Cursor("log-1", Offset(2), Epoch(1), Lsn(0))


async def played(stage: Stage, count: int) -> None:
    """Commit so many items, and let a player apply them."""
    await stage.open_log()
    for number in range(count):
        await stage.commit(number)
    async with running(stage.player()):
        await until(lambda: stage.lsn() == count)


async def test_a_player_that_starts_again_goes_on_from_a_checkpoint_below_its_cursor_in_a_log_that_was_cut() -> None:
    stage = Stage(MemoryStore(REALM))
    await played(stage, 6)
    await stage.checkpoint(5)
    await stage.log.cut(Offset(5))
    await stage.commit(6)
    async with running(stage.player()):
        await until(lambda: stage.lsn() == 7)
    assert stage.items(7) == 7


async def test_a_player_does_not_begin_at_a_checkpoint_above_its_cursor() -> None:
    stage = Stage(MemoryStore(REALM))
    await played(stage, 3)
    for number in range(3, 9):
        await stage.commit(number)
    await stage.checkpoint(9)
    async with running(stage.player()):
        await until(lambda: stage.lsn() == 9)
    assert stage.items(9) == 9


@pytest.mark.parametrize("applied", [0, 2])
async def test_a_database_that_is_older_than_its_log_halts_the_player_with_the_remedy(applied: int) -> None:
    stage = Stage(MemoryStore(REALM))
    if applied:
        await played(stage, applied)
    else:
        await stage.open_log()
    for number in range(applied, 9):
        await stage.commit(number)
    await stage.checkpoint(9)
    await stage.log.cut(Offset(9))
    with pytest.raises(LogError, match=r"log dbtl\.shop begins at offset 9, .*grit realm rebuild"):
        await stage.player().run()
    assert stage.lsn() == applied
