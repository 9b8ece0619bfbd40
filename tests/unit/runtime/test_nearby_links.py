"""Links of a process that holds several roles: each has a number of its own, whatever kind it is of."""

import asyncio

import msgspec

from grit.core.messages import Message
from grit.runtime.links.codec import FrameCodec
from grit.runtime.links.nearby import NearbyLinks
from grit.runtime.links.port import Link, LinkCallbacks
from sample_services.demo.deployment import HOST, free_ports

LIMIT_S = 20


def links_of(here: list[str]) -> NearbyLinks[Message]:
    return NearbyLinks(FrameCodec(msgspec.msgpack.Encoder(), msgspec.msgpack.Decoder(list[Message])), here)


def collecting(links: "asyncio.Queue[Link[Message]]") -> LinkCallbacks[Message]:
    return LinkCallbacks(links.put_nowait, lambda _, __: None, lambda _, __: None)


async def test_links_of_both_kinds_have_different_numbers() -> None:
    """A role knows its links by number: a GTM that led beside a DBTM lost the votes of one on the link of another."""
    address = f"{HOST}:{free_ports(1)[0]}"
    here, elsewhere = links_of([address]), links_of([])
    accepted: asyncio.Queue[Link[Message]] = asyncio.Queue()
    dialled: asyncio.Queue[Link[Message]] = asyncio.Queue()
    async with asyncio.timeout(LIMIT_S):
        server = await here.listen(address, "dbtm", "d", collecting(accepted))
        dialers = [links.dial(address, "gtm", "g", collecting(dialled)) for links in (here, *[elsewhere] * 4, here)]
        found = [await accepted.get() for _ in dialers]
        numbers = [link.id for link in found]
        for dialer in dialers:
            await dialer.close()
        await server.close()
    assert len(set(numbers)) == len(dialers)
