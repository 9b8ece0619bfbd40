"""Processes that a benchmark starts, and the memory that they use."""

import contextlib
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

START_S_MAX = 60.0
STOP_S_MAX = 20.0
LOOK_S = 0.02
TAIL_CHARACTERS = 2_000
GRIT = str(Path(sys.executable).with_name("grit"))


class DidNotStart(Exception):
    """A process ended, or did not do what was waited for; the message has the end of its output."""


@dataclass(frozen=True)
class Running:
    """One process under a name; `output` is where its lines go."""

    name: str
    process: "subprocess.Popen[bytes]"
    output: Path

    @property
    def pid(self) -> int:
        """Return its id."""
        return self.process.pid

    def wait_for(self, text: str) -> str:
        """Return the first line of its output that holds `text`.

        Raises:
            DidNotStart: It ended, or does not say so.
        """
        deadline = time.monotonic() + START_S_MAX
        while time.monotonic() < deadline:
            lines = self.output.read_text(encoding="utf-8", errors="replace").splitlines()
            found = next((line for line in lines if text in line), None)
            if found is not None:
                return found
            if self.process.poll() is not None:
                break
            time.sleep(LOOK_S)
        raise DidNotStart(f"{self.name} did not say {text!r}: {self.tail()}")

    def tail(self) -> str:
        """Return the end of its output, and how it ended if it did."""
        status = self.process.poll()
        said = self.output.read_text(encoding="utf-8", errors="replace")[-TAIL_CHARACTERS:]
        return said if status is None else f"{said}(ended with status {status})"


@contextlib.contextmanager
def running(commands: Mapping[str, Sequence[str]], folder: Path) -> Iterator[dict[str, Running]]:
    """Run processes as long as the block lasts; at its end each gets SIGTERM, and SIGKILL when that takes too long."""
    started: dict[str, Running] = {}
    try:
        for name, command in commands.items():
            started[name] = _start(name, command, folder)
        yield started
    finally:
        for one in started.values():
            one.process.send_signal(signal.SIGTERM)
        for one in started.values():
            _reap(one.process)


def _start(name: str, command: Sequence[str], folder: Path) -> Running:
    output = folder / f"{name.replace(' ', '-')}.out"
    with output.open("wb") as file:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=file, stderr=file, cwd=Path(__file__).parents[1]
        )
    return Running(name, process, output)


def _reap(process: "subprocess.Popen[bytes]") -> None:
    try:
        process.wait(STOP_S_MAX)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def memory_mib(pid: int) -> float:
    """Return the peak resident memory of a process; 0 where the system does not tell."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines()
    except OSError:
        return 0.0
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM")), 0.0)
