"""An embedded log that is damaged, torn or shortened: what counts as never written, and what stops the reader."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, closing
from pathlib import Path

import pytest

from grit.core.errors import LogError
from grit.core.ids import Offset
from grit.log.embedded import EmbeddedLog

FLIP_A_BYTE = "UPDATE records SET payload = CAST(x'ff' || substr(payload, 2) AS BLOB) WHERE offset = ?"
DELETE = "DELETE FROM records WHERE offset >= ?"


@asynccontextmanager
async def opened(folder: Path) -> AsyncIterator[EmbeddedLog]:
    """Open the log for a block."""
    log = await EmbeddedLog.open(folder, "gtl")
    try:
        yield log
    finally:
        await log.close()


async def fill(folder: Path, payloads: Sequence[bytes]) -> None:
    """Append and close."""
    async with opened(folder) as log:
        await asyncio.gather(*(log.append(payload) for payload in payloads))


def tamper(folder: Path, statement: str, *values: int) -> None:
    """Change the file behind GRIT's back."""
    with closing(sqlite3.connect(folder / "gtl.log.db")) as connection, connection:
        assert connection.execute(statement, values).rowcount > 0


async def test_damage_in_the_middle_stops_the_reader_with_log_offset_and_remedy(tmp_path: Path) -> None:
    await fill(tmp_path, [b"aa", b"bb", b"cc"])
    tamper(tmp_path, FLIP_A_BYTE, 1)
    async with opened(tmp_path) as log:
        assert list(await log.read(Offset(0))) == [(0, b"aa")]
        with pytest.raises(LogError, match=r"log gtl .*offset 1 is damaged: .*restore the file from a backup"):
            await log.read(Offset(1))
        assert list(await log.read(Offset(2))) == [(2, b"cc")]


async def test_a_missing_record_stops_the_reader(tmp_path: Path) -> None:
    await fill(tmp_path, [b"aa", b"bb", b"cc"])
    tamper(tmp_path, "DELETE FROM records WHERE offset = ?", 1)
    async with opened(tmp_path) as log:
        assert list(await log.read(Offset(0))) == [(0, b"aa")]
        with pytest.raises(LogError, match="offset 1 is damaged: the record is missing"):
            await log.read(Offset(1))


async def test_a_record_moved_to_another_offset_is_damage(tmp_path: Path) -> None:
    await fill(tmp_path, [b"aa", b"bb", b"cc"])
    tamper(
        tmp_path,
        "UPDATE records SET (payload, checksum) = (SELECT payload, checksum FROM records WHERE offset = 2) "
        "WHERE offset = ?",
        0,
    )
    async with opened(tmp_path) as log:
        with pytest.raises(LogError, match="offset 0 is damaged"):
            await log.read(Offset(0))


async def test_a_torn_last_record_is_cut_on_opening_and_its_offset_used_again(tmp_path: Path) -> None:
    await fill(tmp_path, [b"aa", b"bb"])
    tamper(tmp_path, FLIP_A_BYTE, 1)
    async with opened(tmp_path) as log:
        assert await log.end() == 1
        assert await log.append(b"new") == 1
        assert list(await log.read(Offset(0))) == [(0, b"aa"), (1, b"new")]


async def test_the_only_record_may_be_torn(tmp_path: Path) -> None:
    await fill(tmp_path, [b"aa"])
    tamper(tmp_path, FLIP_A_BYTE, 0)
    async with opened(tmp_path) as log:
        assert await log.append(b"new") == 0


async def test_readers_do_not_see_a_torn_record_before_it_is_cut(tmp_path: Path) -> None:
    async with opened(tmp_path) as reader:
        await fill(tmp_path, [b"aa", b"bb"])
        tamper(tmp_path, FLIP_A_BYTE, 1)
        assert await reader.end() == 1
        assert list(await reader.read(Offset(0))) == [(0, b"aa")]
        assert list(await reader.read(Offset(1))) == []
        assert not await reader.wait(Offset(1), timeout_ms=5)


async def test_an_appender_cuts_what_another_one_left_torn(tmp_path: Path) -> None:
    async with opened(tmp_path) as log:
        await log.append(b"aa")
        await fill(tmp_path, [b"bb"])
        tamper(tmp_path, FLIP_A_BYTE, 1)
        assert await log.append(b"new") == 1
        assert list(await log.read(Offset(0))) == [(0, b"aa"), (1, b"new")]


async def test_two_damaged_records_at_the_end_are_not_torn(tmp_path: Path) -> None:
    await fill(tmp_path, [b"aa", b"bb", b"cc"])
    tamper(tmp_path, FLIP_A_BYTE, 1)
    tamper(tmp_path, FLIP_A_BYTE, 2)
    with pytest.raises(LogError, match="offset 1 is damaged"):
        await EmbeddedLog.open(tmp_path, "gtl")


async def test_a_last_record_that_was_read_whole_is_never_taken_back(tmp_path: Path) -> None:
    await fill(tmp_path, [b"aa", b"bb"])
    async with opened(tmp_path) as log:
        await log.read(Offset(0))
        tamper(tmp_path, FLIP_A_BYTE, 1)
        with pytest.raises(LogError, match="offset 1 is damaged"):
            await log.read(Offset(1))
        await fill(tmp_path, [])  # another process cuts it
        for use in (log.end(), log.read(Offset(1)), log.wait(Offset(2), timeout_ms=60_000)):
            with pytest.raises(LogError, match=r"log gtl .* is shorter than offset 2: it ends at 1"):
                await use


async def test_a_reader_ahead_of_a_shortened_log_is_refused(tmp_path: Path) -> None:
    await fill(tmp_path, [b"aa", b"bb", b"cc"])
    tamper(tmp_path, DELETE, 1)
    async with opened(tmp_path) as log:
        with pytest.raises(
            LogError, match=r"log gtl .* is shorter than offset 3: it ends at 1; .*bring back the newer"
        ):
            await log.read(Offset(3))


async def test_a_log_that_becomes_shorter_stops_appends_and_reads(tmp_path: Path) -> None:
    async with opened(tmp_path) as log:
        for payload in (b"aa", b"bb", b"cc"):
            await log.append(payload)
        async with opened(tmp_path) as reader:
            await reader.read(Offset(0))
            tamper(tmp_path, DELETE, 1)
            # What a handle has appended itself it reads from memory; another one has to go to the file.
            for use in (log.append(b"dd"), log.end(), reader.read(Offset(1))):
                with pytest.raises(LogError, match=r"log gtl .* is shorter than offset 3: it ends at 1"):
                    await use


async def test_damage_of_the_file_itself_is_one_clear_line(tmp_path: Path) -> None:
    await fill(tmp_path, [b"x" * 3_000] * 20)
    file = tmp_path / "gtl.log.db"
    content = bytearray(file.read_bytes())
    content[4096 : len(content)] = b"\xaa" * (len(content) - 4096)
    file.write_bytes(content)
    with pytest.raises(LogError, match=r"^log gtl .*malformed.*restore the file from a backup[^\n]*$"):
        await EmbeddedLog.open(tmp_path, "gtl")
