"""Finding the leader among replicas, and the replica that has the least to do."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

from grit.core.errors import Code
from grit.core.ids import Lsn, Millis, Realm, TxnId
from grit.core.messages import Declined, DescribeAnswered, DescribeAsked, Message, ReadAnswered, ReadAsked
from grit.runtime.links.inproc import InProcessLinks
from grit.runtime.links.port import Link, LinkCallbacks
from grit.sidecar.clock import Clock
from grit.sidecar.peers import Asker, PeerAnswer, Peers

SHOP = Realm("shop")
LIMIT_S = 10


class _Replica:
    """A DBTM that says how it is and answers reads with nothing, unless it is silent."""

    def __init__(self, phase: str, leader: str) -> None:
        self.is_silent = False
        self.reads = 0
        self._leader = leader if phase == "following" else ""
        self._facts = {"phase": phase, "leader": leader}
        self.callbacks = LinkCallbacks[Message](lambda _: None, self._answer, lambda _link, _reason: None)

    def _answer(self, link: Link[Message], message: Message) -> None:
        if isinstance(message, DescribeAsked):
            link.send(DescribeAnswered(message.id, self._facts))
            return
        assert isinstance(message, ReadAsked)
        self.reads += 1
        if not self.is_silent:
            link.send(ReadAnswered(message.id, Lsn(0), Lsn(0), (), Millis(0), leader=self._leader))


@contextlib.asynccontextmanager
async def _asking(**replicas: _Replica) -> AsyncIterator[Peers]:
    """Yield peers that are linked to all of these."""
    links: InProcessLinks[Message] = InProcessLinks()
    servers = [await links.listen(name, "dbtm", SHOP, replica.callbacks) for name, replica in replicas.items()]
    peers = Peers(links, [], {SHOP: list(replicas)}, Clock())
    peers.start("sidecar")
    try:
        async with asyncio.timeout(LIMIT_S):
            while any(dialer.link is None for dialer in peers._dbtms[SHOP].dialers):  # noqa: ASYNC110
                await asyncio.sleep(0)
        yield peers
    finally:
        await peers.close()
        for server in servers:
            await server.close()


def _ask(peers: Peers, message: Any, **how: Any) -> "asyncio.Future[PeerAnswer]":
    answered: asyncio.Future[PeerAnswer] = asyncio.get_running_loop().create_future()
    peers.ask(SHOP, message, Asker(answered.set_result, lambda: None), **how)
    return answered


def _read(peers: Peers, **how: Any) -> "tuple[int, asyncio.Future[PeerAnswer]]":
    number = next(peers.ids)
    return number, _ask(peers, ReadAsked(number, TxnId(""), Lsn(0), ()), anywhere=True, **how)


async def _describe(peers: Peers) -> dict[str, Any]:
    async with asyncio.timeout(LIMIT_S):
        answer = await _ask(peers, DescribeAsked(next(peers.ids)))
    assert isinstance(answer, DescribeAnswered)
    return answer.facts


async def test_a_standby_that_describes_itself_tells_who_leads() -> None:
    standbys = {name: _Replica("following", "three") for name in ("one", "two")}
    async with _asking(**standbys, three=_Replica("serving", "three")) as peers:
        assert (await _describe(peers))["phase"] == "following"
        assert (await _describe(peers))["phase"] == "serving"


async def test_a_standby_that_answers_a_read_tells_who_leads() -> None:
    one, two = _Replica("following", "two"), _Replica("serving", "two")
    async with _asking(one=one, two=two) as peers, asyncio.timeout(LIMIT_S):
        for _ in range(3):
            await _ask(peers, ReadAsked(next(peers.ids), TxnId(""), Lsn(0), ()))
    assert (one.reads, two.reads) == (1, 2)


async def test_what_anybody_may_answer_is_spread_over_the_replicas() -> None:
    one, two = _Replica("serving", "one"), _Replica("following", "one")
    async with _asking(one=one, two=two) as peers, asyncio.timeout(LIMIT_S):
        await asyncio.gather(*(_read(peers)[1] for _ in range(10)))
        assert (one.reads, two.reads) == (5, 5)
        for _ in range(10):
            await _read(peers)[1]
    assert (one.reads, two.reads) == (10, 10)


async def test_a_silent_replica_is_passed_over_while_others_answer() -> None:
    one, two = _Replica("serving", "one"), _Replica("following", "one")
    one.is_silent = True
    async with _asking(one=one, two=two) as peers:
        for _ in range(10):
            _, answer = _read(peers)
            await asyncio.wait([answer], timeout=0.01)
    assert one.reads == 1


async def test_a_question_beside_another_goes_to_another_replica_or_to_nobody() -> None:
    one, two = _Replica("serving", "one"), _Replica("following", "one")
    async with _asking(one=one, two=two) as peers, asyncio.timeout(LIMIT_S):
        one.is_silent = two.is_silent = True
        first, _ = _read(peers)
        _read(peers, beside=first)
        one.is_silent = two.is_silent = False
        await _describe(peers)
        assert (one.reads, two.reads) == (1, 1)
    async with _asking(one=one) as peers, asyncio.timeout(LIMIT_S):
        one.is_silent = True
        first, _ = _read(peers)
        _read(peers, beside=first)
        await _describe(peers)
    assert one.reads == 2


async def test_who_declines_what_anybody_may_answer_does_not_say_who_leads() -> None:
    one, two = _Replica("serving", "one"), _Replica("following", "one")

    def decline(link: Link[Message], message: Message) -> None:
        if isinstance(message, ReadAsked):
            link.send(Declined(message.id, Code.NO_LEADER.value, "it takes over", leader="two"))
        else:
            one._answer(link, message)

    one.callbacks = LinkCallbacks[Message](lambda _: None, decline, lambda _link, _reason: None)
    async with _asking(one=one, two=two) as peers, asyncio.timeout(LIMIT_S):
        await asyncio.gather(*(_read(peers)[1] for _ in range(4)))
        assert (await _describe(peers))["phase"] == "serving"
