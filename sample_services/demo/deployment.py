"""What runs where: one folder, free ports on loopback, a configuration that says so, and a process for each role and service."""

import asyncio
import contextlib
import fcntl
import functools
import os
import random
import re
import socket
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from sample_services.demo.processes import Died, Process

REALMS = ("cart", "stock", "orders", "payment", "social")
SERVICES = (*REALMS, "shop")
CATALOGUE = Path(__file__).parents[1] / "grit.yaml"
RULES = CATALOGUE.with_name("RULES.yaml")
STANDBYS = "standbys"
"""The process that holds a standby of the GTM and of every DBTM."""
HOST = "127.0.0.1"
PORTS = range(10_000, 32_000)
_chance = random.SystemRandom()  # tests seed the common one alike in every process
_reserved: set[int] = set()


class Deployment:
    """The processes of one marketplace, not started yet.

    Args:
        folder: Empty, or new: configuration, logs and databases go there.
        trace_file: Where every role and service writes its spans; None: nowhere.
        has_standbys: The GTM and every DBTM have one, all of them in one process.

    Attributes:
        config: The configuration that was written.
        death: Done when a process has ended that should not have.
        roles, services: Name -> process, in the order in which they start.
        standbys: The process that holds them, to be started when the others serve; None: there is none.
    """

    def __init__(self, folder: Path, trace_file: Path | None = None, *, has_standbys: bool = False) -> None:
        self.folder = folder
        self.config = folder / "grit.yaml"
        self.death: asyncio.Future[Died] = asyncio.get_running_loop().create_future()
        self.logs = folder / "log"
        self.logs.mkdir(parents=True)
        names = role_names()
        led = [name for name in address_names() if name != "SIDECAR"] if has_standbys else []
        ports = iter(free_ports(3 + len(REALMS) + len(names) + len(SERVICES) + 1 + len(led)))
        self._addresses = {name: f"{HOST}:{next(ports)}" for name in address_names()}
        self._metrics_ports = {name: next(ports) for name in [*names, STANDBYS]}
        self._service_ports = {name: next(ports) for name in SERVICES}
        self._trace = ["--trace-file", str(trace_file)] if trace_file else []
        # A second address in the same list: `["first", "second"]`.
        addresses = self._addresses | {name: f'{self._addresses[name]}", "{HOST}:{next(ports)}' for name in led}
        self.config.write_text(filled(CATALOGUE.read_text(encoding="utf-8"), addresses), encoding="utf-8")
        self.roles = {name: self._role(name, name) for name in names}
        self.standbys = self._role(STANDBYS, " ".join(f"{name}/2" for name in led_names())) if led else None
        self.services = {name: self._service(name) for name in SERVICES}

    @property
    def processes(self) -> list[Process]:
        """Return all of them, in the order in which they start."""
        return [*self.roles.values(), *self.services.values(), *([self.standbys] if self.standbys else [])]

    def process(self, name: str) -> Process:
        """Return the process with this name."""
        return next(process for process in self.processes if process.name == name)

    @property
    def sidecar(self) -> str:
        """Return the address of the sidecar."""
        return self._addresses["SIDECAR"]

    def service_address(self, name: str) -> str:
        """Return the address of a service."""
        return f"{HOST}:{self._service_ports[name]}"

    def metrics_address(self, process: str) -> tuple[str, int]:
        """Return host and port at which a process of roles tells its metrics."""
        return HOST, self._metrics_ports[process]

    def command(self, *arguments: str) -> list[str]:
        """Return the command line of `grit` with these arguments, for this deployment's interpreter."""
        return [str(Path(sys.executable).with_name("grit")), *arguments]

    def _role(self, name: str, roles: str) -> Process:
        metrics = ["--metrics-port", str(self._metrics_ports[name])]
        command = self.command("serve", *roles.split(), "-c", str(self.config), *metrics, *self._trace)
        return self._process(name, command)

    def _service(self, name: str) -> Process:
        command = [sys.executable, "-m", f"sample_services.{name}", "--port", str(self._service_ports[name])]
        command += ["--sidecar", self.sidecar, *self._trace]
        if name == "shop":
            for other in REALMS:
                command += [f"--{other}", self.service_address(other)]
        return self._process(name, command)

    def _process(self, name: str, command: Sequence[str]) -> Process:
        return Process(name, command, self.logs / f"{name.replace(' ', '-')}.log", self._note_death)

    def _note_death(self, death: Died) -> None:
        if not self.death.done():
            self.death.set_result(death)


def role_names() -> list[str]:
    """Return the roles, each a process, as `grit serve` names them."""
    return [*led_names(), *(f"player {realm}" for realm in REALMS), "sidecar"]


def led_names() -> list[str]:
    """Return the roles that have a leader, and may have standbys."""
    return ["gtm", *(f"dbtm {realm}" for realm in REALMS)]


def address_names() -> list[str]:
    """Return the variables of the catalogue that stand for addresses."""
    return ["GTM", "SIDECAR", *(f"DBTM_{realm.upper()}" for realm in REALMS)]


def filled(text: str, values: Mapping[str, str]) -> str:
    """Return a configuration with the named variables put in."""

    def put(match: re.Match[str]) -> str:
        return values.get(match["name"], match[0])

    return re.sub(r"\$\{(?P<name>[A-Z_]+)(?::-[^}]*)?\}", put, text)


def free_ports(count: int) -> list[int]:
    """Return ports of loopback that nobody uses, all different; they are this process's until it ends.

    They are chosen below those that systems give to outgoing connections: one of these could take a port between now and
    the moment at which its process listens. Nor may another deployment choose it meanwhile: a byte of a shared file is
    locked for each.
    """
    ports: list[int] = []
    for port in _chance.sample(PORTS, len(PORTS)):
        if len(ports) == count:
            break
        if port not in _reserved and _reserve(port):
            _reserved.add(port)
            ports.append(port)
    return ports


def _reserve(port: int) -> bool:
    """Lock a port against other processes, if nobody listens on it; return whether that went well."""
    with contextlib.suppress(OSError), socket.socket() as one:
        fcntl.lockf(_locks(), fcntl.LOCK_EX | fcntl.LOCK_NB, 1, port)
        one.bind((HOST, port))
        return True
    return False


@functools.cache
def _locks() -> int:
    """Open the file whose bytes stand for ports; its descriptor stays open, since the locks end when it closes."""
    return os.open(Path(tempfile.gettempdir()) / f"grit-ports-{os.getuid()}", os.O_RDWR | os.O_CREAT, 0o600)
