"""Several processes on one embedded log: one order for all, and kill -9 takes nothing back."""

import asyncio
import os
import sys
from asyncio.subprocess import PIPE, Process
from pathlib import Path

from grit.core.ids import Offset
from grit.log.embedded import EmbeddedLog

LIMIT_S = 40.0
APPENDER = Path(__file__).parent / "appender.py"


async def start_appender(folder: Path, writer: str, count: int) -> Process:
    """Start another process that appends."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    arguments = (str(APPENDER), str(folder), writer, str(count))
    return await asyncio.create_subprocess_exec(sys.executable, *arguments, stdout=PIPE, env=environment)


def acknowledged(output: bytes) -> dict[int, bytes]:
    """Return what the process was told, by offset; a line cut off by a kill does not count."""
    lines = output.split(b"\n")[:-1]
    return {int(offset): payload for offset, payload in (line.split() for line in lines)}


async def test_two_processes_that_append_at_once_share_one_order(tmp_path: Path) -> None:
    async with asyncio.timeout(LIMIT_S):
        appenders = [await start_appender(tmp_path, writer, 200) for writer in ("p", "q")]
        told = [acknowledged((await appender.communicate())[0]) for appender in appenders]
    log = await EmbeddedLog.open(tmp_path, "gtl")
    rows = dict(await log.read(Offset(0)))
    await log.close()
    assert list(rows) == list(range(400))
    assert told[0] | told[1] == rows
    for writer, mine in zip(("p", "q"), told, strict=True):
        assert [mine[offset] for offset in sorted(mine)] == [f"{writer}.{number}".encode() for number in range(200)]


async def test_the_tail_sees_what_another_process_appends(tmp_path: Path) -> None:
    log = await EmbeddedLog.open(tmp_path, "gtl")
    seen: list[bytes] = []
    async with asyncio.timeout(LIMIT_S):
        appender = await start_appender(tmp_path, "p", 50)
        while len(seen) < 50:
            assert await log.wait(Offset(len(seen)), timeout_ms=60_000)
            seen.extend(payload for _, payload in await log.read(Offset(len(seen))))
        await appender.communicate()
    assert seen == [f"p.{number}".encode() for number in range(50)]
    await log.close()


async def test_kill_9_of_a_writer_loses_nothing_acknowledged_and_the_log_goes_on(tmp_path: Path) -> None:
    async with asyncio.timeout(LIMIT_S):
        appender = await start_appender(tmp_path, "p", 1_000_000)
        assert appender.stdout is not None
        output = b"".join([await appender.stdout.readline() for _ in range(100)])
        appender.kill()
        output += await appender.stdout.read()
        await appender.wait()
    log = await EmbeddedLog.open(tmp_path, "gtl")
    end = await log.append(b"after")
    rows = dict(await log.read(Offset(0), bytes_max=1 << 30))
    assert list(rows) == list(range(end + 1))
    told = acknowledged(output)
    assert len(told) >= 100
    assert {offset: rows[Offset(offset)] for offset in told} == told
    assert [rows[Offset(offset)] for offset in range(end)] == [f"p.{number}".encode() for number in range(end)]
    await log.close()
