"""The floor: what this machine gives to anybody, so that GRIT's figures can be read.

gRPC round trips of the message of M0, answered by a server that does nothing; and appends to the embedded log.
"""

import asyncio
import statistics
import sys
import time
from collections.abc import Awaitable, Callable

from bench.deployment import HOST
from bench.figure import Figure
from bench.m0 import load_figures
from bench.processes import running
from bench.settings import Settings
from grit.log.embedded import EmbeddedLog
from sample_services.demo.deployment import free_ports

RECORD = b"x" * 1_024


def run(settings: Settings) -> list[Figure]:
    """Measure the wire, then the disk."""
    return [*_echo(settings), *asyncio.run(_appends(settings))]


def _echo(settings: Settings) -> list[Figure]:
    folder = settings.new_folder("floor-echo")
    (port,) = free_ports(1)
    command = [sys.executable, "-m", "bench.rival_none", str(folder), "--port", str(port), "--echo"]
    with running({"echo": command}, folder) as processes:
        processes["echo"].wait_for("serving")
        return load_figures(settings, "gRPC echo", f"{HOST}:{port}", processes)


async def _appends(settings: Settings) -> list[Figure]:
    log = await EmbeddedLog.open(settings.new_folder("floor-log"), "gtl")
    try:
        alone = await _timed(lambda: log.append(RECORD), 1, settings.pick(500, 5_000))
        together = await _timed(lambda: log.append(RECORD), 16, settings.pick(2_000, 20_000))
    finally:
        await log.close()
    return [*_append_figures("1 writer", *alone), *_append_figures("16 writers", *together)]


async def _timed(append: Callable[[], Awaitable[object]], writers: int, count: int) -> tuple[float, float, float]:
    """Return appends a second, the median of one in ms, and CPU microseconds of each."""
    latencies: list[float] = []

    async def write() -> None:
        for _ in range(count // writers):
            began = time.perf_counter()
            await append()
            latencies.append(1000 * (time.perf_counter() - began))

    began, cpu = time.perf_counter(), time.process_time()
    await asyncio.gather(*(write() for _ in range(writers)))
    took, used = time.perf_counter() - began, time.process_time() - cpu
    return len(latencies) / took, statistics.median(latencies), 1e6 * used / len(latencies)


def _append_figures(who: str, rate: float, p50_ms: float, cpu_us: float) -> list[Figure]:
    at = f"log append of 1 KiB, {who}"
    return [
        Figure(at, rate, "1/s"),
        Figure(f"{at}, p50", p50_ms, "ms"),
        Figure(f"{at}, CPU", cpu_us, "us/append"),
    ]
