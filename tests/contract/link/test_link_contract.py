"""What every kind of link promises (grit/runtime/links/port.py), on each adapter and on both event loops."""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import pytest

from grit.core.errors import ConfigError
from grit.runtime.links.codec import FrameCodec
from grit.runtime.links.inproc import InProcessLinks
from grit.runtime.links.port import CONGESTED_MESSAGES, Dialer, Link, LinkCallbacks, Links, LinkServer, Peer
from grit.runtime.links.sockets import SocketLinks

LIMIT_S = 10


async def becomes(holds: Callable[[], bool]) -> None:
    """Wait until `holds`, of which no callback tells."""
    async with asyncio.timeout(LIMIT_S):
        while not holds():  # noqa: ASYNC110 - there is no event to wait for
            await asyncio.sleep(0.001)


class Note(msgspec.Struct, frozen=True, tag="note", array_like=True):
    """A message."""

    number: int
    text: str = ""


class Mark(msgspec.Struct, frozen=True, tag="mark", array_like=True):
    """Another kind of message."""


AnyMessage = Note | Mark


class Side:
    """One shell: writes down what it hears, and waits for conditions."""

    def __init__(self) -> None:
        self.links: list[Link[AnyMessage]] = []
        self.heard: list[AnyMessage] = []
        self.closed: list[str] = []
        self.events: list[str] = []
        self.answer: Callable[[Link[AnyMessage], AnyMessage], None] = lambda _link, _message: None
        self._changed = asyncio.Event()
        self.callbacks = LinkCallbacks[AnyMessage](self._open, self._message, self._closed)

    @property
    def link(self) -> Link[AnyMessage]:
        """The newest link."""
        return self.links[-1]

    async def until(self, holds: Callable[[], bool]) -> None:
        """Wait until a callback has made `holds` true."""
        async with asyncio.timeout(LIMIT_S):
            while not holds():
                self._changed.clear()
                await self._changed.wait()

    async def until_open(self) -> None:
        """Wait for the first link."""
        await self.until(lambda: bool(self.links))

    def _open(self, link: Link[AnyMessage]) -> None:
        self.links.append(link)
        self._note("open")

    def _message(self, link: Link[AnyMessage], message: AnyMessage) -> None:
        self.heard.append(message)
        self._note("message")
        self.answer(link, message)

    def _closed(self, link: Link[AnyMessage], reason: str) -> None:
        self.closed.append(reason)
        self._note("closed")

    def _note(self, event: str) -> None:
        self.events.append(event)
        self._changed.set()


@dataclass
class World:
    """One kind of link and what was made of it; everything is closed at the end."""

    links: Links[AnyMessage]
    address: str
    servers: list[LinkServer]
    dialers: list[Dialer[AnyMessage]]

    async def listen(self, side: Side, address: str | None = None) -> LinkServer:
        server = await self.links.listen(address or self.address, "gtm", "gtm-1", side.callbacks)
        self.servers.append(server)
        return server

    def dial(self, side: Side, address: str) -> Dialer[AnyMessage]:
        dialer = self.links.dial(address, "sidecar", "home-1", side.callbacks)
        self.dialers.append(dialer)
        return dialer

    async def pair(self) -> tuple[Side, Side]:
        """Return a dialling and a serving side, connected."""
        near, far = Side(), Side()
        server = await self.listen(far)
        self.dial(near, server.address)
        await near.until_open()
        await far.until_open()
        return near, far


@pytest.fixture(params=["inproc", "tcp", "unix"])
async def world(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[World]:
    codec = FrameCodec[AnyMessage](msgspec.msgpack.Encoder(), msgspec.msgpack.Decoder(list[AnyMessage]))
    links: Links[AnyMessage] = InProcessLinks() if request.param == "inproc" else SocketLinks(codec)
    address = {"inproc": "gtm", "tcp": "127.0.0.1:0", "unix": f"unix:{tmp_path}/s"}[request.param]
    made = World(links, address, [], [])
    failures: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: failures.append(context))
    yield made
    async with asyncio.timeout(LIMIT_S):
        for dialer in made.dialers:
            await dialer.close()
        for server in made.servers:
            await server.close()
    assert failures == []


async def test_both_ends_open_and_know_each_other(world: World) -> None:
    near, far = await world.pair()
    assert near.link.peer == Peer("gtm", "gtm-1")
    assert far.link.peer == Peer("sidecar", "home-1")
    assert world.dialers[0].link is near.link


async def test_every_end_has_a_number_of_its_own(world: World) -> None:
    far, sides = Side(), [Side() for _ in range(3)]
    server = await world.listen(far)
    for side in sides:
        world.dial(side, server.address)
    await far.until(lambda: len(far.links) == 3)
    for side in sides:
        await side.until_open()
    assert len({link.id for side in (far, *sides) for link in side.links}) == 6


async def test_messages_of_one_turn_arrive_in_the_order_in_which_they_were_sent(world: World) -> None:
    near, far = await world.pair()
    sent = [Mark() if n % 7 == 0 else Note(n, str(n)) for n in range(3000)]
    for message in sent:
        near.link.send(message)
    await far.until(lambda: len(far.heard) == len(sent))
    assert far.heard == sent


async def test_answers_and_questions_of_many_turns_keep_their_order(world: World) -> None:
    near, far = await world.pair()
    far.answer = lambda link, message: link.send(message)
    for turn in range(50):
        for n in range(10):
            near.link.send(Note(10 * turn + n))
        await asyncio.sleep(0)
    await near.until(lambda: len(near.heard) == 500)
    assert near.heard == far.heard == [Note(n) for n in range(500)]


