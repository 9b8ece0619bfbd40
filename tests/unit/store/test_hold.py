"""Who uses a database keeps it from being swapped, and who swaps it keeps the others out."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from grit.core.catalog import RealmDef
from grit.core.errors import ConfigError
from grit.core.ids import Realm
from grit.store.hold import owned
from grit.store.open import open_reader, open_writer
from grit.store.port import StoreUnavailable

REALM = Realm("orders")


@pytest.fixture
def realm(tmp_path: Path) -> RealmDef:
    return RealmDef(REALM, "sqlite", str(tmp_path / "orders.db"), {})


def expect_in_use(realm: RealmDef) -> None:
    with pytest.raises(ConfigError, match="orders.db is in use") as refused, owned(REALM, Path(realm.url)):
        pass
    assert "\n" not in str(refused.value)


async def test_a_database_that_a_player_has_open_cannot_be_owned_until_it_is_closed(realm: RealmDef) -> None:
    writer = open_writer(realm, {})
    await writer.prepare()
    expect_in_use(realm)
    await writer.close()
    with owned(REALM, Path(realm.url)):
        pass


async def test_a_database_that_a_dbtm_reads_cannot_be_owned_until_it_is_closed(realm: RealmDef) -> None:
    writer, reader = open_writer(realm, {}), open_reader(realm, {})
    await writer.prepare()
    await reader.read([])
    await writer.close()
    expect_in_use(realm)
    await reader.close()
    with owned(REALM, Path(realm.url)):
        pass


async def test_who_wants_to_use_a_database_that_is_owned_is_to_try_again(realm: RealmDef) -> None:
    writer, reader = open_writer(realm, {}), open_reader(realm, {})
    with owned(REALM, Path(realm.url)):
        for used in (writer.prepare(), writer.cursor(), reader.read([])):
            with pytest.raises(StoreUnavailable, match="being rebuilt"):
                await used
    await writer.prepare()
    assert (await reader.read([])).after is None
    await writer.close()
    await reader.close()


async def test_the_owner_reads_and_writes(realm: RealmDef) -> None:
    with owned(REALM, Path(realm.url)):
        writer, reader = open_writer(realm, {}, is_owner=True), open_reader(realm, {}, is_owner=True)
        await writer.prepare()
        assert (await reader.read([])).after is None
        await writer.close()
        await reader.close()


def test_one_owner_keeps_out_another(realm: RealmDef) -> None:
    with owned(REALM, Path(realm.url)):
        expect_in_use(realm)


def test_the_hold_of_a_process_ends_with_it(realm: RealmDef) -> None:
    program = (
        "import sys; from pathlib import Path; from grit.store.hold import Hold; hold = Hold('orders', Path(sys.argv[1]));"
        "hold.take(); print('held', flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-c", program, realm.url]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        expect_in_use(realm)
        process.send_signal(signal.SIGKILL)
    with owned(REALM, Path(realm.url)):
        pass
