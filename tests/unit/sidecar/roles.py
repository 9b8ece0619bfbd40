"""A sidecar over real gRPC, with realms and a GTM in memory behind in-process links."""

import contextlib
from collections.abc import AsyncIterator, Callable
from functools import partial

from grit.core.ids import Realm
from grit.core.limits import Limits
from grit.core.messages import Message
from grit.runtime.links.inproc import InProcessLinks, InProcessServer
from grit.runtime.links.port import Link, LinkCallbacks
from grit.sidecar.app import SidecarRole
from tests.unit.sidecar.deployment import MemoryDeployment
from tests.unit.sidecar.shop import CATALOGUE


class Roles:
    """GTM and DBTMs. `mute(message)` true swallows a message; `swallowed` keeps it."""

    def __init__(self) -> None:
        self.realms = MemoryDeployment(CATALOGUE)
        self.links: InProcessLinks[Message] = InProcessLinks()
        self.mute: Callable[[Message], bool] = lambda _: False
        self.swallowed: list[Message] = []
        self.open_links: list[Link[Message]] = []
        self._servers: list[InProcessServer[Message]] = []

    async def start(self) -> None:
        await self._listen("gtm", "gtm", self.realms.ask_gtm)
        for realm in self.realms.realms:
            await self._listen(f"dbtm {realm}", "dbtm", partial(self.realms.ask_realm, realm))

    async def close(self) -> None:
        for server in self._servers:
            await server.close()

    def break_links(self) -> None:
        links, self.open_links = self.open_links, []
        for link in links:
            link.close("test")

    async def _listen(self, address: str, role: str, answer: Callable[[Message], Message]) -> None:
        def received(link: Link[Message], message: Message) -> None:
            if self.mute(message):
                self.swallowed.append(message)
            else:
                link.send(answer(message))

        callbacks = LinkCallbacks[Message](self.open_links.append, received, lambda _link, _reason: None)
        self._servers.append(await self.links.listen(address, role, address, callbacks))


@contextlib.asynccontextmanager
async def sidecar(
    roles: Roles, limits: Limits | None = None, drain_ms: int = 100, listen: str = "127.0.0.1:0"
) -> AsyncIterator[SidecarRole]:
    """Run a sidecar, on a free port unless told; it is drained and closed at the end."""
    role = SidecarRole(
        CATALOGUE,
        roles.links,
        listen,
        gtm=("gtm",),
        dbtms={Realm(realm): (f"dbtm {realm}",) for realm in CATALOGUE},
        limits=limits or Limits(),
        drain_ms=drain_ms,
    )
    await role.start()
    try:
        yield role
    finally:
        await role.drain()
        await role.close()


@contextlib.asynccontextmanager
async def deployment(limits: Limits | None = None) -> AsyncIterator[tuple[Roles, SidecarRole]]:
    """Run the roles and one sidecar."""
    roles = Roles()
    await roles.start()
    try:
        async with sidecar(roles, limits) as role:
            yield roles, role
    finally:
        await roles.close()
