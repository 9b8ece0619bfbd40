"""The DBTM's shell: carries out what the machine says on its logs, its database and its links, and reports back.

    links  --Received-->  +---------+  --Send, CloseLink-->   links
    DBTL   --LogFolded->  | machine |  --Append, CatchUp-->   DBTL, GTL
    GTL    --LogFolded->  +---------+  --ReadStore-->         database --StoreRead-->

It holds no decision.
"""

import asyncio
from collections.abc import Callable
from typing import Any

import structlog

from dbtm.effects import Effect, Event, ReadStore, Restart, StoreFailed, StoreRead
from dbtm.machine import DbtmMachine
from grit.core.errors import StoreRefused
from grit.core.ids import LinkId, Millis
from grit.core.messages import Message
from grit.core.records import decode_dbtl_record, decode_gtl_record
from grit.core.steps import (
    DBTL,
    GTL,
    Append,
    CatchUp,
    CloseLink,
    DrainAsked,
    Halt,
    LinkClosed,
    LinkOpened,
    Received,
    Send,
    Tick,
    Trace,
)
from grit.log.port import Log
from grit.runtime.failpoints import failpoint
from grit.runtime.fatal import report_fatal, spawn
from grit.runtime.follow import LogFollower
from grit.runtime.links.port import Link, LinkCallbacks
from grit.runtime.loop import Loop
from grit.store.port import StoreReader, StoreUnavailable

TICK_MS = 20
GTL_POLL_MS = 200
"""The GTL is followed loosely: outcomes are pushed, the log is read when they are not, and for what it says besides."""


class Dbtm:
    """One DBTM.

    Args:
        dbtl, gtl: The logs; not closed here.
        reader: The database; not closed here.
        make_machine: A new machine, which folds the logs from their start.
        trace: Takes finished spans.
    """

    def __init__(
        self,
        dbtl: Log,
        gtl: Log,
        reader: StoreReader,
        make_machine: Callable[[], DbtmMachine],
        *,
        trace: Callable[[Trace], None],
    ) -> None:
        self._logs = {DBTL: dbtl, GTL: gtl}
        self._reader = reader
        self._make_machine = make_machine
        self._trace = trace
        self._links: dict[LinkId, Link[Message]] = {}
        self._reads: set[asyncio.Task[None]] = set()
        self._stepped = asyncio.Event()
        self._lines = structlog.get_logger("grit.dbtm")

    def start(self) -> None:
        """Begin: from here on the machine works towards leading its realm."""
        self.machine = self._make_machine()
        self._loop: Loop[Event, Effect] = Loop(self._step, self._perform)
        self._followers = {
            DBTL: LogFollower(self._logs[DBTL], DBTL, decode_dbtl_record, self._loop.post),
            GTL: LogFollower(self._logs[GTL], GTL, decode_gtl_record, self._loop.post, poll_ms=GTL_POLL_MS),
        }
        for follower in self._followers.values():
            follower.start()
        self._loop.ticker(TICK_MS, Tick)
        self._loop.post(Tick())

    async def drain(self) -> None:
        """Take nothing new; return when what is in flight is durable and the leadership is given back."""
        self._loop.post(DrainAsked())
        while not self.machine.is_drained and not self._loop.is_closed:
            self._stepped.clear()
            await self._stepped.wait()

    async def close(self) -> None:
        """Stop; what was handed to the logs stands."""
        self._loop.close()
        for follower in self._followers.values():
            await follower.close()
        for read in self._reads:
            read.cancel()
        await asyncio.gather(*self._reads, return_exceptions=True)

    @property
    def callbacks(self) -> LinkCallbacks[Message]:
        """What the links of this process call."""
        return LinkCallbacks(self._opened, self._received, self._closed)

    def describe(self) -> dict[str, Any]:
        """Return how this DBTM is."""
        return self.machine.describe()

    def _opened(self, link: Link[Message]) -> None:
        self._links[link.id] = link
        self._loop.post(LinkOpened(link.id, (link.peer.role, link.peer.name)))

    def _received(self, link: Link[Message], message: Message) -> None:
        self._loop.post(Received(link.id, message))

    def _closed(self, link: Link[Message], reason: str) -> None:
        if self._links.pop(link.id, None) is not None:
            self._loop.post(LinkClosed(link.id))

    def _step(self, now: Millis, event: Event) -> list[Effect]:
        self._stepped.set()
        return self.machine.step(now, event)

    def _perform(self, effect: Effect) -> None:
        if isinstance(effect, Send):
            self._send(effect)
        elif isinstance(effect, ReadStore):
            self._read(effect)
        elif isinstance(effect, Append):
            failpoint(f"dbtm.before_append.{effect.log}")
            self._followers[effect.log].append(effect)
        elif isinstance(effect, CatchUp):
            self._followers[effect.log].catch_up()
        elif isinstance(effect, Trace):
            self._trace(effect)
        elif isinstance(effect, CloseLink):
            link = self._links.get(effect.link)
            if link is not None:
                link.close(effect.reason)
        elif isinstance(effect, Restart):
            self._restart(effect)
        else:
            assert isinstance(effect, Halt)
            report_fatal(effect.error, place="the machine of a DBTM")

    def _send(self, effect: Send) -> None:
        link = self._links.get(effect.link)
        if link is not None:
            failpoint(f"dbtm.before_{type(effect.message).__name__}")
            link.send(effect.message)

    def _read(self, effect: ReadStore) -> None:
        task = spawn(self._look(self._loop, effect), name=f"read {effect.id}")
        self._reads.add(task)
        task.add_done_callback(self._reads.discard)

    async def _look(self, loop: Loop[Event, Effect], effect: ReadStore) -> None:
        try:
            loop.post(StoreRead(effect.id, await self._reader.read(effect.queries)))
        except StoreUnavailable as error:
            loop.post(StoreFailed(effect.id, str(error)))
        except StoreRefused as error:
            report_fatal(error, place="a read of the database")

    def _restart(self, effect: Restart) -> None:
        """Begin anew in this process: who had something under way is told by its link."""
        self._lines.warning("restarting", reason=effect.reason)
        self._loop.close()
        followers = list(self._followers.values())
        self._stopping = [spawn(follower.close(), name="stop following") for follower in followers]
        links, self._links = list(self._links.values()), {}
        self.start()
        for link in links:
            link.close(effect.reason)
