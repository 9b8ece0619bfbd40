"""The player as a role: it starts without its database, ends in peace, and its halt ends the process."""

import asyncio

from grit.core.catalog import CollectionDef, RealmDef, Shape
from grit.core.ids import Collection, Epoch, Lsn, Offset, Realm
from grit.core.queries import Cursor
from grit.core.records import Genesis, encode_log_record
from grit.log.memory import MemoryLog
from grit.runtime.supervisor import EXIT_ENVIRONMENT, EXIT_GOOD, Role, Supervisor
from grit.store.memory import MemoryStore
from log_players.app import build_player

ITEMS = Collection("items")
REALM = RealmDef(Realm("shop"), "memory", "", {ITEMS: CollectionDef(ITEMS, Shape.TABLE, ("id",), {})})


async def run_role(store: MemoryStore, *, stop: bool) -> int:
    log = MemoryLog("dbtl.shop")
    await log.append(encode_log_record(Genesis("log-1", REALM.name, 1)))
    role = build_player(REALM, log, store, trace=lambda _: None)
    assert role.name == "player shop"
    supervisor = Supervisor()

    async def compose() -> list[Role]:
        if stop:
            asyncio.get_running_loop().call_soon(supervisor.stop)
        return [role]

    async with asyncio.timeout(10):
        return await supervisor.run(compose)


async def test_a_player_that_is_told_to_stop_ends_well() -> None:
    assert await run_role(MemoryStore(REALM), stop=True) == EXIT_GOOD


async def test_a_player_that_halts_ends_its_process_with_the_status_for_the_operator() -> None:
    store = MemoryStore(REALM)
    store.apply_now(None, (), Cursor("another log", Offset(1), Epoch(0), Lsn(0)))
    assert await run_role(store, stop=False) == EXIT_ENVIRONMENT


async def test_a_role_that_never_started_can_be_closed() -> None:
    role = build_player(REALM, MemoryLog("dbtl.shop"), MemoryStore(REALM), trace=lambda _: None)
    await role.close()
    assert role.metrics.lag == 0
