"""`python -m bench.profile`: where the time of M0 goes, in the main thread of a whole deployment in one process.

Prints the CPU time of each thread, too. Runs every role under cProfile while `bench.load` loads them from another process, and prints the functions of GRIT by
own and by cumulative CPU time per commit. cProfile makes calls dearer than they are: compare shares, and measure with `m0`.
"""

import asyncio
import cProfile
import json
import os
import pstats
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import click

from bench.deployment import one_process
from bench.results import ROOT
from grit.cli.role_names import every_role
from grit.cli.roles import Process
from grit.config.load import load_config
from grit.runtime.run import run
from grit.runtime.supervisor import Supervisor
from sample_services.demo.processes import cpu_s_of

OURS = ("grit", "gtm", "dbtm", "log_players")
LOOK_S = 0.02
Row = tuple[str, int, float, float]
"""Function, calls, own seconds, cumulative seconds."""


class Profiled:
    """A deployment under load and profile; to be run once.

    Attributes:
        profile: What was seen.
        commits: Of the load, while it was looked at.
    """

    def __init__(self, clients: int, seconds: float, *, is_profiled: bool = True) -> None:
        self._is_profiled = is_profiled
        self.profile = cProfile.Profile(time.thread_time)
        self.commits = 0
        self._options = [f"--clients={clients}", f"--seconds={seconds}", f"--pid={os.getpid()}"]
        self._loading: asyncio.Task[None] | None = None

    def run(self, folder: Path) -> None:
        """Start everything, load it, stop it."""
        config = load_config(one_process(folder)[0], {})
        run(Supervisor().run(Process(config, every_role(config.realms), started=self._look).compose))

    def _look(self, process: Process) -> None:
        if process.is_serving():
            self._loading = asyncio.get_running_loop().create_task(self._load(process.sidecar_address()))
        else:
            asyncio.get_running_loop().call_later(LOOK_S, self._look, process)

    async def _load(self, address: str) -> None:
        command = (sys.executable, "-m", "bench.load", address, *self._options)
        loading = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE, cwd=ROOT)
        assert loading.stdout is not None
        await loading.stdout.readline()  # "measuring"
        threads = _cpu_of_threads()
        if self._is_profiled:
            self.profile.enable()
        line = await loading.stdout.readline()
        self.profile.disable()
        used = {name: seconds - threads.get(name, 0.0) for name, seconds in _cpu_of_threads().items()}
        await loading.wait()
        told = json.loads(line)
        self.commits = told["commits"]
        click.echo(f"{self.commits} commits, {self.commits / told['seconds']:.0f}/s; CPU us/commit by thread:")
        for name, seconds in sorted(used.items(), key=lambda item: -item[1]):
            if seconds > 0:
                click.echo(f"{1e6 * seconds / max(1, self.commits):8.0f}  {name}")
        os.kill(os.getpid(), signal.SIGTERM)


def _cpu_of_threads() -> dict[str, float]:
    """Return the CPU seconds of the threads of this process: those of Python by name, the others together."""
    pid = os.getpid()
    used = {"threads of gRPC": cpu_s_of(pid)}
    for thread in threading.enumerate():
        seconds = cpu_s_of(pid, thread.native_id)
        used[thread.name] = used.get(thread.name, 0.0) + seconds
        used["threads of gRPC"] -= seconds
    return used


def top(rows: Sequence[Row], commits: int, count: int) -> list[str]:
    """Return the lines of two tables: by own and by cumulative time, microseconds a commit."""
    lines: list[str] = []
    for title, column in (("own", 2), ("cumulative", 3)):
        lines.append(f"{'calls/commit':>12} {'own us':>8} {'cum us':>8}  by {title} time")
        lines += [
            f"{calls / commits:12.2f} {1e6 * own / commits:8.1f} {1e6 * cumulative / commits:8.1f}  {name}"
            for name, calls, own, cumulative in sorted(rows, key=lambda row: -float(row[column]))[:count]
        ]
    return lines


def rows_of(profile: cProfile.Profile, *, everybody: bool) -> list[Row]:
    """Return the functions of a profile; without `everybody` only those of our packages."""
    rows: list[Row] = []
    stats = pstats.Stats(profile).get_stats_profile()
    for name, one in stats.func_profiles.items():
        path = Path(one.file_name)
        is_ours = path.is_relative_to(ROOT) and path.relative_to(ROOT).parts[0] in OURS
        if is_ours or everybody:
            place = path.relative_to(ROOT) if is_ours else path.name
            rows.append((f"{place}:{one.line_number} {name}", int(one.ncalls.split("/")[0]), one.tottime, one.cumtime))
    return rows


@click.command()
@click.option("--clients", default=16, show_default=True)
@click.option("--seconds", default=6.0, show_default=True)
@click.option("--count", default=40, show_default=True, help="Lines of each table.")
@click.option("--threads", is_flag=True, help="Only the CPU time of each thread, without the profile's own cost.")
@click.option("--everybody", is_flag=True, help="Also functions that are not ours.")
def main(clients: int, seconds: float, count: int, *, threads: bool, everybody: bool) -> None:
    """Print where the time of M0 goes."""
    profiled = Profiled(clients, seconds, is_profiled=not threads)
    with tempfile.TemporaryDirectory(prefix="grit-profile-") as folder:
        profiled.run(Path(folder))
    if not threads:
        click.echo("\n".join(top(rows_of(profiled.profile, everybody=everybody), max(1, profiled.commits), count)))


if __name__ == "__main__":
    main()
