"""How a process starts its roles, stops them, and says why it ends."""

import asyncio
import os
import signal
import sys
from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from typing import Any

import pytest
import structlog

from grit.core.errors import Code, ConfigError, GritError, LogError, StoreRefused
from grit.runtime.fatal import report_fatal, spawn
from grit.runtime.loop import Loop
from grit.runtime.supervisor import Role, Supervisor, exit_status

LIMIT_S = 10
Lines = list[MutableMapping[str, Any]]


class Part:
    """A role that writes down what is asked of it."""

    def __init__(self, name: str, journal: list[str]) -> None:
        self.name = name
        self.journal = journal
        self.on_start: Callable[[], Awaitable[object]] | None = None
        self.on_drain: Callable[[], Awaitable[object]] | None = None
        self.on_close: Callable[[], Awaitable[object]] | None = None

    async def start(self) -> None:
        await self._do("start", self.on_start)

    async def drain(self) -> None:
        await self._do("drain", self.on_drain)

    async def close(self) -> None:
        await self._do("close", self.on_close)

    async def _do(self, what: str, work: Callable[[], Awaitable[object]] | None) -> None:
        self.journal.append(f"{what} {self.name}")
        if work is not None:
            await work()


class Process:
    """Two roles under a supervisor."""

    def __init__(self, **limits: int) -> None:
        self.journal: list[str] = []
        self.log, self.gtm = Part("log", self.journal), Part("gtm", self.journal)
        self.supervisor = Supervisor(**limits)
        self.lines: Lines = []

    async def run(self, then: Callable[[], object] | None = None) -> int:
        """Run until it ends; call `then` when all roles have started. Returns the exit status."""

        async def last() -> None:
            if then is not None:
                asyncio.get_running_loop().call_soon(then)

        end = Part("end", [])
        end.on_start = last

        async def compose() -> Sequence[Role]:
            return [self.log, self.gtm, end]

        with structlog.testing.capture_logs() as self.lines:
            async with asyncio.timeout(LIMIT_S):
                return await self.supervisor.run(compose)

    def told(self) -> Lines:
        return [line for line in self.lines if line["log_level"] not in ("info", "warning")]


def raising(error: BaseException) -> Callable[[], Awaitable[object]]:
    async def work() -> None:
        raise error

    return work


async def for_ever() -> None:
    await asyncio.Event().wait()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_drains_and_closes_in_the_reverse_order_of_the_start(number: signal.Signals) -> None:
    process = Process()
    assert await process.run(lambda: os.kill(os.getpid(), number)) == 0
    assert process.journal == ["start log", "start gtm", "drain gtm", "drain log", "close gtm", "close log"]
    assert process.told() == []


async def test_a_second_stop_closes_without_waiting_for_the_drain() -> None:
    process = Process()

    async def drain() -> None:
        process.supervisor.stop()
        await for_ever()

    process.gtm.on_drain = drain
    assert await process.run(process.supervisor.stop) == 0
    assert process.journal == ["start log", "start gtm", "drain gtm", "close gtm", "close log"]


async def test_a_drain_beyond_its_limit_is_cut_short() -> None:
    process = Process(drain_ms=1)
    process.gtm.on_drain = for_ever
    assert await process.run(process.supervisor.stop) == 0
    assert process.journal[-2:] == ["close gtm", "close log"]
    assert "not drained in time" in [line["event"] for line in process.lines]


async def test_a_close_beyond_its_limit_leaves_the_others_to_close() -> None:
    process = Process(close_ms=1)
    process.gtm.on_close = for_ever
    assert await process.run(process.supervisor.stop) == 0
    assert process.journal[-1] == "close log"


async def test_a_stop_during_the_start_gives_the_start_up() -> None:
    process = Process()

    async def start() -> None:
        process.supervisor.stop()
        await for_ever()

    process.gtm.on_start = start
    assert await process.run() == 0
    assert process.journal == ["start log", "start gtm", "drain log", "close gtm", "close log"]


async def test_a_role_that_cannot_start_ends_the_process_with_one_line() -> None:
    process = Process()
    process.gtm.on_start = raising(ConfigError("cannot listen on localhost:7410:\nin use"))
    assert await process.run() == 3
    assert process.journal == ["start log", "start gtm", "close gtm", "close log"]
    assert process.told() == [
        {
            "event": "cannot listen on localhost:7410: in use",
            "component": "supervisor",
            "place": "start",
            "kind": "ConfigError",
            "log_level": "error",
        }
    ]


