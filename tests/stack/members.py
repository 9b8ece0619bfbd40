"""One process of the stack: started, recognised again, asked to stop, killed.

A process is known by its id *and* by when it began, so that a number that was given out again is never signalled.
"""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import msgspec

from tests.stack.errors import StackError

LOOK_S = 0.05


class Member(msgspec.Struct, frozen=True):
    """A process of an engine.

    Attributes:
        name: `mysql`, or `kafka3.2` for the second broker of three.
        command: What starts it again, in `folder`.
        folder: Absolute; its output goes to `output.txt` there.
        stop_signal: What asks it to stop in order.
        pid: 0 when it has never run.
        began: Clock ticks from the start of the machine to the start of the process.
    """

    name: str
    command: tuple[str, ...]
    folder: str
    stop_signal: int = signal.SIGTERM
    pid: int = 0
    began: int = 0

    @property
    def output(self) -> Path:
        """Return where it writes what it has to say."""
        return Path(self.folder) / "output.txt"

    def is_alive(self) -> bool:
        """Tell whether this very process runs."""
        return self.pid != 0 and began_at(self.pid) == self.began


def began_at(pid: int, proc: Path = Path("/proc")) -> int:
    """Return when a process began, in clock ticks; 0 when there is none, or it has ended and waits to be buried."""
    try:
        text = (proc / str(pid) / "stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return 0
    state, *rest = text.rpartition(")")[2].split()  # the name before it may hold anything
    return 0 if state in "ZX" else int(rest[18])


def start(member: Member, environ: Mapping[str, str]) -> Member:
    """Start a member, unless it runs; return it with its process.

    Raises:
        StackError: The program cannot be run.
    """
    if member.is_alive():
        return member
    try:
        with member.output.open("ab") as output:
            process = subprocess.Popen(
                member.command,
                cwd=member.folder,
                env=dict(environ),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
    except OSError as error:
        raise StackError(f"{member.name}: {member.command[0]} cannot be run: {error.strerror}; install it") from error
    return msgspec.structs.replace(member, pid=process.pid, began=began_at(process.pid))


def stop(member: Member, *, timeout_s: float) -> None:
    """Ask a member to stop in order; kill it when it has not after `timeout_s`."""
    if member.is_alive():
        _signal(member, member.stop_signal)
    if not _ends(member, timeout_s):
        kill(member)


def kill(member: Member) -> None:
    """Kill a member as a power cut would, and wait until it is gone."""
    if member.is_alive():
        _signal(member, signal.SIGKILL)
    if not _ends(member, 20.0):
        raise StackError(f"{member.name}: process {member.pid} does not end, not even killed; look at it with ps")


def await_ready(members: Sequence[Member], probe: Callable[[], str], *, timeout_s: float) -> None:
    """Wait until `probe` returns "", which otherwise says what is missing.

    Raises:
        StackError: It still says so after `timeout_s`, or a member has ended.
    """
    deadline = time.monotonic() + timeout_s
    while missing := probe():
        for member in members:
            if not member.is_alive():
                raise StackError(f"{member.name} ended while it started: {last_words(member)}")
        if time.monotonic() > deadline:
            names = ", ".join(member.name for member in members)
            raise StackError(f"{names} not ready after {timeout_s:.0f} s: {missing}; see {members[0].output}")
        time.sleep(LOOK_S)


def last_words(member: Member) -> str:
    """Return the end of what a member wrote, on one line, and where the rest stands."""
    try:
        lines = member.output.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    words = next((line.strip() for line in reversed(lines) if line.strip()), "it said nothing")
    return f"{words[:300]} (all of it in {member.output})"


def _signal(member: Member, number: int) -> None:
    try:
        os.kill(member.pid, number)
    except ProcessLookupError:
        return


def _ends(member: Member, timeout_s: float) -> bool:
    deadline = time.monotonic() + timeout_s
    while member.is_alive():
        if time.monotonic() > deadline:
            return False
        time.sleep(LOOK_S)
    return True
