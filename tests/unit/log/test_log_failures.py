"""Appends to an embedded log that fail: definitely, or with an unknown outcome."""

import asyncio
import sqlite3
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from grit.core.ids import Offset
from grit.log.embedded import EmbeddedLog
from grit.log.port import AppendUnknown, LogUnavailable

LIMIT_S = 20.0


def io_error() -> sqlite3.OperationalError:
    """Return what SQLite reports for a broken disk."""
    error = sqlite3.OperationalError("disk I/O error")
    error.sqlite_errorcode = sqlite3.SQLITE_IOERR_FSYNC
    return error


class BreakingConnection(sqlite3.Connection):
    """Breaks at the statements told by the test; the commit happens before, or not at all."""

    breaks_at: str
    lands: bool

    def execute(self, sql: str, parameters: Any = (), /) -> sqlite3.Cursor:
        """Execute, or break."""
        if sql == self.breaks_at:
            if self.lands:
                super().execute(sql)
            raise io_error()
        return super().execute(sql, parameters)


def breaking() -> type[BreakingConnection]:
    """Return a class of its own for one test; it works until told to break."""

    class Breaking(BreakingConnection):
        breaks_at = ""
        lands = False

    return Breaking


async def append_until_refused(log: EmbeddedLog) -> None:
    """Fill a log of a few pages."""
    for number in range(100):
        assert await log.append(b"x" * 4_000) == number


@pytest.mark.parametrize("lands", [True, False])
async def test_an_error_at_the_commit_is_unknown_and_the_log_tells_what_happened(tmp_path: Path, lands: bool) -> None:
    connection = breaking()
    log = await EmbeddedLog.open(tmp_path, "gtl", connection=connection)
    await log.append(b"before")
    connection.breaks_at, connection.lands = "COMMIT", lands
    with pytest.raises(AppendUnknown, match=r"log gtl: .*disk I/O error"):
        await log.append(b"unknown")
    connection.breaks_at = ""
    assert await log.append(b"after") == (2 if lands else 1)
    landed = [b"before", b"unknown", b"after"] if lands else [b"before", b"after"]
    assert [payload for _, payload in await log.read(Offset(0))] == landed
    await log.close()


async def test_an_error_before_the_commit_is_definite(tmp_path: Path) -> None:
    connection = breaking()
    log = await EmbeddedLog.open(tmp_path, "gtl", connection=connection)
    connection.breaks_at = "BEGIN IMMEDIATE"
    with pytest.raises(LogUnavailable, match=r"log gtl: .*disk I/O error"):
        await log.append(b"never")
    connection.breaks_at = ""
    assert await log.append(b"a") == 0
    await log.close()


