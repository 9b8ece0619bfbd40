"""Fail-over: from the kill of a leader, or its planned stop, until goodput is back at 90 %; and whether anything was lost.

Each role is a process of its own; the GTM and the DBTM of orders have a standby, and time-outs are the defaults. Who was
ended is started again as standby, and has caught up before the next accident.
"""

import asyncio
import signal
import statistics
import subprocess
import time
from collections.abc import Collection, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass

from bench.acknowledged import AcknowledgedLoad, count_lost, count_present
from bench.deployment import DOUBLED_ROLES, Doubled, doubled
from bench.figure import Figure, Target
from bench.goodput import longest_silence_s, rate_between, recovered_after_s
from bench.processes import GRIT, DidNotStart
from bench.scene import LIMIT_S, LOOK_S, Scene
from bench.settings import Settings
from grit.runtime.run import run as run_loop
from grit.telemetry.logging import configure_logging

CLIENTS = 8
BEFORE_S, AFTER_S = 1.5, 1.0
WAYS = {"kill": (signal.SIGKILL, Target("<=", 5.0)), "hand-over": (signal.SIGTERM, Target("<=", 0.5))}


@dataclass(frozen=True)
class Accident:
    """What one did.

    Attributes:
        recovered_s: Seconds until goodput was back; `LIMIT_S` when it was not by then.
        silence_s: The longest time without an acknowledgement from the accident on.
        rate_before: Acknowledgements a second before.
    """

    recovered_s: float
    silence_s: float
    rate_before: float


def run(settings: Settings) -> list[Figure]:
    """End leaders, again and again, and measure how long it is felt."""
    return measure(settings, WAYS)


def measure(settings: Settings, ways: Collection[str], *, has_elector: bool = False) -> list[Figure]:
    """Measure some of `WAYS`; `has_elector`: with file locks that say which replica tries first."""
    configure_logging("error")  # that a replica does not listen yet is no news
    return run_loop(_measure(settings, ways, has_elector=has_elector))


async def _measure(settings: Settings, ways: Collection[str], *, has_elector: bool) -> list[Figure]:
    folder = settings.new_folder("failover")
    with ExitStack() as stack:
        scene = Scene(doubled(folder, has_elector=has_elector), folder, stack)
        await scene.start_all()
        async with AcknowledgedLoad(scene.deployment.sidecar, CLIENTS) as load:
            accidents = await _accidents(scene, load, ways, settings.pick(3, 30))
        await scene.until_quiet()
        figures = _figures(accidents)
        return [*figures, *await _verdict(scene.deployment, load)]


async def _accidents(
    scene: Scene, load: AcknowledgedLoad, ways: Collection[str], repetitions: int
) -> Mapping[tuple[str, str], Sequence[Accident]]:
    """Cause each accident so many times, by role and way."""
    told: dict[tuple[str, str], list[Accident]] = {(role, way): [] for role in DOUBLED_ROLES for way in ways}
    for _ in range(repetitions):
        for (role, way), accidents in told.items():
            await scene.until_caught_up(role)
            accidents.append(await _accident(scene, load, role, WAYS[way][0]))
    return told


async def _accident(scene: Scene, load: AcknowledgedLoad, role: str, number: signal.Signals) -> Accident:
    leader = await scene.leader(role)
    await asyncio.sleep(BEFORE_S)
    at = time.monotonic()
    rate = rate_between(load.moments, at - BEFORE_S, at)
    if not rate:
        raise DidNotStart(f"nothing was acknowledged in {BEFORE_S:g} s before the accident{scene.told()}")
    ended = asyncio.create_task(scene.end(leader, number))
    while not ended.done() or _waits(load, at, rate):
        load.expect_alive()
        await asyncio.sleep(LOOK_S)
    await ended
    await asyncio.sleep(AFTER_S)
    recovered = recovered_after_s(load.moments, at, rate)
    silence = longest_silence_s(load.moments, at, time.monotonic())
    scene.start(leader)
    return Accident(LIMIT_S if recovered is None else recovered, silence, rate)


def _waits(load: AcknowledgedLoad, at: float, rate: float) -> bool:
    return time.monotonic() < at + LIMIT_S and recovered_after_s(load.moments, at, rate) is None


def _figures(accidents: Mapping[tuple[str, str], Sequence[Accident]]) -> list[Figure]:
    figures: list[Figure] = []
    for (role, way), some in accidents.items():
        target, name = WAYS[way][1], f"{way} of {role}"
        recovered = [one.recovered_s for one in some]
        rate = statistics.median(one.rate_before for one in some)
        note = f"{len(some)} repetitions; goodput before {rate:,.0f}/s"
        figures.append(Figure(f"{name}, until goodput is back, p50", statistics.median(recovered), "s", target, note))
        longest = f"{name}, until goodput is back, max"
        figures.append(Figure(longest, max(recovered), "s", target, samples=tuple(recovered)))
        figures.append(Figure(f"{name}, longest silence, max", max(one.silence_s for one in some), "s"))
    return figures


async def _verdict(deployment: Doubled, load: AcknowledgedLoad) -> list[Figure]:
    """Compare the logs and the databases with each other, and with what clients were told."""
    none = Target("=", 0)
    note = f"of {len(load.acknowledged):,}; {len(load.refused):,} refused, {load.unknown:,} unknown"
    lost = await count_lost(deployment.sidecar, load.acknowledged)
    present = await count_present(deployment.sidecar, load.refused)
    invalid = [
        arguments for arguments in (["log", "--quiesced"], ["state"]) if not await _is_valid(deployment, arguments)
    ]
    return [
        Figure("acknowledged, and lost", lost, "transactions", none, note),
        Figure("refused, and there all the same", present, "transactions", none),
        Figure("checks that were not VALID", len(invalid), "checks", none, ", ".join(map(" ".join, invalid))),
    ]


async def _is_valid(deployment: Doubled, arguments: Sequence[str]) -> bool:
    command = [GRIT, "check", *arguments, str(deployment.config)]
    done = await asyncio.to_thread(subprocess.run, command, stdout=subprocess.PIPE, text=True, check=False)
    return done.returncode == 0 and "VALID" in done.stdout.splitlines()[-1].split()
