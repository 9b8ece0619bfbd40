"""A peer that breaks the rules loses its own link, is told why, and disturbs nobody else."""

import asyncio
import random
import re
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest

from grit.runtime.links.codec import FrameCodec
from grit.runtime.links.frames import FrameKind, FrameReader, LinkLimits, pack_frame, pack_hello, read_reason
from grit.runtime.links.port import VERSION, Dialer, Link, LinkCallbacks, LinkServer, Peer
from grit.runtime.links.socket_link import SocketLink
from grit.runtime.links.sockets import SocketLinks

LIMIT_S = 10
LIMITS = LinkLimits(
    frame_bytes_max=100_000,
    hello_bytes_max=200,
    congested_bytes=50_000,
    unsent_bytes_max=200_000,
    linger_ms=100,
)
HELLO = pack_hello(VERSION, Peer("sidecar", "mallory"))


class Note(msgspec.Struct, frozen=True, tag="note", array_like=True):
    """A message."""

    number: int
    text: str = ""


class Mark(msgspec.Struct, frozen=True, tag="mark", array_like=True):
    """Another kind of message."""


AnyMessage = Note | Mark


def codec(version: int = VERSION) -> FrameCodec[AnyMessage]:
    return FrameCodec(msgspec.msgpack.Encoder(), msgspec.msgpack.Decoder(list[AnyMessage]), version)


class Serving:
    """One shell: its links by the name of the peer, and why they ended."""

    def __init__(self) -> None:
        self.open: dict[str, Link[AnyMessage]] = {}
        self.reasons: dict[str, str] = {}
        self.heard: list[AnyMessage] = []
        self.changed = asyncio.Event()
        self.callbacks = LinkCallbacks[AnyMessage](self._opened, self._message, self._closed)

    async def until(self, holds: Callable[[], bool]) -> None:
        async with asyncio.timeout(LIMIT_S):
            while not holds():
                self.changed.clear()
                await self.changed.wait()

    def _opened(self, link: Link[AnyMessage]) -> None:
        self.open[link.peer.name] = link
        self.changed.set()

    def _message(self, link: Link[AnyMessage], message: AnyMessage) -> None:
        self.heard.append(message)
        self.changed.set()

    def _closed(self, link: Link[AnyMessage], reason: str) -> None:
        del self.open[link.peer.name]
        self.reasons[link.peer.name] = reason
        self.changed.set()


class RawPeer:
    """A connection whose bytes the test writes itself."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self.frames = FrameReader(1 << 30)

    async def next_frames(self) -> list[tuple[int, bytes]]:
        """Return the frames that arrive next; none at the end of the stream."""
        async with asyncio.timeout(LIMIT_S):
            while data := await self.reader.read(1 << 16):
                if found := list(self.frames.feed(data)):
                    return found
        return []

    async def reason(self) -> str:
        """Read to the end, and return the reason of the last CLOSE."""
        reason = ""
        while found := await self.next_frames():
            for kind, body in found:
                reason = read_reason(body) if kind == FrameKind.CLOSE else reason
        return reason


class Scene:
    """A server, an honest peer, and whoever else comes."""

    def __init__(self, address: str, limits: LinkLimits = LIMITS) -> None:
        self.address = address
        self.links = SocketLinks(codec(), limits)
        self.serving, self.honest = Serving(), Serving()
        self.failures: list[dict[str, Any]] = []
        self.writers: list[asyncio.StreamWriter] = []
        self.server: LinkServer
        self.dialer: Dialer[AnyMessage]

    async def begin(self) -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: self.failures.append(context))
        self.server = await self.links.listen(self.address, "gtm", "server", self.serving.callbacks)
        self.dialer = self.links.dial(self.server.address, "sidecar", "honest", self.honest.callbacks)
        await self.serving.until(lambda: "honest" in self.serving.open)

    async def raw(self, *sent: bytes) -> RawPeer:
        """Connect, and send bytes of one's own."""
        where = self.server.address
        if where.startswith("unix:"):
            reader, writer = await asyncio.open_unix_connection(where.removeprefix("unix:"))
        else:
            host, _, port = where.rpartition(":")
            reader, writer = await asyncio.open_connection(host, int(port))
        self.writers.append(writer)
        writer.write(b"".join(sent))
        return RawPeer(reader, writer)

    async def end(self) -> None:
        """Check that the honest peer was not disturbed, and close everything."""
        assert self.honest.reasons == {}
        await self.serving.until(lambda: "honest" in self.serving.open)
        self.serving.open["honest"].send(Note(4711))
        await self.honest.until(lambda: Note(4711) in self.honest.heard)
        await self.close()

    async def close(self) -> None:
        for writer in self.writers:
            writer.close()
        async with asyncio.timeout(LIMIT_S):
            await self.dialer.close()
            await self.server.close()
        assert self.failures == []


