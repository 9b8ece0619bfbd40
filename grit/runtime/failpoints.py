"""Failpoints: named places at which a process kills, stops, ends or fails itself, for the crash matrix.

    GRIT_FAILPOINTS="player.after_apply=kill@17,gtm.before_append=stop"

The name, what to do (`kill`: SIGKILL, nothing is cleaned up; `stop`: SIGSTOP, a zombie until SIGCONT; `exit`: status 70 at
once; `error`: an exception), and on which passing (1 when not told). Each acts once. Without the variable `failpoint` is a
function that does nothing. The variable is read once, when this module is imported.

The places (`Record`: the kind of a record of a log, `Renewal` for one without entries; `Message`: the kind of a message):

    gtm, dbtm   .before_append.Record  about to be handed to a log    .after_append.Record  in the log, and nobody knows
                .before_Message        about to be sent, as all that the same step sends to anybody
    player      .before_apply    .after_apply          around the transaction of the database
    store       .before_commit                         rows and cursor are written, in that transaction
    sidecar     .after_Message                         on its way to a role
    client      .after_request                         on its way to the sidecar: execute, commit, ...
"""

import asyncio
import os
import signal
from collections.abc import Callable
from enum import StrEnum

import msgspec

from grit.core.errors import ConfigError

VARIABLE = "GRIT_FAILPOINTS"
EXIT_STATUS = 70
SENT_S = 0.001


class Action(StrEnum):
    """What a failpoint does to its process."""

    KILL = "kill"
    STOP = "stop"
    EXIT = "exit"
    ERROR = "error"


class FailpointReached(Exception):
    """The action `error`: a failure that nobody expects."""


class Failpoint(msgspec.Struct, frozen=True):
    """`passing`: on which passing of the place it acts, from 1."""

    name: str
    action: Action
    passing: int = 1


class Failpoints:
    """The armed failpoints of a process. Calling it with a name is passing that place."""

    def __init__(self, armed: tuple[Failpoint, ...], act: Callable[[Failpoint], None]) -> None:
        self._armed = armed
        self._act = act
        self._passings: dict[str, int] = {point.name: 0 for point in armed}

    def __call__(self, name: str) -> None:
        """Pass the place `name`; whatever is armed there for this passing acts."""
        if name not in self._passings:
            return
        self._passings[name] += 1
        for point in self._armed:
            if point.name == name and point.passing == self._passings[name]:
                self._act(point)


def parse_failpoints(text: str) -> tuple[Failpoint, ...]:
    """Return what the variable's value arms.

    Raises:
        ConfigError: A piece is not `name=action` or `name=action@number`; it is named.
    """
    return tuple(_parse(piece.strip()) for piece in text.split(",") if piece.strip())


def act_on_process(point: Failpoint) -> None:
    """Do to this process what the failpoint says."""
    if point.action == Action.KILL:
        os.kill(os.getpid(), signal.SIGKILL)
    if point.action == Action.STOP:
        os.kill(os.getpid(), signal.SIGSTOP)
    if point.action == Action.EXIT:
        os._exit(EXIT_STATUS)
    if point.action == Action.ERROR:
        raise FailpointReached(f"failpoint {point.name}, passing {point.passing}")


def _parse(piece: str) -> Failpoint:
    name, _, rest = piece.partition("=")
    action, at, passing = rest.partition("@")
    is_number = passing.isdecimal() and int(passing) > 0
    if not name or action not in list(Action) or (at and not is_number):
        actions = ", ".join(Action)
        raise ConfigError(f"{VARIABLE}: {piece!r} is not name=action@passing; actions: {actions}; passing: from 1")
    return Failpoint(name, Action(action), int(passing) if at else 1)


def failpoint_once_sent(name: str) -> None:
    """Pass a named place as soon as what was just sent has left: links write once a turn of the event loop."""
    if failpoint is not _pass_by:
        asyncio.get_running_loop().call_later(SENT_S, failpoint, name)


def _pass_by(name: str) -> None:
    """Do nothing: no failpoint is armed in this process."""


def _from_environment(text: str) -> Callable[[str], None]:
    return Failpoints(parse_failpoints(text), act_on_process) if text else _pass_by


failpoint: Callable[[str], None] = _from_environment(os.environ.get(VARIABLE, ""))
"""Pass a named place."""
