"""What is up: written by the tool, read by tests and by people who want to log in.

The file holds passwords that were made up for this run and is readable by its user only.
"""

import os
from pathlib import Path
from threading import Lock

import msgspec

from tests.stack.errors import StackError
from tests.stack.members import Member

_CHANGE = Lock()
"""Engines are started by threads of one process; other processes wait for `Places.locked`."""


class Login(msgspec.Struct, frozen=True):
    """A user of an engine."""

    user: str
    password: str


class EngineUp(msgspec.Struct, frozen=True):
    """An engine that was set up.

    Attributes:
        members: Its processes.
        ports: On loopback, by what they are for; the first member's, or the only one's, come first.
        logins: By role: `reader` (the DBTM), `writer` (the player), `owner` (the tool alone).
        ids: What else the engine is known by.
        is_complete: Its users are made; an engine without is set up anew.
    """

    name: str
    version: str
    members: tuple[Member, ...]
    ports: dict[str, int]
    logins: dict[str, Login] = {}
    ids: dict[str, str] = {}
    is_complete: bool = False


class Stack(msgspec.Struct, frozen=True):
    """Every engine that was set up, by name."""

    engines: dict[str, EngineUp] = {}

    def engine(self, name: str) -> EngineUp:
        """Return an engine.

        Raises:
            StackError: It is not up.
        """
        if name not in self.engines:
            raise StackError(f"{name} is not up: run `python -m tests.stack up {name}`")
        return self.engines[name]

    def with_engine(self, engine: EngineUp) -> "Stack":
        """Return this with an engine put in, or replaced."""
        return Stack(self.engines | {engine.name: engine})

    def without(self, name: str) -> "Stack":
        """Return this without an engine."""
        return Stack({other: engine for other, engine in self.engines.items() if other != name})


def load(path: Path) -> Stack:
    """Return what a file says; a missing one says that nothing is up.

    Raises:
        StackError: It is not what the tool wrote.
    """
    try:
        return msgspec.json.decode(path.read_bytes(), type=Stack)
    except FileNotFoundError:
        return Stack()
    except (OSError, msgspec.MsgspecError) as error:
        raise StackError(f"{path} cannot be read: {error}; end its processes by hand and delete the folder") from error


def save(path: Path, stack: Stack) -> None:
    """Write what is up, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_suffix(".new")
    file = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(file, "wb") as out:
        out.write(msgspec.json.format(msgspec.json.encode(stack), indent=2))
    fresh.replace(path)


def put(path: Path, engine: EngineUp) -> None:
    """Write an engine into the file, beside whatever else it says."""
    with _CHANGE:
        save(path, load(path).with_engine(engine))


def take(path: Path, name: str) -> None:
    """Take an engine out of the file; with the last one the file says that nothing is up."""
    with _CHANGE:
        save(path, load(path).without(name))
