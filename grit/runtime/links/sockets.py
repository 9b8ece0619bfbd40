"""Links between processes: servers and dialers on TCP and Unix sockets, under any asyncio event loop."""

import asyncio
import itertools
import random
from collections.abc import Callable, Iterator
from typing import Generic

from grit.core.ids import LinkId
from grit.runtime.links.address import Address, parse_address
from grit.runtime.links.codec import FrameCodec
from grit.runtime.links.frames import LinkLimits
from grit.runtime.links.port import LinkCallbacks, Message, Peer
from grit.runtime.links.redial import Backoff, Redialer
from grit.runtime.links.socket_link import SocketLink


class SocketServer(Generic[Message]):
    """A listening socket and the links that came through it. Made by `SocketLinks` only."""

    def __init__(self, address: Address) -> None:
        self._address = address
        self._server: asyncio.Server | None = None
        self._links: set[SocketLink[Message]] = set()

    @property
    def address(self) -> str:
        """Return where peers reach it."""
        return str(self._address)

    async def start(self, make_link: Callable[[], SocketLink[Message]]) -> None:
        """Bind and serve.

        Raises:
            ConfigError: The address cannot be had.
        """
        listening = self._address.bind()
        self._address = self._address.bound(listening)
        self._server = await self._address.serve(make_link, listening)

    def accept(self, link: SocketLink[Message]) -> None:
        """Count `link` among those that end with the server."""
        self._links.add(link)
        link.ended.add_done_callback(lambda _: self._links.discard(link))
        if self._server is None:  # It came in while the server closed.
            link.close("server closed")

    async def close(self) -> None:
        """Stop listening and end the accepted links."""
        if self._server is None:
            return
        server, self._server = self._server, None
        server.close()
        self._address.release()
        links = list(self._links)
        for link in links:
            link.close("server closed")
        if links:
            await asyncio.wait([link.ended for link in links])
        await server.wait_closed()


class SocketLinks(Generic[Message]):
    """Makes servers and dialers on `host:port` and `unix:/path`.

    Args:
        codec: Of the messages.
        limits: Of every link.
        ids: Numbers for links; adapters that live in one process share them.
        chance: For jitter.
    """

    def __init__(
        self,
        codec: FrameCodec[Message],
        limits: LinkLimits | None = None,
        ids: Iterator[int] | None = None,
        chance: random.Random | None = None,
    ) -> None:
        self._codec = codec
        self._limits = limits or LinkLimits()
        self._ids = ids or itertools.count(1)
        self._chance = chance or random.Random()

    async def listen(
        self, address: str, role: str, name: str, callbacks: LinkCallbacks[Message]
    ) -> SocketServer[Message]:
        """Serve peers at `address`.

        Raises:
            ConfigError: The address is malformed, in use, or not of this machine.
        """
        server = SocketServer[Message](parse_address(address))
        await server.start(lambda: self._make_link(Peer(role, name), callbacks, server.accept))
        return server

    def dial(self, address: str, role: str, name: str, callbacks: LinkCallbacks[Message]) -> Redialer[Message]:
        """Connect to `address` until the dialer is closed.

        Raises:
            ConfigError: The address is malformed.
        """
        where, limits = parse_address(address), self._limits

        async def connect(wrapped: LinkCallbacks[Message]) -> SocketLink[Message]:
            link = self._make_link(Peer(role, name), wrapped, lambda _: None)
            async with asyncio.timeout(limits.connect_ms / 1000):
                await where.connect(lambda: link)
            return link

        return Redialer(
            address, connect, callbacks, Backoff(limits.backoff_ms_min, limits.backoff_ms_max, self._chance)
        )

    def _make_link(
        self, own: Peer, callbacks: LinkCallbacks[Message], on_connected: Callable[[SocketLink[Message]], None]
    ) -> SocketLink[Message]:
        return SocketLink(LinkId(next(self._ids)), own, callbacks, self._codec, self._limits, on_connected)