async def test_a_broken_commit_is_unknown_for_everybody_in_its_batch(tmp_path: Path) -> None:
    connection = breaking()
    log = await EmbeddedLog.open(tmp_path, "gtl", connection=connection)
    connection.breaks_at, connection.lands = "COMMIT", True
    outcomes = await asyncio.gather(*(log.append(b"a") for _ in range(5)), return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [AppendUnknown] * 5
    await log.close()


async def test_a_full_disk_is_definite_and_the_log_goes_on_when_space_returns(tmp_path: Path) -> None:
    full = await EmbeddedLog.open(tmp_path, "gtl", page_count_max=8)
    with pytest.raises(LogUnavailable, match=r"log gtl: .*full"):
        await append_until_refused(full)
    appended = await full.end()
    assert 0 < appended < 8
    assert len(await full.read(Offset(0))) == appended
    with pytest.raises(LogUnavailable, match="full"):
        await full.append(b"x" * 4_000)

    roomy = await EmbeddedLog.open(tmp_path, "gtl")
    assert await roomy.append(b"x" * 4_000) == appended
    assert list(await full.read(Offset(appended))) == [(appended, b"x" * 4_000)]
    await roomy.close()
    await full.close()


async def test_the_same_handle_goes_on_when_space_returns(tmp_path: Path) -> None:
    class Disk(sqlite3.Connection):
        page_count_max = 8

        def executemany(self, sql: str, rows: Iterable[Any], /) -> sqlite3.Cursor:
            self.execute(f"PRAGMA max_page_count = {self.page_count_max}")
            return super().executemany(sql, rows)

    log = await EmbeddedLog.open(tmp_path, "gtl", connection=Disk)
    with pytest.raises(LogUnavailable, match="full"):
        await log.append(b"x" * 100_000)
    Disk.page_count_max = 1_000
    assert await log.append(b"x" * 100_000) == 0
    await log.close()


async def test_a_log_locked_for_too_long_is_unavailable_and_nothing_is_appended(tmp_path: Path) -> None:
    log = await EmbeddedLog.open(tmp_path, "gtl", busy_ms=20)
    with closing(sqlite3.connect(tmp_path / "gtl.log.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(LogUnavailable, match=r"log gtl: .*locked"):
            await log.append(b"never")
        assert list(await log.read(Offset(0))) == []
    assert await log.append(b"a") == 0
    await log.close()


async def test_an_append_waits_for_a_lock_that_is_given_back(tmp_path: Path) -> None:
    log = await EmbeddedLog.open(tmp_path, "gtl", busy_ms=60_000)
    with closing(sqlite3.connect(tmp_path / "gtl.log.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        waiting = asyncio.create_task(log.append(b"a"))
        await log.end()  # appends wait in a thread of their own: reads go on
        other.execute("COMMIT")
        async with asyncio.timeout(LIMIT_S):
            assert await waiting == 0
    await log.close()


async def test_batches_that_gather_behind_a_commit_keep_their_order(tmp_path: Path) -> None:
    log = await EmbeddedLog.open(tmp_path, "gtl")
    payloads = [bytes([number]) * (3 << 20) for number in range(6)]  # two fill a batch
    offsets = await asyncio.gather(*(log.append(payload) for payload in payloads))
    assert list(offsets) == list(range(6))
    assert [payload for _, payload in await log.read(Offset(0), bytes_max=1 << 30)] == payloads
    await log.close()


async def test_an_append_whose_caller_left_lands(tmp_path: Path) -> None:
    log = await EmbeddedLog.open(tmp_path, "gtl")
    leaving = asyncio.create_task(log.append(b"left"))
    await asyncio.sleep(0)  # let it hand over
    leaving.cancel()
    await log.close()
    again = await EmbeddedLog.open(tmp_path, "gtl")
    assert list(await again.read(Offset(0))) == [(0, b"left")]
    await again.close()


async def test_close_finishes_what_was_handed_over_and_refuses_what_follows(tmp_path: Path) -> None:
    log = await EmbeddedLog.open(tmp_path, "gtl")
    payload = b"x" * (3 << 20)  # two fill a batch
    pending = [asyncio.create_task(log.append(payload)) for _ in range(6)]
    await asyncio.sleep(0)  # let them hand over
    await log.close()
    await log.close()
    assert await asyncio.gather(*pending) == list(range(6))
    for use in (log.append(b"b"), log.read(Offset(0)), log.end(), log.wait(Offset(9), timeout_ms=60_000)):
        with pytest.raises(LogUnavailable, match="log gtl is closed"):
            await use


async def test_what_gathers_during_a_commit_goes_into_one_transaction(tmp_path: Path) -> None:
    statements: list[str] = []

    class Counting(sqlite3.Connection):
        def execute(self, sql: str, parameters: Any = (), /) -> sqlite3.Cursor:
            statements.append(sql)
            return super().execute(sql, parameters)

    log = await EmbeddedLog.open(tmp_path, "gtl", busy_ms=60_000, connection=Counting)
    statements.clear()
    with closing(sqlite3.connect(tmp_path / "gtl.log.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        pending = []
        for number in range(20):
            pending.append(asyncio.create_task(log.append(bytes([number]))))
            await log.end()  # a round through the event loop: the first is under way, the others gather
        other.execute("COMMIT")
    async with asyncio.timeout(LIMIT_S):
        assert await asyncio.gather(*pending) == list(range(20))
    assert statements.count("COMMIT") == 2
    await log.close()
