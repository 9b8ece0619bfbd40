"""`grit realm checkpoint`, and a database built from one: also where the log from before it is gone."""

import asyncio
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import msgspec
import pytest

from grit.cli.main import run
from grit.core.fold import DbtlFold
from grit.core.ids import Epoch, Lsn, Offset, Realm
from grit.core.parts import encode_changes
from grit.core.queries import Cursor
from grit.core.records import DbtlRecord, Entries, Image
from grit.core.states import split_state
from grit.log.embedded import EmbeddedLog
from grit.store.checkpoint import read_checkpoint, write_checkpoint
from tests.unit.checker.recorded import ORDERS, Recorded, clean, key, put
from tests.unit.cli.recorded_files import CONFIG, deployed, play

CARTS = Realm("carts")
ENGINES = ("sqlite", "document", "graph")


@pytest.fixture
def recorded() -> Recorded:
    return clean(3, steps=60)


@pytest.fixture
def config(tmp_path: Path, recorded: Recorded) -> Path:
    path = deployed(tmp_path, recorded)
    asyncio.run(play(path))
    asyncio.run(play(path, realm=CARTS))
    return path


def checkpoint(config: Path, *arguments: str) -> int:
    return run(["realm", "checkpoint", "orders", "-c", str(config), *arguments])


def rebuild(config: Path, *arguments: str) -> int:
    return run(["realm", "rebuild", "orders", "--yes", "-c", str(config), *arguments])


def execute(config: Path, statement: str) -> None:
    with closing(sqlite3.connect(config.parent / "orders.db")) as database, database:
        database.execute(statement)


def hashes(said: str) -> list[str]:
    return [line.partition("hash ")[2].partition(":")[0] for line in said.splitlines() if "hash " in line]


def with_checkpoint(records: Sequence[DbtlRecord], at: int) -> list[DbtlRecord]:
    """Return a log whose last records say what its fold is at an offset."""
    fold = DbtlFold("dbtl.orders", ORDERS)
    for offset, record in enumerate(records[:at]):
        fold.apply(Offset(offset), record)
    return [*records, *split_state(Offset(at), fold.dump())]


async def cut(config: Path, at: int) -> None:
    log = await EmbeddedLog.open(config.parent / "log", "dbtl.orders")
    await log.cut(Offset(at))
    await log.close()


def test_a_checkpoint_lies_beside_the_database_and_equal_ones_are_equal(
    config: Path, tmp_path: Path, recorded: Recorded, capsys: pytest.CaptureFixture[str]
) -> None:
    end = len(recorded.dbtl[ORDERS])
    assert checkpoint(config) == 0
    beside = tmp_path / f"orders.db.checkpoint-{end}"
    assert capsys.readouterr().out.startswith(f"{beside}: offset {end:,}, Lsn ")
    assert rebuild(config) == 0
    assert checkpoint(config, "--to", str(tmp_path / "again")) == 0
    assert (tmp_path / "again").read_bytes() == beside.read_bytes()


def test_data_from_before_the_log_comes_from_a_checkpoint(
    tmp_path: Path, recorded: Recorded, capsys: pytest.CaptureFixture[str]
) -> None:
    config = deployed(tmp_path, _adopted(recorded))
    asyncio.run(play(config))
    execute(config, "INSERT INTO items (id, name) VALUES (98, 'never written')")
    assert checkpoint(config, "--to", str(tmp_path / "c")) == 0
    execute(config, "DELETE FROM items WHERE id > 90")
    assert rebuild(config, "--from", str(tmp_path / "c")) == 0
    _, new, replayed, old, there = hashes(capsys.readouterr().out)
    assert new == replayed == there != old
    with closing(sqlite3.connect(tmp_path / "orders.db")) as database:
        found = database.execute("SELECT id, name FROM items WHERE id > 90 ORDER BY id").fetchall()
    assert found == [(98, "never written"), (99, "adopted")]