async def test_a_bug_is_told_with_its_traceback_and_nothing_is_drained() -> None:
    process = Process()
    bug = AssertionError("Lsn 7 twice")
    assert await process.run(lambda: report_fatal(bug, place="step of Vote")) == 70
    assert process.journal == ["start log", "start gtm", "close gtm", "close log"]
    (line,) = process.told()
    assert (line["exc_info"], line["place"], line["log_level"]) == (bug, "step of Vote", "critical")


async def test_an_exception_of_a_machine_reaches_the_supervisor() -> None:
    def step(now: int, event: str) -> list[str]:
        raise LogError("gtl: damaged at offset 9: restore it")

    process = Process()
    assert await process.run(lambda: Loop[str, str](step, print).post("event")) == 3
    assert [line["event"] for line in process.told()] == ["gtl: damaged at offset 9: restore it"]


async def test_an_exception_of_a_task_reaches_the_supervisor() -> None:
    tasks: list[asyncio.Task[None]] = []

    async def work() -> None:
        raise StoreRefused("orders: Lsn 7")

    process = Process()
    assert await process.run(lambda: tasks.append(spawn(work(), name="player"))) == 3
    assert process.told()[0]["place"] == "task player"


async def test_an_exception_of_a_callback_reaches_the_supervisor() -> None:
    process = Process()
    assert await process.run(lambda: int("x")) == 70


async def test_trouble_of_the_event_loop_with_the_system_is_told_but_not_fatal() -> None:
    process = Process()

    def trouble() -> None:
        asyncio.get_running_loop().call_exception_handler({"message": "accept", "exception": OSError(24, "too many")})
        process.supervisor.stop()

    assert await process.run(trouble) == 0
    assert "accept" in [line.get("message") for line in process.lines]


async def test_an_os_error_of_a_role_is_fatal() -> None:
    process = Process()
    assert await process.run(lambda: report_fatal(OSError(28, "disk full"), place="perform")) == 70


async def test_the_first_error_gives_the_status_and_the_only_line() -> None:
    process = Process()
    process.gtm.on_close = raising(AssertionError("echo"))
    assert await process.run(lambda: report_fatal(ConfigError("first"), place="a")) == 3
    assert [line["event"] for line in process.told()] == ["first"]
    assert process.journal[-1] == "close log"


async def test_an_error_of_a_close_is_not_lost() -> None:
    process = Process()
    process.gtm.on_close = raising(KeyError("echo"))
    assert await process.run(process.supervisor.stop) == 70


async def test_a_composition_that_fails_ends_the_process() -> None:
    async def compose() -> Sequence[Role]:
        raise ConfigError("grit.yaml:3:1: no realms")

    with structlog.testing.capture_logs():
        assert await Supervisor().run(compose) == 3


def test_the_world_gives_3_and_a_bug_gives_70() -> None:
    world = [ConfigError("x"), LogError("x"), StoreRefused("x"), GritError(Code.NO_LEADER, "x")]
    assert {exit_status(error) for error in world} == {3}
    assert {exit_status(error) for error in (AssertionError(), TypeError(), OSError())} == {70}


SCRIPT = """
import sys
from grit.runtime.run import run
from grit.runtime.supervisor import Supervisor
from grit.telemetry.logging import configure_logging
from grit.telemetry.metrics import Metrics, MetricsServer

async def compose():
    return [MetricsServer(Metrics(), "127.0.0.1", int(sys.argv[1]))]

async def main():
    return await Supervisor().run(compose)

configure_logging()
sys.exit(run(main()))
"""


async def test_a_real_process_stops_at_sigterm_and_refuses_a_port_in_use_without_a_traceback() -> None:
    async with asyncio.timeout(30):
        occupied = await asyncio.start_server(lambda _reader, writer: writer.close(), "127.0.0.1", 0)
        port = occupied.sockets[0].getsockname()[1]
        status, lines = await run_script(str(port), stop_when=None)
        assert (status, len(lines)) == (3, 1)
        assert f"cannot serve metrics on 127.0.0.1:{port}" in lines[0]
        assert "Traceback" not in lines[0]
        occupied.close()
        assert (await run_script("0", stop_when=b"started"))[0] == 0


async def run_script(argument: str, stop_when: bytes | None) -> tuple[int, list[str]]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", SCRIPT, argument, stderr=asyncio.subprocess.PIPE
    )
    assert process.stderr is not None
    lines: list[str] = []
    async for line in process.stderr:
        lines.append(line.decode())
        if stop_when is not None and stop_when in line:
            process.terminate()
    return await process.wait(), lines
