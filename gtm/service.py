"""The GTM's shell: carries out what the machine says on the GTL and on its links, and reports back.

    sidecars --Received-->  +---------+  --Send, CloseLink-->  sidecars, DBTMs
    DBTMs    --Received-->  | machine |
    GTL      --LogFolded->  +---------+  --Append, CatchUp-->  GTL

It holds no decision. It dials one link to every replica of every realm's DBTM, for ever, and listens for sidecars.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from grit.core.ids import LinkId, Millis, Realm
from grit.core.messages import Message
from grit.core.records import decode_gtl_record
from grit.core.steps import (
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
    SharedEffect,
    SharedEvent,
    Tick,
    Trace,
)
from grit.log.port import Log
from grit.runtime.failpoints import failpoint
from grit.runtime.fatal import report_fatal
from grit.runtime.follow import LogFollower
from grit.runtime.links.port import Dialer, Link, LinkCallbacks, Links
from grit.runtime.loop import Loop
from gtm.machine import GtmMachine

TICK_MS = 20


class Gtm:
    """One GTM.

    Args:
        gtl: The global log; not closed here.
        machine: A new machine, which folds the log from its start.
        trace: Takes finished spans.
    """

    def __init__(self, gtl: Log, machine: GtmMachine, *, trace: Callable[[Trace], None]) -> None:
        self._machine = machine
        self._trace = trace
        self._loop: Loop[SharedEvent, SharedEffect] = Loop(self._step, self._perform)
        self._follower = LogFollower(gtl, GTL, decode_gtl_record, self._loop.post)
        self._links: dict[LinkId, Link[Message]] = {}
        self._dialers: list[Dialer[Message]] = []
        self._stepped = asyncio.Event()

    @property
    def callbacks(self) -> LinkCallbacks[Message]:
        """What the links that are accepted call: those of sidecars and of people's tools."""
        return LinkCallbacks(self._accepted, self._received, self._closed)

    def start(self, links: Links[Message], realms: Mapping[Realm, Sequence[str]], name: str) -> None:
        """Begin: from here on the machine works towards leading.

        Args:
            links: The kind of connection that is dialled.
            realms: Realm -> the addresses of its DBTM's replicas.
            name: What the DBTMs see of this process.
        """
        self._follower.start()
        for realm in sorted(realms):
            callbacks = LinkCallbacks(self._make_opened(realm), self._received, self._closed)
            self._dialers += [links.dial(address, "gtm", name, callbacks) for address in realms[realm]]
        self._loop.ticker(TICK_MS, Tick)
        self._loop.post(Tick())

    async def drain(self) -> None:
        """Take no new transactions; return when those in progress are decided."""
        self._loop.post(DrainAsked())
        while not self._machine.is_drained and not self._loop.is_closed:
            self._stepped.clear()
            await self._stepped.wait()

    async def close(self) -> None:
        """Stop; what was handed to the log stands."""
        self._loop.close()
        for dialer in self._dialers:
            await dialer.close()
        await self._follower.close()

    def describe(self) -> dict[str, Any]:
        """Return how this GTM is."""
        return self._machine.describe()

    def _accepted(self, link: Link[Message]) -> None:
        if link.peer.role == "dbtm":
            link.close("the GTM dials the DBTMs, not the other way round: check the addresses")
            return
        self._opened(link, link.peer.role, link.peer.name)

    def _make_opened(self, realm: Realm) -> Callable[[Link[Message]], None]:
        # The realm is the one that the configuration has at this address; its hello says whether that is true.
        return lambda link: self._opened(link, "dbtm", realm)

    def _opened(self, link: Link[Message], role: str, name: str) -> None:
        self._links[link.id] = link
        self._post(LinkOpened(link.id, (role, name)))

    def _received(self, link: Link[Message], message: Message) -> None:
        self._post(Received(link.id, message))

    def _closed(self, link: Link[Message], reason: str) -> None:
        if self._links.pop(link.id, None) is not None:
            self._post(LinkClosed(link.id))

    def _post(self, event: SharedEvent) -> None:
        self._loop.post(event)

    def _step(self, now: Millis, event: SharedEvent) -> list[SharedEffect]:
        self._stepped.set()
        return self._machine.step(now, event)

    def _perform(self, effect: SharedEffect) -> None:
        if isinstance(effect, Send):
            self._send(effect)
        elif isinstance(effect, Append):
            failpoint("gtm.before_append")
            self._follower.append(effect)
        elif isinstance(effect, CatchUp):
            self._follower.catch_up()
        elif isinstance(effect, Trace):
            self._trace(effect)
        elif isinstance(effect, CloseLink):
            link = self._links.get(effect.link)
            if link is not None:
                link.close(effect.reason)
        else:
            assert isinstance(effect, Halt)
            report_fatal(effect.error, place="the machine of the GTM")

    def _send(self, effect: Send) -> None:
        link = self._links.get(effect.link)
        if link is not None:
            failpoint(f"gtm.before_{type(effect.message).__name__}")
            link.send(effect.message)
