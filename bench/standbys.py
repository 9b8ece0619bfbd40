"""What a hot standby costs: CPU and memory of it and of its leader, idle and under load.

Each role is a process of its own; the GTM and the DBTM of orders have a standby, which folds the same logs as its leader.
"""

import asyncio
import time
from collections.abc import Mapping
from contextlib import ExitStack

from bench.acknowledged import AcknowledgedLoad
from bench.deployment import DOUBLED_ROLES, doubled
from bench.figure import Figure
from bench.goodput import rate_between
from bench.processes import memory_mib
from bench.scene import Scene
from bench.settings import Settings
from grit.runtime.run import run as run_loop
from grit.telemetry.logging import configure_logging
from sample_services.demo.processes import cpu_s_of

CLIENTS = 16
NAMES = {role: (role, f"{role} 2") for role in DOUBLED_ROLES}
"""Role -> the processes of its leader and of its standby."""


def run(settings: Settings) -> list[Figure]:
    """Measure without load, then with it."""
    configure_logging("error")
    return run_loop(_measure(settings))


async def _measure(settings: Settings) -> list[Figure]:
    folder = settings.new_folder("standbys")
    with ExitStack() as stack:
        scene = Scene(doubled(folder), folder, stack)
        await scene.start_all()
        for role in DOUBLED_ROLES:
            await scene.until_caught_up(role)
        await asyncio.sleep(settings.warm_up_s)
        idle = await _cores(scene, settings.load_s)
        async with AcknowledgedLoad(scene.deployment.sidecar, CLIENTS) as load:
            await asyncio.sleep(settings.warm_up_s)
            began = time.monotonic()
            busy = await _cores(scene, settings.load_s)
            rate = rate_between(load.moments, began, time.monotonic())
        for role in DOUBLED_ROLES:
            leader, standby = NAMES[role]
            assert await scene.leader(role) == leader, f"{standby} took over while nobody should have"
        return [
            *_figures("idle", idle, "nothing is asked of anybody"),
            *_figures("under load", busy, f"{rate:,.0f} globals/s in two realms, {CLIENTS} clients"),
            *(Figure(f"memory of {one}, peak", memory_mib(scene.pid(one)), "MiB") for one in _processes()),
        ]


async def _cores(scene: Scene, measured_s: float) -> Mapping[str, float]:
    """Return by process how much of one core it used during this time."""
    began, before = time.monotonic(), {one: cpu_s_of(scene.pid(one)) for one in _processes()}
    await asyncio.sleep(measured_s)
    passed = time.monotonic() - began
    return {one: (cpu_s_of(scene.pid(one)) - used) / passed for one, used in before.items()}


def _figures(when: str, cores: Mapping[str, float], note: str) -> list[Figure]:
    figures = [Figure(f"{one}, {when}", 100 * cores[one], "% of a core", note=note) for one in _processes()]
    for role, (leader, standby) in NAMES.items():
        if cores[leader] > 0:
            figures.append(Figure(f"standby of {role} / its leader, {when}", cores[standby] / cores[leader], "x"))
    return figures


def _processes() -> list[str]:
    return [one for pair in NAMES.values() for one in pair]
