"""Processes that the demo started: each with its own log, CPU time and end.

They are known by their id from the first to the last moment; none outlives the demo, however that ends.
"""

import asyncio
import os
import signal
from collections.abc import Callable, Sequence
from pathlib import Path

TAIL_LINES = 15
STOP_S_MAX = 15.0


class Died(Exception):
    """A process ended that should not have; the message shows the end of its log."""


class Process:
    """One process under a name; after a kill it may be started again under the same name.

    Args:
        name: For people; also the name of its log.
        command: Program and arguments.
        log: Where its output goes, appended.
        report: Told when it ends although nobody asked it to.
    """

    def __init__(self, name: str, command: Sequence[str], log: Path, report: Callable[[Died], None]) -> None:
        self.name = name
        self.log = log
        self._command = command
        self._running: asyncio.subprocess.Process | None = None
        self._cpu_s_of_earlier = 0.0
        self._report = report
        self._watching: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Start it. A session of its own: Ctrl-C reaches the demo only, which then stops everybody in order."""
        with self.log.open("ab") as log:
            self._running = await asyncio.create_subprocess_exec(
                *self._command, stdin=asyncio.subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
        self._watching = asyncio.create_task(self._watch(self._running))

    async def kill(self) -> None:
        """End it with SIGKILL, in the middle of whatever it does."""
        self._cpu_s_of_earlier = self.cpu_s()
        await self._signal(signal.SIGKILL)

    async def stop(self) -> None:
        """End it with SIGTERM, and with SIGKILL when that takes too long."""
        self._cpu_s_of_earlier = self.cpu_s()
        try:
            async with asyncio.timeout(STOP_S_MAX):
                await self._signal(signal.SIGTERM)
        except TimeoutError:
            await self._signal(signal.SIGKILL)

    def cpu_s(self) -> float:
        """Return the CPU seconds that it has used so far, user and system, earlier lives included."""
        if self._running is None or self._running.returncode is not None:
            return self._cpu_s_of_earlier
        return self._cpu_s_of_earlier + cpu_s_of(self._running.pid)

    def tail(self) -> str:
        """Return the last lines of its log."""
        lines = self.log.read_text(encoding="utf-8", errors="replace").splitlines() if self.log.exists() else []
        return "\n".join(f"  {line}" for line in lines[-TAIL_LINES:]) or "  (empty)"

    async def _signal(self, number: signal.Signals) -> None:
        running = self._running
        if self._watching is not None:
            self._watching.cancel()
        if running is not None and running.returncode is None:
            running.send_signal(number)
            await running.wait()

    async def _watch(self, running: asyncio.subprocess.Process) -> None:
        status = await running.wait()
        self._report(Died(f"{self.name} ended with status {status}; the end of {self.log}:\n{self.tail()}"))


def cpu_s_of(pid: int, thread: int | None = None) -> float:
    """Return the CPU seconds, user and system, of a process or one thread of it; 0 where the system does not tell."""
    path = f"/proc/{pid}/stat" if thread is None else f"/proc/{pid}/task/{thread}/stat"
    try:
        # The name of the program, in parentheses, may hold spaces.
        fields = Path(path).read_text(encoding="utf-8").rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
