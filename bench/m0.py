"""M0: one `Transact` of three blind puts in three realms, on embedded parts; the client is a process of its own.

Beside it, in the same run and asked by the same program: `none`, three uncoordinated local commits, no guarantee.
"""

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bench.deployment import HOST, one_process, own_processes
from bench.figure import Figure, Target
from bench.processes import GRIT, DidNotStart, Running, running
from bench.results import ROOT
from bench.settings import Settings
from sample_services.demo.deployment import free_ports

CLIENTS = (1, 16)
_RATE_TARGETS = {("one process", 16): Target(">=", 1_000), ("own processes", 16): Target(">=", 600)}
_P50_TARGETS = {("one process", 1): Target("<=", 3.0)}


def run(settings: Settings) -> list[Figure]:
    """Measure GRIT in one process, in many, and the rival."""
    figures = [*_grit_in_one_process(settings), *_grit_in_own_processes(settings), *_none(settings)]
    rates = {figure.name: figure.value for figure in figures}
    for form in ("one process", "own processes"):
        ratio = rates[f"{form}, 16 clients"] / rates["none, 16 clients"]
        figures.append(Figure(f"{form} / none, 16 clients", ratio, "x"))
    return figures


def _grit_in_one_process(settings: Settings) -> list[Figure]:
    folder = settings.new_folder("m0-one")
    config, sidecar = one_process(folder)
    with running({"grit dev": [GRIT, "dev", str(config)]}, folder) as processes:
        processes["grit dev"].wait_for("ready after")
        figures = load_figures(settings, "one process", sidecar, processes)
    return [*figures, _findings("one process", config)]


def _grit_in_own_processes(settings: Settings) -> list[Figure]:
    folder = settings.new_folder("m0-own")
    config, sidecar, commands = own_processes(folder)
    with running(commands, folder) as processes:
        figures = load_figures(settings, "own processes", sidecar, processes)
    return [*figures, _findings("own processes", config)]


def _none(settings: Settings) -> list[Figure]:
    folder = settings.new_folder("m0-none")
    (port,) = free_ports(1)
    command = [sys.executable, "-m", "bench.rival_none", str(folder), "--port", str(port)]
    with running({"none": command}, folder) as processes:
        processes["none"].wait_for("serving")
        return load_figures(settings, "none", f"{HOST}:{port}", processes)


def load_figures(settings: Settings, form: str, address: str, processes: Mapping[str, Running]) -> list[Figure]:
    """Load what answers at an address with 1 and with 16 clients; return rates, latencies and CPU time.

    Raises:
        DidNotStart: The load failed: shows what every process said last.
    """
    figures: list[Figure] = []
    for clients in CLIENTS:
        try:
            told = measure(settings, address, clients, [one.pid for one in processes.values()])
        except subprocess.CalledProcessError as error:
            ends = [f"{one.name}: {one.tail()}" for one in processes.values()]
            raise DidNotStart(f"the load on {form} failed; the ends of all outputs:\n" + "\n".join(ends)) from error
        figures += _figures(form, clients, told, list(processes))
    return figures


def measure(settings: Settings, address: str, clients: int, pids: Sequence[int]) -> dict[str, Any]:
    """Run the load in its own process; return what it tells, see `bench.load`."""
    command = [sys.executable, "-m", "bench.load", address, f"--clients={clients}", f"--seconds={settings.load_s}"]
    command += [f"--warm-up={settings.warm_up_s}", *(f"--pid={pid}" for pid in pids)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, cwd=ROOT)
    told: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return told


def _figures(form: str, clients: int, told: Mapping[str, Any], names: Sequence[str]) -> list[Figure]:
    at = f"{form}, {clients} client{'s' if clients > 1 else ''}"
    commits = max(1, told["commits"])
    failures = ", ".join(f"{code} {count}" for code, count in sorted(told["failures"].items())) or "none"
    rate = told["commits"] / told["seconds"]
    figures = [Figure(at, rate, "1/s", _RATE_TARGETS.get((form, clients)), f"given up: {failures}")]
    for share in ("p50", "p95", "p99"):
        target = _P50_TARGETS.get((form, clients)) if share == "p50" else None
        figures.append(Figure(f"{at}, {share}", told[f"{share}_ms"], "ms", target))
    for name, used in zip(names, told["cpu_s"], strict=True):
        figures.append(Figure(f"{at}, CPU of {name}", 1e6 * used["all"] / commits, "us/commit"))
        if len(names) == 1:
            figures.append(Figure(f"{at}, CPU of its main thread", 1e6 * used["main"] / commits, "us/commit"))
    if len(names) > 1:
        total = sum(used["all"] for used in told["cpu_s"])
        figures.append(Figure(f"{at}, CPU of all roles", 1e6 * total / commits, "us/commit"))
    figures.append(Figure(f"{at}, CPU of the load", 1e6 * told["own_cpu_s"] / commits, "us/commit"))
    return figures


def _findings(form: str, config: Path) -> Figure:
    """Check the logs and the databases of a deployment that has stopped."""
    findings = 0
    for what in ("log", "state"):
        done = subprocess.run([GRIT, "check", what, str(config)], stdout=subprocess.PIPE, text=True, check=False)
        words = (done.stdout.strip().splitlines() or [""])[-1].split()
        counted = int(words[-2]) if len(words) > 1 and words[-2].isdigit() else 0
        findings += max(1, counted) if done.returncode else 0
    return Figure(f"{form}, findings of grit check", findings, "findings", Target("=", 0))