@pytest.fixture(params=["tcp", "unix"])
def address(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return f"unix:{tmp_path}/s" if request.param == "unix" else "127.0.0.1:0"


@pytest.fixture
async def scene(address: str) -> AsyncIterator[Scene]:
    made = Scene(address)
    await made.begin()
    yield made
    await made.end()


@pytest.mark.parametrize(
    ("sent", "reason"),
    [
        pytest.param(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", "a frame of .* bytes, the limit is 200", id="http"),
        pytest.param(b"\x00\x00\x00\x00\x01", "a frame of 0 bytes", id="empty-frame"),
        pytest.param(b"\xff\xff\xff\xff\x01", "a frame of 4294967295 bytes", id="oversized"),
        pytest.param(
            pack_frame(FrameKind.HELLO, b"x" * 300), "a frame of 301 bytes, the limit is 200", id="long-hello"
        ),
        pytest.param(pack_frame(FrameKind.PING), "not a hello", id="no-hello-first"),
        pytest.param(pack_frame(FrameKind.HELLO, b"\xc1"), "cannot be read", id="garbled-hello"),
        pytest.param(pack_frame(FrameKind.HELLO, b"\x80"), "cannot be read", id="hello-without-fields"),
        pytest.param(HELLO.replace(b"grit-link", b"tirg-link"), "wrong magic", id="magic"),
        pytest.param(pack_hello(VERSION + 1, Peer("sidecar", "new")), "sidecar new speaks version 2", id="version"),
    ],
)
async def test_a_peer_without_a_good_hello_is_turned_away(scene: Scene, sent: bytes, reason: str) -> None:
    peer = await scene.raw(sent)
    told = await peer.reason()
    assert re.search(reason, told), told
    assert set(scene.serving.open) == {"honest"}
    assert scene.serving.reasons == {}


@pytest.mark.parametrize(
    ("sent", "reason"),
    [
        pytest.param(b"\xff\xff\xff\xff\x02", "a frame of 4294967295 bytes, the limit is 100000", id="oversized"),
        pytest.param(b"\x00\x00\x00\x00\x02", "a frame of 0 bytes", id="empty-frame"),
        pytest.param(pack_frame(FrameKind.MESSAGES, b"\xc1"), "cannot be decoded", id="no-msgpack"),
        pytest.param(pack_frame(FrameKind.MESSAGES, b"\x91\x92\xa4note"), "cannot be decoded", id="cut-msgpack"),
        pytest.param(pack_frame(FrameKind.MESSAGES, b"\x91\x91\xa4evil"), "cannot be decoded", id="unknown-message"),
        pytest.param(pack_frame(FrameKind.MESSAGES, b"\x91\x92\xa4note\xa1x"), "cannot be decoded", id="wrong-type"),
        pytest.param(pack_frame(FrameKind.MESSAGES, b"\xdd\xff\xff\xff\xff"), "cannot be decoded", id="huge-array"),
        pytest.param(pack_frame(FrameKind.MESSAGES, b"\x91" * 50_000), "cannot be decoded", id="deep"),
        pytest.param(pack_frame(FrameKind.MESSAGES, b"\x91\x93\xa4note\x01\xa1\xff"), "cannot be decoded", id="utf-8"),
        pytest.param(HELLO, "kind 1 does not belong here", id="second-hello"),
        pytest.param(b"\x00\x00\x00\x01\x09", "kind 9 does not belong here", id="unknown-kind"),
    ],
)
async def test_a_peer_that_breaks_the_format_later_loses_its_link(scene: Scene, sent: bytes, reason: str) -> None:
    good = pack_frame(FrameKind.MESSAGES, msgspec.msgpack.encode([Note(1)]))
    peer = await scene.raw(HELLO, good, sent, good)
    told = await peer.reason()
    await scene.serving.until(lambda: "mallory" in scene.serving.reasons)
    assert reason in told
    assert scene.serving.reasons == {"mallory": told}
    assert scene.serving.heard == [Note(1)], "what came before counts, what comes after does not"


async def test_a_peer_that_vanishes_in_a_frame_loses_its_link(scene: Scene) -> None:
    peer = await scene.raw(HELLO, pack_frame(FrameKind.MESSAGES, b"\x91\x92\xa4note\x07")[:-2])
    await scene.serving.until(lambda: "mallory" in scene.serving.open)
    peer.writer.close()
    await scene.serving.until(lambda: "mallory" in scene.serving.reasons)
    assert scene.serving.reasons["mallory"].startswith("connection lost")
    assert scene.serving.heard == []


async def test_what_a_peer_sends_after_the_end_is_not_kept(scene: Scene) -> None:
    peer = await scene.raw(HELLO)
    await scene.serving.until(lambda: "mallory" in scene.serving.open)
    link = scene.serving.open["mallory"]
    assert isinstance(link, SocketLink)
    link.close("enough")
    peer.writer.write(b"\x00\x01\x00\x00\x02" * 10_000)
    with suppress(ConnectionError):
        await peer.reason()
    await asyncio.wait([link.ended], timeout=LIMIT_S)
    assert link.ended.result() == "enough"
    assert len(link._reader._buffer) == 0


async def test_a_reason_from_outside_is_one_short_line(scene: Scene) -> None:
    await scene.raw(HELLO, pack_frame(FrameKind.CLOSE, b"bye\n\x1b\xff" * 1000))
    await scene.serving.until(lambda: "mallory" in scene.serving.reasons)
    reason = scene.serving.reasons["mallory"]
    assert len(reason) <= 500
    assert "\n" not in reason
    assert "\x1b" not in reason


async def test_random_bytes_never_disturb_the_others(scene: Scene) -> None:
    chance = random.Random(20261124)
    good = pack_frame(FrameKind.MESSAGES, msgspec.msgpack.encode([Note(1, "text"), Mark()]))
    for attempt in range(150):
        stream = bytearray(HELLO + good * 3 if attempt % 3 else chance.randbytes(200))
        for _ in range(chance.randrange(1, 6)):
            stream[chance.randrange(len(stream))] = chance.randrange(256)
        peer = await scene.raw(bytes(stream[: chance.randrange(1, len(stream) + 1)]))
        peer.writer.write_eof()
        await peer.reason()
    await scene.serving.until(lambda: set(scene.serving.open) == {"honest"})


async def test_a_dialer_tells_that_the_server_speaks_another_version(scene: Scene) -> None:
    newer = Serving()
    dialer = SocketLinks(codec(VERSION + 1), LIMITS).dial(scene.server.address, "sidecar", "new", newer.callbacks)
    async with asyncio.timeout(LIMIT_S):
        while not dialer.failure:  # noqa: ASYNC110 - there is no event to wait for
            await asyncio.sleep(0.001)
    await dialer.close()
    assert "speaks version" in dialer.failure
    assert (newer.open, newer.reasons) == ({}, {})
    assert "new" not in scene.serving.open


async def test_messages_of_one_turn_leave_in_one_frame(scene: Scene) -> None:
    peer = await scene.raw(HELLO)
    await scene.serving.until(lambda: "mallory" in scene.serving.open)
    for n in range(1000):
        scene.serving.open["mallory"].send(Note(n))
    frames: list[bytes] = []
    while not frames:
        frames += [body for kind, body in await peer.next_frames() if kind == FrameKind.MESSAGES]
    assert [len(msgspec.msgpack.decode(body)) for body in frames] == [1000]


async def test_messages_beyond_the_limit_of_a_frame_leave_in_several(scene: Scene) -> None:
    sent = [Note(n, "x" * 900) for n in range(400)]
    for message in sent:
        scene.serving.open["honest"].send(message)
    await scene.honest.until(lambda: len(scene.honest.heard) == len(sent))
    assert scene.honest.heard == sent


async def test_a_message_that_fits_no_frame_ends_the_link(scene: Scene) -> None:
    peer = await scene.raw(HELLO)
    await scene.serving.until(lambda: "mallory" in scene.serving.open)
    scene.serving.open["mallory"].send(Note(1, "x" * 100_000))
    assert "a Note of 100" in await peer.reason()


async def test_a_peer_that_does_not_read_is_congested_and_then_loses_its_link(scene: Scene) -> None:
    await scene.raw(HELLO)
    await scene.serving.until(lambda: "mallory" in scene.serving.open)
    link, was_congested = scene.serving.open["mallory"], False
    for turn in range(2000):
        was_congested |= link.is_congested
        if "mallory" in scene.serving.reasons:
            break
        link.send(Note(turn, "x" * 90_000))
        await asyncio.sleep(0)
    await scene.serving.until(lambda: "mallory" in scene.serving.reasons)
    assert was_congested
    assert "the peer does not read" in scene.serving.reasons["mallory"]


async def test_congestion_ends_when_the_peer_reads_on(scene: Scene) -> None:
    peer = await scene.raw(HELLO)
    await scene.serving.until(lambda: "mallory" in scene.serving.open)
    link = scene.serving.open["mallory"]
    while not link.is_congested:
        link.send(Note(1, "x" * 60_000))
        await asyncio.sleep(0)
    while link.is_congested:
        await peer.next_frames()
    assert "mallory" in scene.serving.open


QUICK = replace(LIMITS, ping_ms=5, silent_ms_max=20)


@pytest.fixture
async def quick(address: str) -> AsyncIterator[Scene]:
    made = Scene(address, QUICK)
    await made.begin()
    yield made
    await made.close()


async def test_a_peer_that_says_no_hello_in_time_is_turned_away(quick: Scene) -> None:
    peer = await quick.raw()
    assert await peer.reason() == ""
    assert set(quick.serving.open) <= {"honest"}


async def test_a_hello_that_trickles_in_does_not_gain_time(quick: Scene) -> None:
    peer = await quick.raw(b"\x00\x00\x00\xc8\x01")

    async def trickle() -> None:
        for _ in range(199):
            peer.writer.write(b"\x01")
            await asyncio.sleep(0.001)

    trickling = asyncio.ensure_future(trickle())
    reason = ""
    with suppress(ConnectionError):
        reason = await peer.reason()
    trickling.cancel()
    assert reason == "", "judged by its time, not by its bytes"


async def test_a_silent_peer_loses_its_link(quick: Scene) -> None:
    await quick.raw(HELLO)
    await quick.serving.until(lambda: "mallory" in quick.serving.reasons)
    assert quick.serving.reasons["mallory"] == "nothing heard for 25 ms"


async def test_pings_keep_an_idle_link_open(quick: Scene) -> None:
    peer, pings = await quick.raw(HELLO), 0
    while pings < 20:
        frames = await peer.next_frames()
        assert frames, "the link ended"
        pings += sum(kind == FrameKind.PING for kind, _ in frames)
        peer.writer.write(pack_frame(FrameKind.PING))
    assert "mallory" in quick.serving.open
