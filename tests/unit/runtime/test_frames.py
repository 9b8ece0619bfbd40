"""The bytes of a link, cut and judged without IO."""

import itertools
from contextlib import suppress

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from grit.runtime.links.codec import FrameCodec
from grit.runtime.links.frames import (
    FrameError,
    FrameKind,
    FrameReader,
    LinkLimits,
    pack_close,
    pack_frame,
    pack_hello,
    read_hello,
    read_reason,
)
from grit.runtime.links.port import Peer


class Note(msgspec.Struct, frozen=True, tag="note", array_like=True):
    """A message."""

    number: int
    text: str = ""


class Mark(msgspec.Struct, frozen=True, tag="mark", array_like=True):
    """Another kind of message."""


AnyMessage = Note | Mark
Frames = list[tuple[int, bytes]]
messages = st.one_of(st.builds(Note, st.integers(-(2**63), 2**63 - 1), st.text(max_size=50)), st.builds(Mark))


def codec() -> FrameCodec[AnyMessage]:
    return FrameCodec(msgspec.msgpack.Encoder(), msgspec.msgpack.Decoder(list[AnyMessage]))


def fed(reader: FrameReader, chunks: list[bytes]) -> tuple[Frames, str]:
    """Return the frames of a stream that comes in chunks, and why it stopped."""
    found: Frames = []
    try:
        for chunk in chunks:
            found.extend(reader.feed(chunk))
    except FrameError as error:
        return found, str(error)
    return found, ""


def cut(stream: bytes, places: list[int]) -> list[bytes]:
    edges = sorted({0, len(stream), *(place % (len(stream) + 1) for place in places)})
    return [stream[start:end] for start, end in itertools.pairwise(edges)]


@given(st.lists(st.binary(max_size=80), max_size=8), st.lists(st.integers(0, 2000), max_size=12))
def test_frames_come_out_as_they_went_in_however_the_stream_is_cut(bodies: list[bytes], places: list[int]) -> None:
    stream = b"".join(pack_frame(FrameKind.MESSAGES, body) for body in bodies)
    expected = [(int(FrameKind.MESSAGES), body) for body in bodies]
    assert fed(FrameReader(100), cut(stream, places)) == (expected, "")


@given(st.binary(max_size=400), st.lists(st.integers(0, 400), max_size=12))
def test_any_bytes_give_the_same_frames_and_the_same_end_however_they_are_cut(data: bytes, places: list[int]) -> None:
    reader = FrameReader(1000)
    assert fed(reader, cut(data, places)) == fed(FrameReader(1000), [data])


@given(st.binary(max_size=300))
def test_any_bytes_as_messages_are_messages_or_refused(body: bytes) -> None:
    read: list[AnyMessage] = []
    with suppress(FrameError):
        read = codec().read(body)
    assert all(isinstance(message, Note | Mark) for message in read)


@given(st.binary(max_size=100), st.integers(0, 255))
def test_any_bytes_as_a_hello_are_a_peer_or_refused(body: bytes, kind: int) -> None:
    with pytest.raises(FrameError):
        read_hello(kind, body, 1)


@given(st.binary(max_size=2000))
def test_any_bytes_as_a_reason_are_one_printable_line(body: bytes) -> None:
    reason = read_reason(body)
    assert reason
    assert reason.isprintable()
    assert len(reason) <= 500


@given(st.lists(messages, min_size=1, max_size=40), st.integers(260, 2000))
def test_messages_survive_whatever_the_limit_of_a_frame(sent: list[AnyMessage], bytes_max: int) -> None:
    frames = list(codec().pack(sent, bytes_max))
    reader = FrameReader(bytes_max)
    bodies = [body for frame in frames for _, body in reader.feed(frame)]
    assert [message for body in bodies for message in codec().read(body)] == sent


def test_a_message_beyond_the_limit_is_refused_by_name() -> None:
    with pytest.raises(FrameError, match=r"a Note of \d+ bytes, the limit of a frame is 100"):
        list(codec().pack([Mark(), Note(1, "x" * 200)], 100))


def test_a_frame_of_exactly_the_limit_passes() -> None:
    frame = pack_frame(FrameKind.MESSAGES, b"x" * 99)
    assert fed(FrameReader(100), [frame])[1] == ""
    assert "101 bytes, the limit is 100" in fed(FrameReader(100), [pack_frame(FrameKind.MESSAGES, b"x" * 100)])[1]


def test_the_reader_keeps_no_more_than_the_frame_that_is_under_way() -> None:
    reader = FrameReader(1000)
    for _ in range(50):
        fed(reader, [pack_frame(FrameKind.PING) * 10 + b"\x00\x00"])
        fed(reader, [b"\x00\x01\x03"])
    assert len(reader._buffer) == 0


def test_a_hello_names_its_sender() -> None:
    ((kind, body),) = FrameReader(1000).feed(pack_hello(3, Peer("dbtm orders", "pod-7")))
    assert read_hello(kind, body, 3) == Peer("dbtm orders", "pod-7")


def test_a_later_hello_may_have_more_fields() -> None:
    body = msgspec.msgpack.encode({"magic": "grit-link", "version": 1, "role": "gtm", "name": "a", "zone": "x"})
    assert read_hello(FrameKind.HELLO, body, 1) == Peer("gtm", "a")


def test_a_long_reason_is_cut_before_it_is_sent() -> None:
    ((_, body),) = FrameReader(4096).feed(pack_close("x" * 5000))
    assert len(body) == 500


def test_limits_that_contradict_each_other_are_refused() -> None:
    with pytest.raises(AssertionError):
        LinkLimits(hello_bytes_max=100, frame_bytes_max=50)
    with pytest.raises(AssertionError):
        LinkLimits(ping_ms=5000, silent_ms_max=5000)
