"""The command line: how long a newcomer waits."""

import asyncio
import statistics
import subprocess
import time

from bench.deployment import one_process
from bench.figure import Figure, Target
from bench.load import Load
from bench.processes import GRIT, running
from bench.settings import Settings

RUNS = 10


def run(settings: Settings) -> list[Figure]:
    """Measure `grit --help`, and `grit dev` from its start to the first commit."""
    figures = [
        Figure("grit --help, median of 10", statistics.median(_help_s() for _ in range(RUNS)), "s", Target("<", 0.4))
    ]
    ready: list[float] = []
    committed: list[float] = []
    for at in range(settings.pick(2, 5)):
        folder = settings.new_folder(f"cli-{at}")
        config, sidecar = one_process(folder)
        began = time.perf_counter()
        with running({"grit dev": [GRIT, "dev", str(config)]}, folder) as processes:
            processes["grit dev"].wait_for("ready after")
            ready.append(time.perf_counter() - began)
            asyncio.run(_first_commit(sidecar))
            committed.append(time.perf_counter() - began)
    figures.append(Figure("grit dev to ready, median", statistics.median(ready), "s", Target("<", 3.0)))
    figures.append(Figure("grit dev to the first commit, median", statistics.median(committed), "s", Target("<", 3.0)))
    return figures


def _help_s() -> float:
    began = time.perf_counter()
    subprocess.run([GRIT, "--help"], stdout=subprocess.DEVNULL, check=True)
    return time.perf_counter() - began


async def _first_commit(sidecar: str) -> None:
    load = Load(sidecar, clients=1, keys=1)
    await load.until_ready()
    await load.close()