def test_data_from_before_the_log_that_a_transaction_above_the_position_writes_is_lawful(
    tmp_path: Path, recorded: Recorded, capsys: pytest.CaptureFixture[str]
) -> None:
    config = deployed(tmp_path, _adopted(recorded))
    end = len(recorded.dbtl[ORDERS])
    asyncio.run(play(config, end - 1))
    execute(config, "INSERT INTO items (id, name) VALUES (98, 'never written'), (99, 'from before')")
    assert checkpoint(config, "--to", str(tmp_path / "c")) == 0
    asyncio.run(play(config))
    assert rebuild(config, "--from", str(tmp_path / "c")) == 0
    assert "DIFFERENT" not in capsys.readouterr().out
    with closing(sqlite3.connect(tmp_path / "orders.db")) as database:
        found = database.execute("SELECT id, name FROM items WHERE id > 90 ORDER BY id").fetchall()
    assert found == [(98, "never written"), (99, "adopted")]


def test_data_from_before_the_log_that_is_as_a_transaction_above_the_position_leaves_it_is_torn(
    tmp_path: Path, recorded: Recorded, capsys: pytest.CaptureFixture[str]
) -> None:
    config = deployed(tmp_path, _adopted(recorded))
    asyncio.run(play(config, len(recorded.dbtl[ORDERS]) - 1))
    execute(config, "INSERT INTO items (id, name, count) VALUES (99, 'adopted', 0)")
    assert checkpoint(config, "--to", str(tmp_path / "c")) == 1
    assert "W6 torn" in capsys.readouterr().out


def _adopted(recorded: Recorded) -> Recorded:
    """Let the last transaction find a record that no other one has made."""
    recorded.local(ORDERS, put(99, "adopted"))
    last = recorded.dbtl[ORDERS][-1]
    assert isinstance(last, Entries)
    (image,) = last.entries[0].images
    older = Image(image.collection, key(99), image.after, encode_changes({"name": "from before", "count": None}))
    entry = msgspec.structs.replace(last.entries[0], images=(older,))
    recorded.dbtl[ORDERS][-1] = msgspec.structs.replace(last, entries=(entry,))
    return recorded


