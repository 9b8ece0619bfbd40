"""Links of a process that holds several roles: to a role in the same process an object away, else by socket."""

import itertools
from collections.abc import Collection
from typing import Generic

from grit.runtime.links.codec import FrameCodec
from grit.runtime.links.inproc import InProcessLinks
from grit.runtime.links.port import Dialer, LinkCallbacks, LinkServer, Message
from grit.runtime.links.sockets import SocketLinks


class _BothServers:
    """A role that is reached from this process and from others."""

    def __init__(self, near: LinkServer, far: LinkServer) -> None:
        self._near = near
        self._far = far

    @property
    def address(self) -> str:
        """Return where other processes reach it."""
        return self._far.address

    async def close(self) -> None:
        """Stop serving both."""
        await self._far.close()
        await self._near.close()


class NearbyLinks(Generic[Message]):
    """A kind of connection that takes the shortest way.

    Args:
        codec: Of messages to other processes.
        here: The addresses at which this process serves.
    """

    def __init__(self, codec: FrameCodec[Message], here: Collection[str]) -> None:
        # One count for both: a role knows its links by number, and would answer one peer on the link of another.
        ids = itertools.count(1)
        self._near: InProcessLinks[Message] = InProcessLinks(ids)
        self._far = SocketLinks(codec, ids=ids)
        self._here = frozenset(here)

    async def listen(self, address: str, role: str, name: str, callbacks: LinkCallbacks[Message]) -> LinkServer:
        """Serve peers of this process and of others; see `Links`."""
        far = await self._far.listen(address, role, name, callbacks)
        return _BothServers(await self._near.listen(address, role, name, callbacks), far)

    def dial(self, address: str, role: str, name: str, callbacks: LinkCallbacks[Message]) -> Dialer[Message]:
        """Connect within the process when the address is served here; see `Links`."""
        if address in self._here:
            return self._near.dial(address, role, name, callbacks)
        return self._far.dial(address, role, name, callbacks)
