"""Links within one process: the same promises as sockets, without encoding.

Messages are handed over as the objects they are (they are frozen), in batches: whatever was sent within one turn of
the event loop is delivered in the next. An address is any string; a `InProcessLinks` is the network it lives in.
"""

import asyncio
import itertools
import random
from collections.abc import Iterator
from typing import Generic

from grit.core.errors import ConfigError
from grit.core.ids import LinkId
from grit.runtime.links.port import CONGESTED_MESSAGES, LinkCallbacks, Message, Peer
from grit.runtime.links.redial import Backoff, Redialer

BACKOFF_MS_MIN, BACKOFF_MS_MAX = 20, 1000


class InProcessLink(Generic[Message]):
    """One end of a pair. Made by `InProcessLinks` only.

    Every callback is a turn of the event loop of its own, and those turns are taken in the order in which they were
    asked for: both ends open, then come messages, then the end.
    """

    def __init__(self, link_id: LinkId, peer: Peer, callbacks: LinkCallbacks[Message]) -> None:
        self._id = link_id
        self._peer = peer
        self._callbacks = callbacks
        self._other: InProcessLink[Message] = self
        self._loop = asyncio.get_running_loop()
        self._inbox: list[Message] = []
        self._is_delivering = False
        self._is_ended = False
        self._is_deaf = False
        self.ended: asyncio.Future[str] = self._loop.create_future()

    @property
    def id(self) -> LinkId:
        """Return the number of this end."""
        return self._id

    @property
    def peer(self) -> Peer:
        """Return who is at the other end."""
        return self._peer

    @property
    def is_congested(self) -> bool:
        """Tell whether the peer has much undelivered."""
        return len(self._other._inbox) > CONGESTED_MESSAGES

    def join(self, other: "InProcessLink[Message]") -> None:
        """Become the end opposite to `other`, and open in the next turn of the event loop."""
        self._other = other
        self._loop.call_soon(self._callbacks.on_open, self)

    def send(self, message: Message) -> None:
        """Deliver in the next turn of the event loop."""
        if not self._is_ended:
            self._other._take(message)

    def close(self, reason: str) -> None:
        """End both sides, the other after what was sent to it; what was sent to this one is dropped."""
        self._is_deaf = True
        self._inbox.clear()
        self._end(reason)
        self._other._end(reason)

    def _take(self, message: Message) -> None:
        self._inbox.append(message)
        if not self._is_delivering:
            self._is_delivering = True
            self._loop.call_soon(self._deliver)

    def _deliver(self) -> None:
        self._is_delivering = False
        batch, self._inbox = self._inbox, []
        on_message = self._callbacks.on_message
        for message in batch:
            if self._is_deaf:
                return
            on_message(self, message)

    def _end(self, reason: str) -> None:
        if not self._is_ended:
            self._is_ended = True
            self._loop.call_soon(self._report_end, reason)

    def _report_end(self, reason: str) -> None:
        self._callbacks.on_closed(self, reason)
        self.ended.set_result(reason)


class InProcessServer(Generic[Message]):
    """An address in the registry. Made by `InProcessLinks` only."""

    def __init__(self, address: str, peer: Peer, callbacks: LinkCallbacks[Message]) -> None:
        self.peer = peer
        self.callbacks = callbacks
        self.is_closed = False
        self._address = address
        self._accepted: list[InProcessLink[Message]] = []

    @property
    def address(self) -> str:
        """Return the address as it was asked for."""
        return self._address

    def accept(self, link: InProcessLink[Message]) -> None:
        """Count `link` among those that end with the server."""
        self._accepted = [other for other in self._accepted if not other.ended.done()]
        self._accepted.append(link)

    async def close(self) -> None:
        """Stop listening and end the accepted links."""
        self.is_closed = True
        for link in self._accepted:
            link.close("server closed")
        if self._accepted:
            await asyncio.wait([link.ended for link in self._accepted])


class InProcessLinks(Generic[Message]):
    """The addresses of one process.

    Args:
        ids: Numbers for links; adapters that live in one process share them.
        chance: For jitter.
    """

    def __init__(self, ids: Iterator[int] | None = None, chance: random.Random | None = None) -> None:
        self._ids = ids or itertools.count(1)
        self._chance = chance or random.Random()
        self._servers: dict[str, InProcessServer[Message]] = {}

    async def listen(
        self, address: str, role: str, name: str, callbacks: LinkCallbacks[Message]
    ) -> InProcessServer[Message]:
        """Serve peers of this process at `address`.

        Raises:
            ConfigError: The address is in use.
        """
        known = self._servers.get(address)
        if known is not None and not known.is_closed:
            raise ConfigError(f"cannot listen on {address}: {known.peer.role} of this process does; give each its own")
        server = InProcessServer(address, Peer(role, name), callbacks)
        self._servers[address] = server
        return server

    def dial(self, address: str, role: str, name: str, callbacks: LinkCallbacks[Message]) -> Redialer[Message]:
        """Connect to `address` until the dialer is closed."""

        async def connect(wrapped: LinkCallbacks[Message]) -> InProcessLink[Message]:
            return self.connect(address, role, name, wrapped)

        return Redialer(address, connect, callbacks, Backoff(BACKOFF_MS_MIN, BACKOFF_MS_MAX, self._chance))

    def connect(self, address: str, role: str, name: str, callbacks: LinkCallbacks[Message]) -> InProcessLink[Message]:
        """Make one link to `address`, which opens in the next turn of the event loop.

        Raises:
            ConnectionRefusedError: Nobody listens there.
        """
        server = self._servers.get(address)
        if server is None or server.is_closed:
            raise ConnectionRefusedError(f"nobody listens on {address}")
        near = InProcessLink(LinkId(next(self._ids)), server.peer, callbacks)
        far = InProcessLink(LinkId(next(self._ids)), Peer(role, name), server.callbacks)
        near.join(far)
        far.join(near)
        server.accept(far)
        return near
