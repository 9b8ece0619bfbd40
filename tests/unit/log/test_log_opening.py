"""Opening an embedded log: what is made, and what is refused with one clear line."""

import asyncio
import os
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from grit.core.errors import ConfigError, LogError
from grit.core.ids import Offset
from grit.log.embedded import EmbeddedLog

FILE = "gtl.log.db"


def make_foreign_database(file: Path) -> None:
    """Make an SQLite file of another program."""
    with closing(sqlite3.connect(file)) as connection, connection:
        connection.execute("CREATE TABLE theirs (x)")


def make_unknown_format(file: Path) -> None:
    """Make a log of a version to come."""
    with closing(sqlite3.connect(file)) as connection, connection:
        connection.execute("CREATE TABLE records (offset INTEGER PRIMARY KEY)")
        connection.execute(f"PRAGMA application_id = {0x47524954}")
        connection.execute("PRAGMA user_version = 9")


class ReadOnlyConnection(sqlite3.Connection):
    """What a file without the right to write looks like (file modes do not stop root)."""

    def execute(self, sql: str, parameters: Any = (), /) -> sqlite3.Cursor:
        """Forbid writing first."""
        super().execute("PRAGMA query_only = ON")
        return super().execute(sql, parameters)


async def test_folder_and_file_are_made_where_missing(tmp_path: Path) -> None:
    log = await EmbeddedLog.open(tmp_path / "var" / "grit", "dbtl.orders")
    await log.close()
    assert (tmp_path / "var" / "grit" / "dbtl.orders.log.db").is_file()
    assert log.name == "dbtl.orders"


async def test_an_empty_file_left_by_a_killed_opening_becomes_a_log(tmp_path: Path) -> None:
    (tmp_path / FILE).touch()
    log = await EmbeddedLog.open(tmp_path, "gtl")
    assert await log.append(b"a") == 0
    await log.close()


async def test_many_openings_at_once_make_one_log(tmp_path: Path) -> None:
    logs = await asyncio.gather(*(EmbeddedLog.open(tmp_path, "gtl") for _ in range(8)))
    assert sorted(await asyncio.gather(*(log.append(b"a") for log in logs))) == list(range(8))
    for log in logs:
        await log.close()


async def test_logs_of_one_folder_are_apart(tmp_path: Path) -> None:
    logs = [await EmbeddedLog.open(tmp_path, name) for name in ("gtl", "dbtl.orders")]
    assert [await log.append(log.name.encode()) for log in logs] == [0, 0]
    assert list(await logs[0].read(Offset(0))) == [(0, b"gtl")]
    for log in logs:
        await log.close()


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (lambda file: file.write_bytes(b"no database at all " * 100), "is not a log of GRIT: it is not an SQLite file"),
        (make_foreign_database, "is not a log of GRIT: it belongs to another program"),
        (make_unknown_format, "has format 9, this version of GRIT knows format 1"),
    ],
    ids=["no SQLite", "foreign", "unknown format"],
)
async def test_another_file_is_refused_and_left_as_it_is(
    tmp_path: Path, make: Callable[[Path], None], why: str
) -> None:
    make(tmp_path / FILE)
    before = (tmp_path / FILE).read_bytes()
    with pytest.raises(LogError, match=rf"^log gtl: [^\n]*{FILE} {why}; [^\n]+$"):
        await EmbeddedLog.open(tmp_path, "gtl")
    assert (tmp_path / FILE).read_bytes() == before


async def test_a_folder_that_cannot_be_made_is_named_with_the_remedy(tmp_path: Path) -> None:
    (tmp_path / "taken").touch()
    folder = tmp_path / "taken" / "grit"
    with pytest.raises(ConfigError, match=rf"^{folder}: cannot keep logs here: Not a directory; [^\n]*log.path[^\n]*$"):
        await EmbeddedLog.open(folder, "gtl")


async def test_a_file_that_cannot_be_opened_names_the_folder_and_the_remedy(tmp_path: Path) -> None:
    (tmp_path / FILE).mkdir()
    with pytest.raises(ConfigError, match=rf"^{tmp_path}: cannot keep logs here: unable to open [^\n]*log.path[^\n]*$"):
        await EmbeddedLog.open(tmp_path, "gtl")


async def test_a_read_only_file_names_the_folder_and_the_remedy(tmp_path: Path) -> None:
    await (await EmbeddedLog.open(tmp_path, "gtl")).close()
    with pytest.raises(ConfigError, match=rf"^{tmp_path}: cannot keep logs here: .*readonly [^\n]*log.path[^\n]*$"):
        await EmbeddedLog.open(tmp_path, "gtl", connection=ReadOnlyConnection)


async def test_what_opening_recovers_is_synced_before_anybody_reads_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = await EmbeddedLog.open(tmp_path / "before", "gtl")
    await writer.append(b"a")
    left = shutil.copytree(tmp_path / "before", tmp_path / "after")  # as a killed writer leaves it
    await writer.close()
    synced: list[int] = []
    monkeypatch.setattr(os, "fsync", lambda file: synced.append(os.fstat(file).st_ino))
    log = await EmbeddedLog.open(left, "gtl")
    assert synced == [(left / f"{FILE}-wal").stat().st_ino]
    assert list(await log.read(Offset(0))) == [(0, b"a")]
    await log.close()
