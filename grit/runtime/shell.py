"""The shell of a machine that leads: links, logs and time come in as events, effects go out. Written once.

    links  --Received-->  +---------+  --Send, CloseLink-->   links
    logs   --LogFolded->  | machine |  --Append, CatchUp-->   logs
    time   --Tick------>  +---------+  --whatever else is its role's-->  `perform_own`

It holds no decision.
"""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import msgspec

from grit.core.ids import LinkId, Millis
from grit.core.messages import Message
from grit.core.steps import (
    Append,
    CatchUp,
    CloseLink,
    DrainAsked,
    Halt,
    LinkClosed,
    LinkOpened,
    Received,
    SeatLost,
    SeatWon,
    Send,
    StepBack,
    Tick,
    Trace,
)
from grit.log.port import Log
from grit.runtime.electors.port import Candidacy, SeatCallbacks
from grit.runtime.failpoints import failpoint
from grit.runtime.fatal import report_fatal, spawn
from grit.runtime.follow import Decode, LogFollower, record_name
from grit.runtime.links.port import Link, LinkCallbacks
from grit.runtime.loop import Loop

TICK_MS = 20

Stand = Callable[[SeatCallbacks], Candidacy]
"""Stands for the seat of this role."""


class Machine(Protocol):
    """What a shell drives."""

    @property
    def is_drained(self) -> bool:
        """Tell whether it was told to stop, and has nothing under way any more."""
        ...

    def step(self, now: Millis, event: Any) -> list[Any]:
        """Take one event; return what to do, in order."""
        ...

    def describe(self) -> dict[str, Any]:
        """Return how it is, by name."""
        ...


class FollowedLog(msgspec.Struct, frozen=True, eq=False):
    """A log that the machine follows; `poll_ms` as of `LogFollower`. The shell does not close it."""

    log: Log
    decode: Decode
    poll_ms: int = 0


class Shell:
    """Drives one machine after the other: `start` begins with a new one.

    Args:
        role: For failpoints and messages.
        logs: By the name that the machine calls them.
        make_machine: A new machine, which folds the logs from a checkpoint or their start.
        perform_own: Carries out effects that are not `grit.core.steps`'.
        trace: Takes finished spans.
        stand: Stands for this role's seat with an external elector; None: there is none.
        cut: Told when a log was cut above where the machine has followed it; None: that is fatal.
    """

    def __init__(
        self,
        role: str,
        logs: Mapping[str, FollowedLog],
        make_machine: Callable[[], Machine],
        *,
        trace: Callable[[Trace], None],
        perform_own: Callable[[Any], None] | None = None,
        stand: Stand | None = None,
        cut: Callable[[str], None] | None = None,
    ) -> None:
        self._cut = cut
        self._role = role
        self._logs = logs
        self._make_machine = make_machine
        self._trace = trace
        self._perform_own = perform_own
        self._stand = stand
        self._candidacy: Candidacy | None = None
        self._links: dict[LinkId, Link[Message]] = {}
        self._stepped = asyncio.Event()
        self._stopping: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Begin: from here on the machine works towards leading."""
        self._machine = self._make_machine()
        self._loop: Loop[Any, Any] = Loop(self._step, self._perform)
        self._followers = {
            name: LogFollower(
                one.log, name, one.decode, self._loop.post, poll_ms=one.poll_ms, role=self._role, cut=self._cut
            )
            for name, one in self._logs.items()
        }
        self._followed: set[str] = set()
        self._loop.ticker(TICK_MS, Tick)
        self._loop.post(Tick())
        if self._stand is not None:
            post = self._loop.post
            callbacks = SeatCallbacks(lambda former: post(SeatWon(former)), lambda: post(SeatLost()))
            self._candidacy = self._stand(callbacks)

    def restart(self, reason: str) -> None:
        """Begin anew in this process: who had something under way is told by its link."""
        self._loop.close()
        self._stopping = [spawn(one.close(), name="stop following") for one in self._followers.values()]
        if self._candidacy is not None:
            self._stopping.append(spawn(self._candidacy.close(), name="stand no more"))
        links, self._links = list(self._links.values()), {}
        self.start()
        for link in links:
            link.close(reason)

    async def drain(self) -> None:
        """Take nothing new; return when what was under way is done and the leadership is given back."""
        self._loop.post(DrainAsked())
        while not self._machine.is_drained and not self._loop.is_closed:
            self._stepped.clear()
            await self._stepped.wait()
        await self._leave()

    async def close(self) -> None:
        """Stop; what was handed to the logs stands."""
        self._loop.close()
        await self._leave()
        for follower in self._followers.values():
            await follower.close()
        await asyncio.gather(*self._stopping)

    def describe(self) -> dict[str, Any]:
        """Return how the machine is."""
        return self._machine.describe()

    @property
    def loop(self) -> Loop[Any, Any]:
        """The loop of the present machine: answers to what it asked belong there, and to no later one."""
        return self._loop

    @property
    def callbacks(self) -> LinkCallbacks[Message]:
        """What links call, of peers that say who they are."""
        return LinkCallbacks(lambda link: self.opened(link, link.peer.role, link.peer.name), self.received, self.closed)

    def opened(self, link: Link[Message], role: str, name: str) -> None:
        """A link is up; the machine knows its peer as (role, name)."""
        self._links[link.id] = link
        self._loop.post(LinkOpened(link.id, (role, name)))

    def received(self, link: Link[Message], message: Message) -> None:
        """A message came."""
        self._loop.post(Received(link.id, message))

    def closed(self, link: Link[Message], reason: str) -> None:
        """A link is down."""
        if self._links.pop(link.id, None) is not None:
            self._loop.post(LinkClosed(link.id))

    def _step(self, now: Millis, event: Any) -> list[Any]:
        self._stepped.set()
        return self._machine.step(now, event)

    def _perform(self, effect: Any) -> None:
        if isinstance(effect, Send):
            self._send(effect)
        elif isinstance(effect, Append):
            failpoint(f"{self._role}.before_append.{record_name(effect.record)}")
            self._followers[effect.log].append(effect)
        elif isinstance(effect, CatchUp):
            self._catch_up(effect)
        elif isinstance(effect, Trace):
            self._trace(effect)
        elif isinstance(effect, CloseLink):
            link = self._links.get(effect.link)
            if link is not None:
                link.close(effect.reason)
        elif isinstance(effect, StepBack):
            assert self._candidacy is not None, "who has no elector has no seat"
            self._candidacy.step_back()
        elif isinstance(effect, Halt):
            report_fatal(effect.error, place=f"the machine of a {self._role}")
        else:
            assert self._perform_own is not None, effect
            self._perform_own(effect)

    async def _leave(self) -> None:
        """Give the elector's seat up: a process that ends must not keep the others waiting."""
        if self._candidacy is not None:
            await self._candidacy.close()

    def _catch_up(self, effect: CatchUp) -> None:
        """Read a log to its end; the first time, begin to follow it: a machine says in which order it takes its logs."""
        follower = self._followers[effect.log]
        if effect.log not in self._followed:
            self._followed.add(effect.log)
            follower.start(effect.begin_max)
        follower.catch_up()

    def _send(self, effect: Send) -> None:
        link = self._links.get(effect.link)
        if link is not None:
            failpoint(f"{self._role}.before_{type(effect.message).__name__}")
            link.send(effect.message)
