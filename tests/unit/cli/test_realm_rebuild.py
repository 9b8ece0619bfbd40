"""`grit realm rebuild` on logs that were made by hand and databases that the real player filled."""

import asyncio
import io
import os
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import msgspec
import pytest

from grit.cli.main import run
from grit.config.load import load_config
from grit.core.ids import Realm
from grit.core.parts import encode_changes
from grit.core.records import Entries, Image
from grit.store.open import open_reader
from tests.unit.checker.recorded import ITEMS, ORDERS, Recorded, clean, key, put
from tests.unit.cli.recorded_files import CONFIG, deployed, play

ENGINES = {"sqlite": "items", "document": "document:items", "graph": "node:items"}
"""Engine -> its table of items."""


@pytest.fixture
def recorded() -> Recorded:
    return clean(3, steps=60)


@pytest.fixture
def config(tmp_path: Path, recorded: Recorded) -> Path:
    path = deployed(tmp_path, recorded)
    asyncio.run(play(path))
    return path


def execute(config: Path, statement: str) -> None:
    with closing(sqlite3.connect(config.parent / "orders.db")) as database, database:
        database.execute(statement)


def rebuild(config: Path, *arguments: str) -> int:
    return run(["realm", "rebuild", *(arguments or ("orders", "--yes")), "-c", str(config)])


def state_is_valid(config: Path) -> bool:
    return run(["check", "state", str(config)]) == 0


def kept(config: Path) -> list[Path]:
    return sorted(config.parent.glob("orders.db.before-rebuild-*"))


def hashes(said: str) -> list[str]:
    return [line.partition("hash ")[2].partition(":")[0] for line in said.splitlines() if "hash " in line]


@pytest.mark.parametrize("engine", ENGINES)
def test_a_rebuilt_database_equals_the_one_that_its_player_filled(
    tmp_path: Path, recorded: Recorded, engine: str, capsys: pytest.CaptureFixture[str]
) -> None:
    config = deployed(tmp_path, recorded, CONFIG.replace("engine: sqlite", f"engine: {engine}"))
    asyncio.run(play(config))
    asyncio.run(play(config, realm=Realm("carts")))
    assert rebuild(config) == 0
    said = capsys.readouterr().out
    assert len(hashes(said)) == 4
    assert len(set(hashes(said))) == 1, said
    assert "DIFFERENT" not in said
    assert said.splitlines()[-1] == f"{tmp_path / 'orders.db'} is the new database; the old one is {kept(config)[0]}"
    assert state_is_valid(config)


@pytest.mark.parametrize("engine", ENGINES)
def test_what_was_deleted_past_grit_is_named_and_is_back(
    tmp_path: Path, recorded: Recorded, engine: str, capsys: pytest.CaptureFixture[str]
) -> None:
    config = deployed(tmp_path, recorded, CONFIG.replace("engine: sqlite", f"engine: {engine}"))
    asyncio.run(play(config))
    asyncio.run(play(config, realm=Realm("carts")))
    execute(config, f'DELETE FROM "{ENGINES[engine]}"')
    assert rebuild(config) == 0
    said = capsys.readouterr().out
    old, new = hashes(said)[-2:]
    assert old != new
    assert "W6 missing: the row is not in the database" in said
    assert "key orders.items/(" in said
    assert state_is_valid(config)


def test_what_another_rebuild_left_behind_is_not_built_on(config: Path) -> None:
    asyncio.run(play(config, realm=Realm("carts")))
    for end in ("", "-wal"):
        (config.parent / f"orders.db.rebuild{end}").write_bytes(b"not a database" * 1_000)
    assert rebuild(config) == 0
    assert state_is_valid(config)


