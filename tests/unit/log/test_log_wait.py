"""How those who wait on an embedded log learn of appends: at once of their own, by looking of others'."""

import asyncio
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from grit.core.ids import Offset
from grit.log import embedded
from grit.log.embedded import EmbeddedLog
from grit.log.port import LogUnavailable

LIMIT_S = 20.0


@pytest.fixture
def never_looks_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the pause after the first look longer than any test."""
    for name in ("LOOK_MS_MIN", "LOOK_MS_MAX"):
        monkeypatch.setattr(embedded, name, 1e7)


async def start_waiting(log: EmbeddedLog, start: int) -> asyncio.Task[bool]:
    """Start to wait, and let the first look happen."""
    waiting = asyncio.create_task(log.wait(Offset(start), timeout_ms=10_000_000))
    await asyncio.sleep(0)
    await log.end()  # behind the first look, in the same thread
    return waiting


@pytest.mark.usefixtures("never_looks_again")
async def test_an_own_append_wakes_without_a_look(tmp_path: Path) -> None:
    log = await EmbeddedLog.open(tmp_path, "gtl")
    waiting = await start_waiting(log, 1)
    async with asyncio.timeout(LIMIT_S):
        await log.append(b"a")
        await log.end()
        assert not waiting.done()
        await log.append(b"b")
        assert await waiting
    await log.close()


async def test_what_this_handle_appended_needs_no_look(tmp_path: Path) -> None:
    statements: list[str] = []

    class Noting(sqlite3.Connection):
        def execute(self, sql: str, parameters: Any = (), /) -> sqlite3.Cursor:
            statements.append(sql)
            return super().execute(sql, parameters)

    log = await EmbeddedLog.open(tmp_path, "gtl", connection=Noting)
    await log.append(b"a")
    statements.clear()
    assert await log.wait(Offset(0), timeout_ms=10_000_000)
    assert statements == []
    await log.close()


@pytest.mark.usefixtures("never_looks_again")
async def test_close_wakes_those_who_wait(tmp_path: Path) -> None:
    log = await EmbeddedLog.open(tmp_path, "gtl")
    waiting = await start_waiting(log, 0)
    await log.close()
    async with asyncio.timeout(LIMIT_S):
        with pytest.raises(LogUnavailable, match="closed"):
            await waiting


@pytest.mark.usefixtures("never_looks_again")
async def test_a_timeout_shorter_than_the_pause_is_kept(tmp_path: Path) -> None:
    log = await EmbeddedLog.open(tmp_path, "gtl")
    async with asyncio.timeout(LIMIT_S):
        assert not await log.wait(Offset(0), timeout_ms=2)
    await log.close()