async def test_large_messages_arrive_whole_and_in_order(world: World) -> None:
    near, far = await world.pair()
    sent = [Note(1, "x" * 12_000_000), Note(2), Note(3, "y" * 25_000_000), Note(4, "z" * 12_000_000)]
    for message in sent:
        near.link.send(message)
    await far.until(lambda: len(far.heard) == len(sent))
    assert far.heard == sent


async def test_both_sides_hear_once_why_a_link_was_closed(world: World) -> None:
    near, far = await world.pair()
    near.link.close("moving on")
    near.link.close("again")
    await far.until(lambda: bool(far.closed))
    await near.until(lambda: bool(near.closed))
    await near.until(lambda: len(near.links) == 2)
    assert near.closed == far.closed == ["moving on"]


async def test_the_serving_side_can_close_too(world: World) -> None:
    near, far = await world.pair()
    far.link.close("not you")
    await near.until(lambda: bool(near.closed))
    await far.until(lambda: bool(far.closed))
    assert near.closed == far.closed == ["not you"]


async def test_what_was_sent_before_the_close_still_arrives(world: World) -> None:
    near, far = await world.pair()
    for n in range(100):
        near.link.send(Note(n, "x" * 10_000))
    near.link.close("done")
    await far.until(lambda: bool(far.closed))
    assert far.heard == [Note(n, "x" * 10_000) for n in range(100)]
    assert far.events == ["open"] + ["message"] * 100 + ["closed"]


async def test_a_closed_link_drops_what_is_sent(world: World) -> None:
    near, far = await world.pair()
    ended = near.link
    ended.close("done")
    ended.send(Note(1))
    await near.until(lambda: len(near.links) == 2)
    near.link.send(Note(2))
    await far.until(lambda: bool(far.heard))
    assert far.heard == [Note(2)]


async def test_after_an_own_close_no_message_comes_any_more(world: World) -> None:
    near, far = await world.pair()
    for n in range(10):
        near.link.send(Note(n))
    far.answer = lambda link, _message: link.close("enough")
    await far.until(lambda: bool(far.closed))
    assert far.events == ["open", "message", "closed"]


async def test_no_callback_runs_inside_send_or_close(world: World) -> None:
    near, far = await world.pair()
    before = list(near.events), list(far.events)
    near.link.send(Note(1))
    near.link.close("done")
    assert (near.events, far.events) == before


async def test_closing_one_link_leaves_the_others(world: World) -> None:
    near, far = await world.pair()
    other = Side()
    dialer = world.dial(other, world.servers[0].address)
    await other.until_open()
    await dialer.close()
    near.link.send(Note(1))
    await far.until(lambda: bool(far.heard))
    assert (near.closed, far.closed) == ([], ["dialer closed"])


async def test_a_server_that_closes_ends_its_links(world: World) -> None:
    near, far = await world.pair()
    await world.servers[0].close()
    assert far.closed == ["server closed"]
    await near.until(lambda: bool(near.closed))
    assert near.closed == ["server closed"]
    assert world.dialers[0].link is None


async def test_a_dialer_comes_back_when_the_server_does(world: World) -> None:
    near, _ = await world.pair()
    address = world.servers[0].address
    await world.servers[0].close()
    again = Side()
    await world.listen(again, address)
    await again.until_open()
    await near.until(lambda: len(near.links) == 2)
    near.link.send(Note(7))
    await again.until(lambda: bool(again.heard))
    assert again.heard == [Note(7)]
    assert near.events == ["open", "closed", "open"]
    assert near.links[0].id != near.links[1].id


async def test_a_dialer_waits_for_a_server_that_is_not_there_yet(world: World) -> None:
    first = await world.listen(Side())
    await first.close()
    near, far = Side(), Side()
    dialer = world.dial(near, first.address)
    await becomes(lambda: bool(dialer.failure))
    assert (dialer.link, near.events) == (None, [])
    await world.listen(far, first.address)
    await near.until_open()
    assert dialer.failure == ""


async def test_a_dialer_that_is_closed_has_said_goodbye_and_dials_no_more(world: World) -> None:
    near, far = await world.pair()
    await world.dialers[0].close()
    assert near.events == ["open", "closed"]
    await far.until(lambda: bool(far.closed))
    newer = Side()
    world.dial(newer, world.servers[0].address)
    await newer.until_open()
    await far.until(lambda: len(far.links) == 2)
    assert near.events == ["open", "closed"]


async def test_a_dialer_that_never_connected_can_be_closed(world: World) -> None:
    server = await world.listen(Side())
    await server.close()
    side = Side()
    await world.dial(side, server.address).close()
    assert side.events == []


async def test_an_address_that_is_taken_is_refused_in_one_line(world: World) -> None:
    server = await world.listen(Side())
    with pytest.raises(ConfigError, match=r"^cannot listen on [^\n]+$") as refused:
        await world.listen(Side(), server.address)
    assert server.address in str(refused.value)


async def test_a_link_with_much_unsent_is_congested_until_it_left(world: World) -> None:
    near, far = await world.pair()
    assert not near.link.is_congested
    for n in range(CONGESTED_MESSAGES + 2):
        near.link.send(Note(n))
    assert near.link.is_congested
    await far.until(lambda: len(far.heard) == CONGESTED_MESSAGES + 2)
    await becomes(lambda: not near.link.is_congested)