def test_an_old_database_that_is_behind_is_compared_where_it_stands(
    tmp_path: Path, recorded: Recorded, capsys: pytest.CaptureFixture[str]
) -> None:
    config = deployed(tmp_path, recorded)
    asyncio.run(play(config, len(recorded.dbtl[ORDERS]) // 2))
    assert rebuild(config) == 0
    whole, replayed, old, new = hashes(capsys.readouterr().out)
    assert (whole, old) == (replayed, new)
    assert old != whole


def test_a_database_that_is_lost_comes_back_with_its_folder(
    tmp_path: Path, recorded: Recorded, capsys: pytest.CaptureFixture[str]
) -> None:
    config = deployed(tmp_path, recorded, CONFIG.replace("url: orders.db", "url: gone/orders.db"))
    asyncio.run(play(config, realm=Realm("carts")))
    assert rebuild(config) == 0
    assert "there is none" in capsys.readouterr().out
    assert state_is_valid(config)


@pytest.mark.parametrize("damage", [b"", b"not a database" * 1_000], ids=["empty", "no database"])
def test_a_database_that_cannot_be_read_is_replaced_and_kept(
    config: Path, damage: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    asyncio.run(play(config, realm=Realm("carts")))
    (config.parent / "orders.db").write_bytes(damage)
    assert rebuild(config) == 0
    assert "not compared with" in capsys.readouterr().out
    assert kept(config)[0].read_bytes()[:14] == damage[:14]
    assert state_is_valid(config)


def test_a_database_of_another_log_is_not_compared(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    execute(config, "UPDATE grit_position SET log_id = 'other'")
    assert rebuild(config) == 0
    assert "the position in the database of realm orders is of log other" in capsys.readouterr().out


async def test_a_database_in_use_is_refused_in_one_line(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    reader = open_reader(load_config(config, {}).realms[ORDERS], {})
    await reader.read([])
    assert await asyncio.to_thread(rebuild, config) == 3
    told = capsys.readouterr()
    assert told.out == ""
    assert "orders.db is in use by a player, a DBTM or a check" in told.err
    assert told.err.count("\n") == 1
    await reader.close()


@pytest.mark.parametrize(("answer", "status", "swaps"), [("y\n", 0, 1), ("n\n", 0, 0), ("", 3, 0)])
def test_a_person_is_asked(config: Path, monkeypatch: pytest.MonkeyPatch, answer: str, status: int, swaps: int) -> None:
    terminal = io.StringIO(answer)
    monkeypatch.setattr(terminal, "isatty", lambda: True)
    monkeypatch.setattr("sys.stdin", terminal)
    assert rebuild(config, "orders") == status
    assert len(kept(config)) == swaps


def test_a_wrong_database_that_is_left_in_place_is_a_finding(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    execute(config, "UPDATE items SET name = 'hacked'")
    terminal = io.StringIO("n\n")
    monkeypatch.setattr(terminal, "isatty", lambda: True)
    monkeypatch.setattr("sys.stdin", terminal)
    assert rebuild(config, "orders") == 1
    assert not state_is_valid(config)
    assert not list(config.parent.glob("*.rebuild"))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("orders",), "nobody to ask"),
        (("ordres", "--yes"), 'there is no realm "ordres"; did you mean "orders"?'),
    ],
)
def test_what_a_user_gets_wrong_is_one_line(
    config: Path, arguments: tuple[str, ...], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert rebuild(config, *arguments) == 3
    told = capsys.readouterr().err
    assert words in told
    assert told.count("\n") == 1


def test_a_database_in_memory_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "grit.yaml").write_text(CONFIG.replace("engine: sqlite\n    url: orders.db", "engine: memory"))
    assert rebuild(tmp_path / "grit.yaml") == 3
    assert "in the memory of a process" in capsys.readouterr().err


def test_data_from_before_the_log_cannot_come_from_the_log(
    tmp_path: Path, recorded: Recorded, capsys: pytest.CaptureFixture[str]
) -> None:
    recorded.local(ORDERS, put(99, "adopted"))
    last = recorded.dbtl[ORDERS][-1]
    assert isinstance(last, Entries)
    (image,) = last.entries[0].images
    older = Image(ITEMS, key(99), image.after, encode_changes({"name": "from before"}))
    recorded.dbtl[ORDERS][-1] = _with_image(last, older)
    assert rebuild(deployed(tmp_path, recorded)) == 3
    assert "1 records were in its database before its log began" in capsys.readouterr().err


def _with_image(record: Entries, image: Image) -> Entries:
    entry = msgspec.structs.replace(record.entries[0], images=(image,))
    return msgspec.structs.replace(record, entries=(entry,))


def test_a_log_that_is_damaged_is_refused_and_the_database_stays(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = (config.parent / "orders.db").read_bytes()
    with closing(sqlite3.connect(config.parent / "log" / "dbtl.orders.log.db")) as log, log:
        log.execute("UPDATE records SET payload = x'00' WHERE offset = 2")
    assert rebuild(config) == 3
    assert "offset 2 is damaged" in capsys.readouterr().err
    assert (config.parent / "orders.db").read_bytes() == before


def test_a_player_that_plays_wrongly_is_noticed_and_nothing_is_swapped(
    config: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("log_players.cursor.plan_writes", lambda *_: ())
    assert rebuild(config) == 1
    said = capsys.readouterr().out
    assert "replay of the log by the checker" in said
    assert "DIFFERENT" in said
    assert "was left as it is; the new database is" in said
    assert not kept(config)


CRASHES = ("player.after_apply", "rebuild.sealed_new", "rebuild.sealed_old", "rebuild.kept_aside", "rebuild.swapped")


@pytest.mark.parametrize("place", CRASHES)
def test_a_rebuild_that_is_killed_leaves_a_whole_database_and_the_next_one_succeeds(
    config: Path, place: str, capsys: pytest.CaptureFixture[str]
) -> None:
    asyncio.run(play(config, realm=Realm("carts")))
    execute(config, "DELETE FROM items")
    command = [sys.executable, "-m", "grit.cli", "realm", "rebuild", "orders", "--yes", "-c", str(config)]
    killed = subprocess.run(
        command, env={**os.environ, "GRIT_FAILPOINTS": f"{place}=kill"}, capture_output=True, timeout=50, check=False
    )
    assert killed.returncode == -signal.SIGKILL
    assert state_is_valid(config) == (place == "rebuild.swapped")
    assert rebuild(config) == 0
    said = capsys.readouterr().out
    assert ("W6 missing" in said) == (place != "rebuild.swapped")
    assert state_is_valid(config)
    assert not [path for path in kept(config) if path.samefile(config.parent / "orders.db")]
    assert not list(config.parent.glob("*.rebuild*-*"))
