"""The port of links: what a shell may count on, whether its peer is an object away or a network away.

A link carries messages both ways. Promises of every adapter, held by tests/contract/link_contract.py:

- Messages arrive whole, in the order in which they were sent, each once, up to some point at which the link ends.
- `on_open` comes first, then messages, then `on_closed` exactly once; never one inside `send`, `close`, `listen` or
  `dial`. After an own `close` no message comes any more.
- Whoever ends it, both sides hear of it: with the closing side's reason where it could still be delivered.
- What was sent before `close` still arrives when the peer reads. A message on a link that ends otherwise may be lost,
  and the sender does not learn which: the machines resend or ask.

All callbacks run on the event loop's thread. An exception of a callback is fatal to the process.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from grit.core.ids import LinkId

VERSION = 1
"""Version of the messages between roles; both ends of a link speak the same one."""

CONGESTED_MESSAGES = 4096
"""More than so many messages that have not left are congestion, whatever their size."""

Message = TypeVar("Message")
Message_contra = TypeVar("Message_contra", contravariant=True)


@dataclass(frozen=True, slots=True)
class Peer:
    """Who is at the other end, by its own account: `role` as in `gtm`, `name` tells its processes apart."""

    role: str
    name: str


class Link(Protocol[Message_contra]):
    """One end of a connection."""

    @property
    def id(self) -> LinkId:
        """Return the number of this end; unique within the process, never reused."""
        ...

    @property
    def peer(self) -> Peer:
        """Return who is at the other end; known from `on_open` on."""
        ...

    @property
    def is_congested(self) -> bool:
        """Tell whether so much waits for the peer that it is better to hold back what can wait."""
        ...

    def send(self, message: Message_contra) -> None:
        """Queue a message; it leaves with all others of this turn of the event loop. Never blocks, never raises.

        On a link that is closed the message is dropped.
        """
        ...

    def close(self, reason: str) -> None:
        """End the link after what was sent; `reason` is one line for the people on both sides. Idempotent."""
        ...


@dataclass(frozen=True)
class LinkCallbacks(Generic[Message]):
    """What a shell wants to hear of its links."""

    on_open: Callable[[Link[Message]], None]
    on_message: Callable[[Link[Message], Message], None]
    on_closed: Callable[[Link[Message], str], None]


class LinkServer(Protocol):
    """An address at which peers are served."""

    @property
    def address(self) -> str:
        """Return where peers reach it: with the bound port where port 0 was asked for."""
        ...

    async def close(self) -> None:
        """Stop listening and end the links that were accepted; their `on_closed` has been called on return."""
        ...


class Dialer(Protocol[Message_contra]):
    """Keeps one link to an address: dials again for ever, with growing pauses and jitter."""

    @property
    def address(self) -> str:
        """Return the address that is dialled."""
        ...

    @property
    def link(self) -> Link[Message_contra] | None:
        """Return the link that is open now."""
        ...

    @property
    def failure(self) -> str:
        """Return why there is no link now, one line; empty while there is one, and before the first attempt ended."""
        ...

    async def close(self) -> None:
        """End the link and dial no more; `on_closed` has been called on return."""
        ...


class Links(Protocol[Message]):
    """A kind of connection: makes servers and dialers. `role` and `name` are what peers see in `Link.peer`."""

    async def listen(self, address: str, role: str, name: str, callbacks: LinkCallbacks[Message]) -> LinkServer:
        """Serve peers at `address`.

        Raises:
            ConfigError: The address is in use, malformed, or not of this machine.
        """
        ...

    def dial(self, address: str, role: str, name: str, callbacks: LinkCallbacks[Message]) -> Dialer[Message]:
        """Connect to `address`, now and whenever the link is lost, until the dialer is closed.

        Raises:
            ConfigError: The address is malformed. That nobody answers there is no error: it is tried again.
        """
        ...
