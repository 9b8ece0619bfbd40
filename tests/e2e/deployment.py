"""A deployment of real processes: `grit serve` and `grit dev` on free ports, logs and databases in one folder."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import grpc
import pytest

from grit.cli.project import PROJECT_FILES
from grit.pb.v1 import admin_pb2 as pb
from grit.pb.v1 import admin_pb2_grpc
from grit.runtime.failpoints import VARIABLE
from sample_services.demo.deployment import HOST, free_ports

LIMIT_S = 40.0
"""For everything that is waited for; most takes a second. The machine may be busy."""
LOOK_S = 0.02
ENDS_ITS_PROCESSES = pytest.mark.timeout(60, method="signal")
"""A test that takes too long fails by a signal: the other method ends the interpreter, and leaves processes behind."""
ROLES = ("gtm", "dbtm orders", "player orders", "dbtm carts player carts dbtm social player social", "sidecar")
"""A process each: those that are killed alone, the rest together."""


def until(is_true: Callable[[], bool], what: Callable[[], str]) -> None:
    """Wait for a condition; `what` says what was missing when the time is over."""
    deadline = time.monotonic() + LIMIT_S
    while not is_true():
        assert time.monotonic() < deadline, f"not within {LIMIT_S:g} s: {what()}"
        time.sleep(LOOK_S)


def grit(*arguments: str | Path, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run a command of `grit` to its end."""
    command = [sys.executable, "-m", "grit.cli", *map(str, arguments)]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=LIMIT_S, check=False)


