"""A deployment with standbys on the stage: its processes are started, ended, started again, and asked how they are."""

import asyncio
import functools
import signal
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from pathlib import Path

from bench.deployment import DOUBLED_ROLES, Doubled
from bench.processes import STOP_S_MAX, DidNotStart, Running, running
from bench.replicas import describe
from grit.wire.admin import DeploymentStatus, StatusUnanswered, ask_status

LIMIT_S = 60.0
LOOK_S = 0.1


class Scene:
    """The processes of a deployment, some of which are ended and started again.

    Args:
        deployment: Its configuration and commands.
        folder: Where outputs go.
        stack: At its end every process is stopped.
    """

    def __init__(self, deployment: Doubled, folder: Path, stack: ExitStack) -> None:
        self.deployment = deployment
        self._folder = folder
        self._stack = stack
        self._processes: dict[str, Running] = {}

    async def start_all(self) -> None:
        """Start every process, standbys when the others serve."""
        standbys = [name for name in self.deployment.replicas.values() if name not in DOUBLED_ROLES]
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

    def pid(self, name: str) -> int:
        """Return the id of a process."""
        return self._processes[name].pid

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
