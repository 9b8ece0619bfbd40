"""What one replica says of itself, leader or standby: `grit status` tells of leaders only."""

import asyncio
from typing import Any

import msgspec

from grit.core.messages import DescribeAnswered, DescribeAsked, Message
from grit.runtime.links.codec import FrameCodec
from grit.runtime.links.port import Link, LinkCallbacks
from grit.runtime.links.sockets import SocketLinks


async def describe(address: str) -> dict[str, Any]:
    """Return how the GTM or DBTM at an address is, by name; waits until somebody listens there.

    The caller sets the limit: `asyncio.timeout`.
    """
    answered: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()

    def take(_: Link[Message], message: Message) -> None:
        if isinstance(message, DescribeAnswered) and not answered.done():
            answered.set_result(message.facts)

    callbacks: LinkCallbacks[Message] = LinkCallbacks(
        on_open=lambda link: link.send(DescribeAsked(1)), on_message=take, on_closed=lambda _, __: None
    )
    codec = FrameCodec(msgspec.msgpack.Encoder(), msgspec.msgpack.Decoder(list[Message]))
    dialer = SocketLinks(codec).dial(address, "sidecar", "bench", callbacks)
    try:
        return await answered
    finally:
        await dialer.close()
