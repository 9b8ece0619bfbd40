"""Cutting an embedded log: what a crash in the middle leaves, and what other processes see of it."""

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from grit.core.errors import LogError
from grit.core.ids import Offset
from grit.log import embedded
from grit.log.embedded import EmbeddedLog
from grit.log.log_file import LogFile
from grit.log.port import LogCut, LogUnavailable
from tests.unit.log.test_log_damage import FLIP_A_BYTE, fill, opened, tamper
from tests.unit.log.test_log_processes import LIMIT_S, acknowledged, start_appender

PAYLOADS = [f"{number}".encode() for number in range(10)]


def cut_once(folder: Path, offset: int, rows: int, size: int = 1 << 20) -> bool:
    """Do what one transaction of a cut does, and end there, as a crash would."""
    path = folder / "gtl.log.db"
    file = LogFile(path, "gtl", busy_ms=1_000, page_count_max=None, connection=sqlite3.Connection)
    try:
        return file.cut(Offset(offset), rows_max=rows, bytes_max=size)
    finally:
        file.close()


async def test_a_cut_that_was_broken_off_has_cut_less_and_can_be_gone_on_with(tmp_path: Path) -> None:
    await fill(tmp_path, PAYLOADS)
    assert not cut_once(tmp_path, 8, 3)
    async with opened(tmp_path) as log:
        assert await log.start() == 3
        assert list(await log.read(Offset(3))) == [(at, PAYLOADS[at]) for at in range(3, 10)]
        await log.cut(Offset(8))
        assert await log.start() == 8


async def test_a_long_cut_is_made_of_short_transactions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded, "CUT_ROWS_MAX", 2)
    await fill(tmp_path, PAYLOADS)
    async with opened(tmp_path) as log:
        await log.cut(Offset(7))
        assert await log.start() == 7
        assert await log.append(b"next") == 10


async def test_a_handle_forgets_what_it_has_cut(tmp_path: Path) -> None:
    async with opened(tmp_path) as log:
        for payload in PAYLOADS:
            await log.append(payload)
        await log.cut(Offset(8))
        assert list(await log.read(Offset(8))) == [(8, PAYLOADS[8]), (9, PAYLOADS[9])]
        with pytest.raises(LogCut):
            await log.read(Offset(7))


async def test_the_only_record_of_a_cut_log_is_never_taken_for_a_torn_one(tmp_path: Path) -> None:
    await fill(tmp_path, PAYLOADS)
    assert cut_once(tmp_path, 9, 100)
    tamper(tmp_path, FLIP_A_BYTE, 9)
    with pytest.raises(LogError, match="offset 9 is damaged: the checksum does not match"):
        await EmbeddedLog.open(tmp_path, "gtl")
    with closing(sqlite3.connect(tmp_path / "gtl.log.db")) as connection:
        assert connection.execute("SELECT count(*) FROM records").fetchone() == (1,)


async def test_a_torn_record_behind_others_is_cut_as_ever(tmp_path: Path) -> None:
    await fill(tmp_path, PAYLOADS)
    assert cut_once(tmp_path, 8, 100)
    tamper(tmp_path, FLIP_A_BYTE, 9)
    async with opened(tmp_path) as log:
        assert await log.end() == 9
        assert await log.append(b"again") == 9


async def test_a_log_is_cut_while_another_process_appends(tmp_path: Path) -> None:
    async with asyncio.timeout(LIMIT_S):
        appender = await start_appender(tmp_path, "p", 300)
        async with opened(tmp_path) as log:
            for start in (20, 90, 150):
                while await log.end() <= start:
                    await log.wait(Offset(start), timeout_ms=1_000)
                await log.cut(Offset(start))
            told = acknowledged((await appender.communicate())[0])
            rows = dict(await log.read(Offset(150)))
    assert list(told) == list(range(300))
    assert rows == {Offset(offset): told[offset] for offset in range(150, 300)}


async def test_one_transaction_of_a_cut_is_bounded_by_bytes_too(tmp_path: Path) -> None:
    await fill(tmp_path, [b"x" * 100] * 10)
    assert not cut_once(tmp_path, 8, 100, size=250)
    async with opened(tmp_path) as log:
        assert await log.start() == 3


async def test_a_cut_whose_commit_breaks_is_unavailable_and_may_be_repeated(tmp_path: Path) -> None:
    await fill(tmp_path, PAYLOADS)
    log = await EmbeddedLog.open(tmp_path, "gtl", connection=BrokenCommits)
    BrokenCommits.is_broken = True
    with pytest.raises(LogUnavailable, match="cut it again"):
        await log.cut(Offset(8))
    BrokenCommits.is_broken = False
    await log.cut(Offset(8))
    assert await log.start() == 8
    await log.close()


class BrokenCommits(sqlite3.Connection):
    """Commits whose answer is lost, while it is told to."""

    is_broken = False

    def execute(self, sql: str, *args: object) -> sqlite3.Cursor:
        """Execute, and lose the answer of a COMMIT."""
        cursor = super().execute(sql, *args)  # type: ignore[arg-type] # whatever the caller gave
        if sql == "COMMIT" and BrokenCommits.is_broken:
            raise sqlite3.OperationalError("disk I/O error")
        return cursor
