"""The bytes of a link between processes, without any IO.

    frame    = length (4 bytes, big endian, of what follows) | kind (1 byte) | body
    HELLO    = msgpack map {magic, version, role, name}: the first frame of each side, and only the first
    MESSAGES = msgpack array of messages: all that were sent within one turn of the sender's event loop
    PING     = empty: I am alive
    CLOSE    = UTF-8 text: why the sender ends the link; nothing follows

What breaks a rule raises `FrameError`, whose message is sent back as the reason. Nothing a peer sends can take more
memory than the limit of a frame, which is small until its hello is known.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum

import msgspec

from grit.runtime.links.port import Peer

MAGIC = "grit-link"
REASON_CHARS_MAX = 500

_HEADER = struct.Struct(">IB")
_LENGTH_BYTES = 4


class FrameKind(IntEnum):
    """What the body of a frame is."""

    HELLO = 1
    MESSAGES = 2
    PING = 3
    CLOSE = 4


class FrameError(Exception):
    """The peer does not keep to the format; one line that says how."""


class Hello(msgspec.Struct, frozen=True):
    """Who speaks, and which version of the messages."""

    magic: str
    version: int
    role: str
    name: str


@dataclass(frozen=True, slots=True)
class LinkLimits:
    """Bounds of a link between processes.

    Attributes:
        frame_bytes_max: Largest frame, both ways; one message must fit.
        hello_bytes_max: Largest first frame.
        congested_bytes: With more unsent bytes than these a link says that it is congested.
        unsent_bytes_max: With more the peer counts as stuck: the link ends at the next message.
        ping_ms: Period of the sign of life.
        silent_ms_max: A peer that was not heard for so long is gone; also the time to say hello.
        linger_ms: A link that is closed waits so long for the peer to take the last bytes.
        connect_ms: Time for a connection to be made.
        backoff_ms_min, backoff_ms_max: Pauses between attempts to connect.
    """

    frame_bytes_max: int = 32 << 20
    hello_bytes_max: int = 4096
    congested_bytes: int = 1 << 20
    unsent_bytes_max: int = 64 << 20
    ping_ms: int = 1000
    silent_ms_max: int = 5000
    linger_ms: int = 1000
    connect_ms: int = 5000
    backoff_ms_min: int = 20
    backoff_ms_max: int = 1000

    def __post_init__(self) -> None:
        assert 0 < self.hello_bytes_max <= self.frame_bytes_max < 1 << 32
        assert 0 < self.congested_bytes <= self.unsent_bytes_max
        assert 0 < self.ping_ms < self.silent_ms_max


def pack_frame(kind: FrameKind, body: bytes = b"") -> bytes:
    """Return a whole frame."""
    return _HEADER.pack(len(body) + 1, kind) + body


def pack_hello(version: int, own: Peer) -> bytes:
    """Return the first frame."""
    return pack_frame(FrameKind.HELLO, msgspec.msgpack.encode(Hello(MAGIC, version, own.role, own.name)))


def pack_close(reason: str) -> bytes:
    """Return the last frame."""
    return pack_frame(FrameKind.CLOSE, reason[:REASON_CHARS_MAX].encode(errors="replace"))


def read_hello(kind: int, body: bytes, version: int) -> Peer:
    """Return who the peer is, from its first frame.

    Raises:
        FrameError: It is not a hello, not of a link of ours, or speaks another version than `version`.
    """
    if kind != FrameKind.HELLO:
        raise FrameError(f"the first frame is of kind {kind}, not a hello: not a grit link")
    try:
        hello = msgspec.msgpack.decode(body, type=Hello)
    except (msgspec.DecodeError, ValueError) as error:
        raise FrameError(f"the hello cannot be read ({error}): not a grit link") from error
    if hello.magic != MAGIC:
        raise FrameError("the hello has the wrong magic: not a grit link")
    if hello.version != version:
        raise FrameError(f"{hello.role} {hello.name} speaks version {hello.version}, this one {version}: upgrade it")
    return Peer(hello.role, hello.name)


def read_reason(body: bytes) -> str:
    """Return the text of a CLOSE as one short line, whatever the bytes."""
    text = "".join(char if char.isprintable() else " " for char in body[:4096].decode(errors="replace"))
    return " ".join(text.split())[:REASON_CHARS_MAX] or "no reason given"


class FrameReader:
    """Cuts a stream of bytes into frames.

    Attributes:
        bytes_max: Largest frame that is taken; may be changed between frames.
    """

    def __init__(self, bytes_max: int) -> None:
        self.bytes_max = bytes_max
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterator[tuple[int, bytes]]:
        """Yield (kind, body) of each frame that `data` completes, in order; take them all or stop for good.

        Raises:
            FrameError: A frame is empty or too large. It comes after the frames before it.
        """
        buffer = self._buffer
        buffer += data
        at = 0
        while len(buffer) - at >= _HEADER.size:
            length, kind = _HEADER.unpack_from(buffer, at)
            if not 0 < length <= self.bytes_max:
                raise FrameError(f"a frame of {length} bytes, the limit is {self.bytes_max}")
            end = at + _LENGTH_BYTES + length
            if len(buffer) < end:
                break
            body = bytes(memoryview(buffer)[at + _HEADER.size : end])
            at = end
            yield kind, body
        del buffer[:at]