class Process:
    """One process; known by its id, and never left behind."""

    def __init__(self, arguments: Sequence[str | Path], output: Path, *, module: str = "grit.cli") -> None:
        self._command = [sys.executable, "-m", module, *map(str, arguments)]
        self._output = output
        self._running: subprocess.Popen[bytes] | None = None
        self._began_at = 0

    def start(self, *, failpoints: str = "") -> None:
        environment = {**os.environ, VARIABLE: failpoints}
        with self._output.open("ab") as out:
            self._began_at = out.tell()
            self._running = subprocess.Popen(
                self._command,
                cwd=self._output.parent,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                env=environment,
            )

    @property
    def output(self) -> str:
        """Return what it has said since it was started."""
        return self._output.read_bytes()[self._began_at :].decode("utf-8", "replace")

    @property
    def is_running(self) -> bool:
        return self._running is not None and self._running.poll() is None

    @property
    def is_stopped(self) -> bool:
        """Tell whether SIGSTOP holds it."""
        assert self._running is not None
        return Path(f"/proc/{self._running.pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0] == "T"

    def signal(self, number: int) -> None:
        assert self._running is not None
        os.kill(self._running.pid, number)

    def wait(self) -> int:
        """Return its exit status, negative for a signal."""
        assert self._running is not None
        return self._running.wait(LIMIT_S)

    def kill(self) -> None:
        """End it in the middle of whatever it does."""
        if self.is_running:
            self.signal(signal.SIGKILL)
            self.wait()

    def stop(self) -> int:
        """End it as an operator does; return its exit status."""
        if self.is_running:
            self.signal(signal.SIGTERM)
        return self.wait()

    def until_said(self, words: str) -> None:
        """Wait until it has written these words."""
        until(lambda: words in self.output or not self.is_running, lambda: f"{words!r} in:\n{self.output}")
        assert words in self.output, f"it ended without {words!r}:\n{self.output}"


class Deployment:
    """The project of `grit init` on free ports.

    Attributes:
        processes: Name -> process; the names of `ROLES`, or "dev".
        leaders: Address -> name, of the processes that may lead the GTM or the realm orders.
    """

    def __init__(self, folder: Path, *, extra: str = "") -> None:
        self.folder = folder
        self.config = folder / "grit.yaml"
        self.processes: dict[str, Process] = {}
        ports = dict(zip((7410, 7400, 7420, 7421, 7422), free_ports(5), strict=True))
        self.sidecar = f"{HOST}:{ports[7400]}"
        self.gtm = f"{HOST}:{ports[7410]}"
        self.dbtm_orders = f"{HOST}:{ports[7420]}"
        self.leaders = {self.gtm: "gtm", self.dbtm_orders: "dbtm orders"}
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in PROJECT_FILES.items():
            for before, after in ports.items():
                text = text.replace(f"{HOST}:{before}", f"{HOST}:{after}")  # noqa: PLW2901
            (folder / name).write_text(text, encoding="utf-8")
        self.config.write_text(self.config.read_text(encoding="utf-8") + extra, encoding="utf-8")

    def add_standbys(self, *addresses: str) -> None:
        """Give the roles at these addresses a second replica."""
        text = self.config.read_text(encoding="utf-8")
        for address, port in zip(addresses, free_ports(len(addresses)), strict=True):
            second = f"{HOST}:{port}"
            text = text.replace(f'["{address}"]', f'["{address}", "{second}"]')
            if address in self.leaders:
                self.leaders[second] = f"{self.leaders[address]}/2"
        self.config.write_text(text, encoding="utf-8")

    def leader(self, role: str) -> str:
        """Return the name of the process that leads, once one does and says so."""
        found: list[str] = []

        def is_known() -> bool:
            status = self.status()
            if status is not None:
                realm = next((one.leader for one in status.realms if role == f"dbtm {one.realm}"), "")
                address = status.global_log.leader if role == "gtm" else realm
                found.extend([self.leaders[address]] if address else [])
            return bool(found)

        until(is_known, lambda: f"{role} is led: {self._told()}")
        return found[-1]

    def lsn(self, realm: str) -> int:
        """Return the newest durable Lsn of a realm, as its leader tells."""
        return self._realm(realm).lsn

    def applied(self, realm: str) -> int:
        """Return the Lsn up to which the leader knows the database of a realm to be."""
        return self._realm(realm).applied_lsn

    def _realm(self, realm: str) -> pb.RealmStatus:
        status = self.status()
        assert status is not None, "the sidecar does not answer"
        return next(one for one in status.realms if one.realm == realm)

    def start_dev(self) -> None:
        """Start all roles in one process, and wait until it says that it is ready."""
        process = self.run("dev", ["dev", self.config])
        process.until_said("ready after")

    def serve(self, *names: str) -> None:
        """Start a process for each; each name is what follows `grit serve`."""
        for name in names:
            self.run(name, ["serve", *name.split(), "-c", self.config])

    def run(self, name: str, arguments: Sequence[str | Path], *, module: str = "grit.cli") -> Process:
        """Start a process under a name; one that ended before is started again."""
        output = self.folder / f"{name.replace(' ', '-').replace('/', '-')}.out"
        process = self.processes[name] = Process(arguments, output, module=module)
        process.start()
        return process

    def stop(self) -> None:
        """Stop all, in the order in which nothing is cut short."""
        for process in reversed(self.processes.values()):
            if process.is_running:
                process.signal(signal.SIGTERM)
        for process in self.processes.values():
            try:
                process.wait()
            except subprocess.TimeoutExpired:
                process.kill()

    def status(self) -> pb.DeploymentStatus | None:
        """Return how it is; None when the sidecar does not answer."""
        with grpc.insecure_channel(self.sidecar, options=[("grpc.use_local_subchannel_pool", 1)]) as channel:
            stub: Any = admin_pb2_grpc.AdminStub(channel)
            try:
                answer: pb.AdminStatusResponse = stub.Status(pb.AdminStatusRequest(), timeout=5)
            except grpc.RpcError:
                return None
        return answer.deployment

    def until_serving(self) -> None:
        """Wait until every role serves."""
        until(lambda: self._all_run() and (s := self.status()) is not None and _is_serving(s), self._told)

    def until_quiet(self) -> None:
        """Wait until everything that committed is in every log; the databases follow."""
        until(lambda: self._all_run() and (s := self.status()) is not None and _is_quiet(s), self._told)

    def until_applied(self) -> None:
        """Wait until the databases have everything too."""
        until(lambda: (s := self.status()) is not None and all(realm.lag == 0 for realm in s.realms), self._told)

    def expect_valid(self) -> None:
        """Check logs and databases, once nothing is under way."""
        self.until_quiet()
        for arguments in (("check", "log", self.config, "--quiesced"), ("check", "state", self.config)):
            done = grit(*arguments)
            assert done.returncode == 0, f"{arguments}\n{done.stdout}{done.stderr}"
            assert done.stdout.splitlines()[-1].startswith("VALID"), done.stdout

    def _all_run(self) -> bool:
        assert all(process.is_running for process in self.processes.values()), self._told()
        return True

    def _told(self) -> str:
        ended = [name for name, process in self.processes.items() if not process.is_running]
        tails = "\n".join(f"--- {name}\n{p.output[-1_500:]}" for name, p in self.processes.items())
        return f"{self.status()}\nended: {ended}\n{tails}"


def _is_serving(status: pb.DeploymentStatus) -> bool:
    return all(role.state == pb.ROLE_STATE_SERVING for role in status.roles)


def _is_quiet(status: pb.DeploymentStatus) -> bool:
    return _is_serving(status) and all(realm.pending == 0 and realm.parked == 0 for realm in status.realms)
