"""Fail-over: from the kill of a leader, or its planned stop, until goodput is back at 90 %; and whether anything was lost.

Each role is a process of its own; the GTM and the DBTM of orders have a standby, and time-outs are the defaults. Who was
ended is started again as standby, and has caught up before the next accident.
"""

import asyncio
import functools
import signal
import statistics
import subprocess
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from bench.acknowledged import AcknowledgedLoad, count_lost, count_present
from bench.deployment import Doubled, doubled
from bench.figure import Figure, Target
from bench.goodput import longest_silence_s, rate_between, recovered_after_s
from bench.processes import GRIT, STOP_S_MAX, DidNotStart, Running, running
from bench.replicas import describe
from bench.settings import Settings
from grit.runtime.run import run as run_loop
from grit.telemetry.logging import configure_logging
from grit.wire.admin import DeploymentStatus, StatusUnanswered, ask_status

CLIENTS = 8
BEFORE_S, AFTER_S = 1.5, 1.0
LIMIT_S = 60.0
LOOK_S = 0.1
ROLES = ("gtm", "dbtm orders")
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
    configure_logging("error")  # that a replica does not listen yet is no news
    return run_loop(_measure(settings))


async def _measure(settings: Settings) -> list[Figure]:
    folder = settings.new_folder("failover")
    with ExitStack() as stack:
        scene = _Scene(doubled(folder), folder, stack)
        await scene.start_all()
        async with AcknowledgedLoad(scene.deployment.sidecar, CLIENTS) as load:
            accidents = await _accidents(scene, load, settings.pick(3, 30))
        await scene.until_quiet()
        figures = _figures(accidents)
        return [*figures, *await _verdict(scene.deployment, load)]


async def _accidents(
    scene: "_Scene", load: AcknowledgedLoad, repetitions: int
) -> Mapping[tuple[str, str], Sequence[Accident]]:
    """Cause each accident so many times, by role and way."""
    told: dict[tuple[str, str], list[Accident]] = {(role, way): [] for role in ROLES for way in WAYS}
    for _ in range(repetitions):
        for (role, way), accidents in told.items():
            await scene.until_caught_up(role)
            accidents.append(await _accident(scene, load, role, WAYS[way][0]))
    return told


async def _accident(scene: "_Scene", load: AcknowledgedLoad, role: str, number: signal.Signals) -> Accident:
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


class _Scene:
    """The processes of a deployment, some of which are ended and started again."""

    def __init__(self, deployment: Doubled, folder: Path, stack: ExitStack) -> None:
        self.deployment = deployment
        self._folder = folder
        self._stack = stack
        self._processes: dict[str, Running] = {}

    async def start_all(self) -> None:
        """Start every process, standbys when the others serve."""
        standbys = [name for name in self.deployment.replicas.values() if name not in ROLES]
        for name in self.deployment.commands:
            if name not in standbys:
                self.start(name)
        # A sidecar that nobody uses does not look for the leader: had it reached a standby first, it would stay there.
        await self._status_when(_is_serving)
        for name in standbys:
            self.start(name)

    def start(self, name: str) -> None:
        """Start a process, again if it has ended."""
        command = {name: self.deployment.commands[name]}
        self._processes |= self._stack.enter_context(running(command, self._folder))

    async def end(self, name: str, number: signal.Signals) -> None:
        """Send a signal that ends a process, and return when it has."""
        process = self._processes[name].process
        process.send_signal(number)
        await asyncio.to_thread(process.wait, STOP_S_MAX)

    async def leader(self, role: str) -> str:
        """Return the name of the process that leads."""
        return self.deployment.replicas[_leader(await self._status_when(_is_serving), role)]

    async def until_quiet(self) -> None:
        """Return when every log and every database has all that committed."""
        await self._status_when(_is_quiet)

    async def until_caught_up(self, role: str) -> None:
        """Return when every replica of a role has read all that was in its log when this was called."""
        end = _end(await self._status_when(_is_serving), role)
        for address, name in self.deployment.replicas.items():
            if name.startswith(role):
                await self._until(functools.partial(_has_read, address, end), f"{name} has read up to {end}")

    async def _status_when(self, is_so: Callable[[DeploymentStatus], bool]) -> DeploymentStatus:
        seen: list[DeploymentStatus] = []

        async def look() -> bool:
            try:
                seen.append(await ask_status(self.deployment.sidecar, timeout_ms=5_000))
            except StatusUnanswered:
                return False
            return is_so(seen[-1])

        await self._until(look, f"the deployment {is_so.__name__.removeprefix('_')}")
        return seen[-1]

    async def _until(self, look: Callable[[], Awaitable[bool]], what: str) -> None:
        try:
            async with asyncio.timeout(LIMIT_S):
                while True:
                    if await look():
                        return
                    await asyncio.sleep(LOOK_S)
        except TimeoutError:
            raise DidNotStart(f"not within {LIMIT_S:g} s: {what}{self.told()}") from None

    def told(self) -> str:
        """Return the ends of all outputs."""
        return "".join(f"\n{name}: {process.tail()}" for name, process in self._processes.items())


def _is_serving(status: DeploymentStatus) -> bool:
    return all(role.state == "SERVING" for role in status.roles)


def _is_quiet(status: DeploymentStatus) -> bool:
    return _is_serving(status) and all(one.pending == one.parked == one.lag == 0 for one in status.realms)


def _leader(status: DeploymentStatus, role: str) -> str:
    """Return its address."""
    if role == "gtm":
        assert status.global_log is not None
        return status.global_log.leader
    return next(one.leader for one in status.realms if role == f"dbtm {one.realm}")


def _end(status: DeploymentStatus, role: str) -> int:
    """Return where its log ends: the last Csn, or the last Lsn."""
    if role == "gtm":
        assert status.global_log is not None
        return status.global_log.csn
    return next(one.lsn for one in status.realms if role == f"dbtm {one.realm}")


async def _has_read(address: str, end: int) -> bool:
    facts = await describe(address)
    return bool(facts["next_csn"] > end if facts["role"] == "gtm" else facts["lsn"] >= end)


def _figures(accidents: Mapping[tuple[str, str], Sequence[Accident]]) -> list[Figure]:
    figures: list[Figure] = []
    for (role, way), some in accidents.items():
        target, name = WAYS[way][1], f"{way} of {role}"
        recovered = [one.recovered_s for one in some]
        rate = statistics.median(one.rate_before for one in some)
        note = f"{len(some)} repetitions; goodput before {rate:,.0f}/s"
        figures.append(Figure(f"{name}, until goodput is back, p50", statistics.median(recovered), "s", target, note))
        figures.append(Figure(f"{name}, until goodput is back, max", max(recovered), "s", target))
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