@pytest.mark.parametrize("engine", ENGINES)
def test_a_database_is_built_from_a_checkpoint_and_the_log_after_it(
    tmp_path: Path, recorded: Recorded, engine: str, capsys: pytest.CaptureFixture[str]
) -> None:
    config = deployed(tmp_path, recorded, CONFIG.replace("engine: sqlite", f"engine: {engine}"))
    asyncio.run(play(config, len(recorded.dbtl[ORDERS]) // 2))
    assert checkpoint(config, "--to", str(tmp_path / "c")) == 0
    asyncio.run(play(config))
    assert rebuild(config, "--from", str(tmp_path / "c")) == 0
    before, *after = hashes(capsys.readouterr().out)
    assert len(after) == 4
    assert set(after) != {before}
    assert len(set(after)) == 1
    asyncio.run(play(config, realm=CARTS))
    assert run(["check", "state", str(config)]) == 0


@pytest.mark.parametrize("engine", ENGINES)
def test_a_database_is_built_from_a_checkpoint_and_a_log_that_was_cut_there(
    tmp_path: Path, recorded: Recorded, engine: str, capsys: pytest.CaptureFixture[str]
) -> None:
    records, middle = recorded.dbtl[ORDERS], len(recorded.dbtl[ORDERS]) // 2
    recorded.dbtl[ORDERS] = with_checkpoint(records, middle - 3)
    config = deployed(tmp_path, recorded, CONFIG.replace("engine: sqlite", f"engine: {engine}"))
    asyncio.run(play(config, middle))
    assert checkpoint(config, "--to", str(tmp_path / "c")) == 0
    asyncio.run(play(config))
    asyncio.run(cut(config, middle - 3))
    assert rebuild(config, "--from", str(tmp_path / "c")) == 0
    said = capsys.readouterr().out
    assert len(set(hashes(said)[1:])) == 1, said
    assert len(hashes(said)) == 5
    assert "DIFFERENT" not in said
    asyncio.run(play(config))  # its player finds what it needs, and has nothing to do


def test_what_was_damaged_comes_back_from_a_checkpoint_and_a_log_that_was_cut(
    tmp_path: Path, recorded: Recorded, capsys: pytest.CaptureFixture[str]
) -> None:
    middle = len(recorded.dbtl[ORDERS]) // 2
    recorded.dbtl[ORDERS] = with_checkpoint(recorded.dbtl[ORDERS], middle)
    config = deployed(tmp_path, recorded)
    asyncio.run(play(config, middle))
    assert checkpoint(config, "--to", str(tmp_path / "c")) == 0
    asyncio.run(play(config))
    asyncio.run(cut(config, middle))
    before = (tmp_path / "orders.db").read_bytes()
    execute(config, "DELETE FROM items")
    assert rebuild(config, "--from", str(tmp_path / "c")) == 0
    said = capsys.readouterr().out
    assert "W6 missing" in said
    (tmp_path / "orders.db").write_bytes(before)
    assert rebuild(config, "--from", str(tmp_path / "c")) == 0
    assert len(set(hashes(capsys.readouterr().out))) == 1


def cut_config(folder: Path, recorded: Recorded, at: int) -> Path:
    """Deploy a realm with a checkpoint of its database, `c`, of the offset at which its log is cut; its player is at the end."""
    recorded.dbtl[ORDERS] = with_checkpoint(recorded.dbtl[ORDERS], at)
    config = deployed(folder, recorded)
    asyncio.run(play(config, at))
    assert checkpoint(config, "--to", str(folder / "c")) == 0
    asyncio.run(play(config))
    asyncio.run(cut(config, at))
    return config


@pytest.mark.parametrize("quiet", [0, 12])
def test_a_lost_database_comes_back_whole_also_where_little_was_written_since_the_cut(
    tmp_path: Path, recorded: Recorded, quiet: int, capsys: pytest.CaptureFixture[str]
) -> None:
    at = len(recorded.dbtl[ORDERS]) - quiet
    config = cut_config(tmp_path, recorded, at)
    assert checkpoint(config, "--to", str(tmp_path / "whole")) == 0
    (tmp_path / "orders.db").unlink()
    assert rebuild(config, "--from", str(tmp_path / "c")) == 0
    assert len(set(hashes(capsys.readouterr().out)[1:])) == 1
    assert checkpoint(config, "--to", str(tmp_path / "again")) == 0
    assert (tmp_path / "again").read_bytes() == (tmp_path / "whole").read_bytes()


def test_all_that_was_deleted_is_named_also_what_nobody_wrote_since_the_cut(
    tmp_path: Path, recorded: Recorded, capsys: pytest.CaptureFixture[str]
) -> None:
    config = cut_config(tmp_path, recorded, len(recorded.dbtl[ORDERS]))
    rows = read_checkpoint(tmp_path / "c")[0].rows
    execute(config, "DELETE FROM items")
    assert rebuild(config, "--from", str(tmp_path / "c")) == 0
    assert capsys.readouterr().out.count("W6 missing") == rows > 1


def test_an_old_database_that_is_behind_is_compared_where_it_stands_above_the_cut(
    tmp_path: Path, recorded: Recorded, capsys: pytest.CaptureFixture[str]
) -> None:
    at = len(recorded.dbtl[ORDERS]) // 2
    recorded.dbtl[ORDERS] = with_checkpoint(recorded.dbtl[ORDERS], at)
    config = deployed(tmp_path, recorded)
    asyncio.run(play(config, at))
    assert checkpoint(config, "--to", str(tmp_path / "c")) == 0
    asyncio.run(play(config, at + 6))
    asyncio.run(cut(config, at))
    assert rebuild(config, "--from", str(tmp_path / "c")) == 0
    said = capsys.readouterr().out
    assert "W6" not in said
    _, new, replayed, old, there = hashes(said)
    assert new == replayed != old == there


def test_a_log_that_was_cut_needs_a_checkpoint(
    tmp_path: Path, recorded: Recorded, capsys: pytest.CaptureFixture[str]
) -> None:
    middle = len(recorded.dbtl[ORDERS]) // 2
    recorded.dbtl[ORDERS] = with_checkpoint(recorded.dbtl[ORDERS], middle)
    config = deployed(tmp_path, recorded)
    asyncio.run(play(config, middle - 5))
    assert checkpoint(config, "--to", str(tmp_path / "old")) == 0
    asyncio.run(play(config))
    asyncio.run(cut(config, middle))
    capsys.readouterr()
    for arguments, words in (
        ((), f"was cut: it begins at offset {middle}; give --from a checkpoint"),
        (
            ("--from", str(tmp_path / "old")),
            f"stands at offset {middle - 5}, log dbtl.orders was cut and begins at {middle}",
        ),
    ):
        assert rebuild(config, *arguments) == 3
        told = capsys.readouterr().err
        assert words in told
        assert told.count("\n") == 1


def test_an_old_database_from_before_the_checkpoint_is_not_compared(
    tmp_path: Path, recorded: Recorded, capsys: pytest.CaptureFixture[str]
) -> None:
    config = deployed(tmp_path, recorded)
    asyncio.run(play(config, 5))
    old = (tmp_path / "orders.db").read_bytes()
    asyncio.run(play(config, 10))
    assert checkpoint(config, "--to", str(tmp_path / "c")) == 0
    (tmp_path / "orders.db").write_bytes(old)
    assert rebuild(config, "--from", str(tmp_path / "c")) == 0
    assert "it stands at offset 5, before the checkpoint" in capsys.readouterr().out


def test_a_checkpoint_that_is_not_what_the_log_says_is_noticed_and_nothing_is_swapped(
    config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert checkpoint(config, "--to", str(tmp_path / "c")) == 0
    header, rows = read_checkpoint(tmp_path / "c")
    write_checkpoint(tmp_path / "c", ORDERS, header.cursor, rows[1:])
    assert rebuild(config, "--from", str(tmp_path / "c")) == 1
    assert "W6 missing" in capsys.readouterr().out
    assert not list(tmp_path.glob("orders.db.before-rebuild-*"))


def test_a_database_that_is_not_what_its_log_says_is_no_checkpoint(
    config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    execute(config, "DELETE FROM items WHERE id = (SELECT max(id) FROM items)")
    assert checkpoint(config) == 1
    said = capsys.readouterr().out
    assert "W6 missing" in said
    assert "no checkpoint" in said
    assert not list(tmp_path.glob("*.checkpoint-*"))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"realm": CARTS}, "it is of realm carts, not of orders"),
        ({"log_id": "other"}, "it was made under log other, dbtl.orders is log log-orders"),
        ({"offset": Offset(100_000)}, "it stands at offset 100000, log dbtl.orders ends at"),
        ({"lsn": Lsn(1)}, "the log lost records and went on"),
    ],
)
def test_a_checkpoint_that_does_not_fit_is_refused_in_one_line(
    config: Path, tmp_path: Path, change: dict[str, object], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert checkpoint(config, "--to", str(tmp_path / "c")) == 0
    header, rows = read_checkpoint(tmp_path / "c")
    changed = msgspec.structs.replace(header, **change)
    write_checkpoint(tmp_path / "c", changed.realm, changed.cursor, rows)
    before = (tmp_path / "orders.db").read_bytes()
    assert rebuild(config, "--from", str(tmp_path / "c")) == 3
    told = capsys.readouterr().err
    assert words in told
    assert told.count("\n") == 1
    assert (tmp_path / "orders.db").read_bytes() == before


def test_what_cannot_be_a_checkpoint_is_one_line(
    config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "c").write_bytes(b"x")
    assert rebuild(config, "--from", str(tmp_path / "c")) == 3
    assert "no checkpoint of a database" in capsys.readouterr().err
    assert checkpoint(config, "--to", str(config)) == 3
    assert "another file is there" in capsys.readouterr().err
    assert checkpoint(config, "--to", str(tmp_path / "nowhere" / "c")) == 3
    assert "No such file or directory" in capsys.readouterr().err


def test_a_database_without_a_position_has_no_checkpoint(
    tmp_path: Path, recorded: Recorded, capsys: pytest.CaptureFixture[str]
) -> None:
    config = deployed(tmp_path, recorded)
    asyncio.run(play(config, 0))
    assert checkpoint(config) == 3
    assert "nothing was applied to its database yet" in capsys.readouterr().err


def log_cut(config: Path, *arguments: str) -> int:
    return run(["log", "cut", "orders", "--yes", "-c", str(config), *arguments])


def test_the_log_of_a_realm_is_cut_where_a_checkpoint_begins_and_a_database_is_built_from_both(
    tmp_path: Path, recorded: Recorded, capsys: pytest.CaptureFixture[str]
) -> None:
    config, middle = deployed(tmp_path, recorded), len(recorded.dbtl[ORDERS]) // 2
    asyncio.run(play(config, middle))
    assert checkpoint(config, "--to", str(tmp_path / "c")) == 0
    at = read_checkpoint(tmp_path / "c")[0].offset
    asyncio.run(play(config))
    asyncio.run(play(config, realm=CARTS))
    capsys.readouterr()
    assert log_cut(config, "--checkpoint", str(tmp_path / "c")) == 0
    told = capsys.readouterr().out.splitlines()
    assert f"{at:,} records below {at:,} can go ({tmp_path / 'c'} begins there)" in told[0]
    assert told[-1] == f"cut: log dbtl.orders begins at offset {at:,}"
    assert run(["check", "log", str(config)]) == 0
    assert run(["check", "state", str(config)]) == 0
    capsys.readouterr()
    assert rebuild(config, "--from", str(tmp_path / "c")) == 0
    assert len(set(hashes(capsys.readouterr().out)[1:])) == 1
    assert log_cut(config, "--checkpoint", str(tmp_path / "c")) == 0
    assert "nothing can be cut" in capsys.readouterr().out


def test_the_log_is_not_cut_above_where_the_database_is(
    tmp_path: Path, recorded: Recorded, capsys: pytest.CaptureFixture[str]
) -> None:
    config, middle = deployed(tmp_path, recorded), len(recorded.dbtl[ORDERS]) // 2
    asyncio.run(play(config, middle))
    older = (tmp_path / "orders.db").read_bytes()
    asyncio.run(play(config))
    assert checkpoint(config, "--to", str(tmp_path / "c")) == 0
    (tmp_path / "orders.db").write_bytes(older)
    assert log_cut(config, "--checkpoint", str(tmp_path / "c")) == 3
    assert "its player still needs what lies between; nothing was cut" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("of", "why"),
    [
        (Cursor("another", Offset(9), Epoch(1), Lsn(9)), "of another: its player still needs"),
        (Cursor("dbtl-orders-1", Offset(9), Epoch(1), Lsn(1)), "is not the one that"),
    ],
)
def test_the_log_is_not_cut_by_a_checkpoint_of_something_else(
    config: Path, tmp_path: Path, of: Cursor, why: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert checkpoint(config, "--to", str(tmp_path / "own")) == 0
    own = read_checkpoint(tmp_path / "own")[0]
    of = msgspec.structs.replace(of, log_id=own.log_id) if of.lsn == 1 else of
    write_checkpoint(tmp_path / "c", ORDERS, of, [])
    assert log_cut(config, "--checkpoint", str(tmp_path / "c")) == 3
    assert why in capsys.readouterr().err


def test_realm_and_checkpoint_go_together(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert log_cut(config) == 3
    assert "give REALM and --checkpoint, or neither" in capsys.readouterr().err
