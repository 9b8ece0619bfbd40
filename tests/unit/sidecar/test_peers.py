"""Finding the leader among replicas."""

import asyncio
from typing import Any

from grit.core.ids import Realm
from grit.core.messages import DescribeAnswered, DescribeAsked, Message
from grit.runtime.links.inproc import InProcessLinks
from grit.runtime.links.port import Link, LinkCallbacks
from grit.sidecar.clock import Clock
from grit.sidecar.peers import Asker, PeerAnswer, Peers

SHOP = Realm("shop")
LIMIT_S = 10


def _replica(phase: str, leader: str) -> LinkCallbacks[Message]:
    """A DBTM that only says how it is."""

    def answer(link: Link[Message], message: Message) -> None:
        assert isinstance(message, DescribeAsked)
        link.send(DescribeAnswered(message.id, {"phase": phase, "leader": leader}))

    return LinkCallbacks(lambda _: None, answer, lambda _link, _reason: None)


async def _describe(peers: Peers) -> dict[str, Any]:
    answered: asyncio.Future[PeerAnswer] = asyncio.get_running_loop().create_future()
    asker = Asker(answered.set_result, lambda: answered.set_exception(ConnectionError()))
    peers.ask(SHOP, DescribeAsked(next(peers.ids)), asker)
    async with asyncio.timeout(LIMIT_S):
        answer = await answered
    assert isinstance(answer, DescribeAnswered)
    return answer.facts


async def _linked(peers: Peers) -> None:
    async with asyncio.timeout(LIMIT_S):
        while True:
            if not peers.problem().count("shop"):
                return
            await asyncio.sleep(0.001)


async def test_a_standby_that_describes_itself_tells_who_leads() -> None:
    links: InProcessLinks[Message] = InProcessLinks()
    servers = [
        await links.listen("one", "dbtm", SHOP, _replica("following", "three")),
        await links.listen("two", "dbtm", SHOP, _replica("following", "three")),
        await links.listen("three", "dbtm", SHOP, _replica("serving", "three")),
    ]
    peers = Peers(links, [], {SHOP: ["one", "two", "three"]}, Clock())
    peers.start("sidecar")
    try:
        await _linked(peers)
        assert (await _describe(peers))["phase"] == "following"
        assert (await _describe(peers))["phase"] == "serving"
    finally:
        await peers.close()
        for server in servers:
            await server.close()
