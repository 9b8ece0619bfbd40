"""What the tool needs to know of an engine; one module for each beside this one."""

import secrets
import shutil
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from tests.stack.errors import StackError
from tests.stack.members import Member
from tests.stack.state import EngineUp, Login

LOOPBACK = "127.0.0.1"
READER, WRITER, OWNER = "dbtm", "player", "owner"
"""Users: what a DBTM reads with, what a player writes with, and who made them."""


class Engine(Protocol):
    """One engine: how it is had, set up, and seen to be ready. What goes wrong is a StackError."""

    @property
    def name(self) -> str:
        """Return what people call it."""
        ...

    @property
    def package(self) -> str:
        """Return the name of its entry in the lock, shared by variants of one engine."""
        ...

    @property
    def version(self) -> str:
        """Return the version that is asked for."""
        ...

    @property
    def is_moving(self) -> bool:
        """Tell whether its source replaces versions by itself."""
        ...

    def install(self, folder: Path) -> dict[str, str]:
        """Download and unpack into an empty folder; return the SHA-256 of what was downloaded by name."""
        ...

    def set_up(self, installed: Path, run: Path) -> EngineUp:
        """Write settings and an empty database below `run`; return its members, not yet started."""
        ...

    def lacks(self, engine: EngineUp) -> str:
        """Return what it still lacks to serve; "" when it is ready, its users apart."""
        ...

    def make_users(self, engine: EngineUp) -> None:
        """Make what can only be made in a running engine; once."""
        ...

    def environ(self, engine: EngineUp) -> Mapping[str, str]:
        """Return the environment of its members."""
        ...


def free_ports(count: int) -> list[int]:
    """Return ports of loopback that nobody listens on now, all different."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for one in sockets:
            one.bind((LOOPBACK, 0))
        return [one.getsockname()[1] for one in sockets]
    finally:
        for one in sockets:
            one.close()


def is_listening(port: int) -> bool:
    """Tell whether somebody accepts connections on a port of loopback."""
    with socket.socket() as probe:
        probe.settimeout(1.0)
        return probe.connect_ex((LOOPBACK, port)) == 0


def new_logins(*roles: str) -> dict[str, Login]:
    """Return users with made-up passwords; a role's user is named like the role."""
    return {role: Login(role, secrets.token_hex(12)) for role in roles}


def member_folder(run: Path, name: str) -> Path:
    """Make the folder of a member, empty, for this user only."""
    folder = run / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True, mode=0o700)
    return folder


def java(heap_mb: int, classes: Path, folder: Path, *arguments: str) -> tuple[str, ...]:
    """Return the command of a Java program that leaves nothing outside of its folder."""
    program = shutil.which("java")
    if program is None:
        raise StackError("there is no java here: install a JDK 17 or newer (Debian: openjdk-17-jre-headless)")
    quiet = ("-XX:-UsePerfData", f"-Djava.io.tmpdir={folder}", f"-Xmx{heap_mb}m", "-cp", f"{classes}/*")
    return (program, *quiet, *arguments)


def member(name: str, folder: Path, command: tuple[str, ...]) -> Member:
    """Return a member that has not run yet."""
    return Member(name, command, str(folder))
