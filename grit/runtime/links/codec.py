"""Messages as the body of a frame."""

from collections.abc import Iterator, Sequence
from typing import Generic

import msgspec

from grit.runtime.links.frames import FrameError, FrameKind, pack_frame
from grit.runtime.links.port import VERSION, Message


class FrameCodec(Generic[Message]):
    """How messages become the body of a frame and back, and which version of them this is.

    Args:
        encoder: Of messages.
        decoder: Of lists of messages: `msgspec.msgpack.Decoder(list[AnyMessage])`.
        version: Both ends must have the same.
    """

    def __init__(
        self,
        encoder: msgspec.msgpack.Encoder,
        decoder: msgspec.msgpack.Decoder[list[Message]],
        version: int = VERSION,
    ) -> None:
        self._encode = encoder.encode
        self._decode = decoder.decode
        self.version = version

    def pack(self, messages: Sequence[Message], bytes_max: int) -> Iterator[bytes]:
        """Yield frames that hold `messages` in order: one, or as many as the limit makes necessary.

        Raises:
            FrameError: One message alone is beyond the limit.
        """
        body = self._encode(messages)
        if len(body) < bytes_max:
            yield pack_frame(FrameKind.MESSAGES, body)
            return
        if len(messages) == 1:
            name = type(messages[0]).__name__
            raise FrameError(f"a {name} of {len(body)} bytes, the limit of a frame is {bytes_max}")
        half = len(messages) // 2
        yield from self.pack(messages[:half], bytes_max)
        yield from self.pack(messages[half:], bytes_max)

    def read(self, body: bytes) -> list[Message]:
        """Return the messages of a frame.

        Raises:
            FrameError: They cannot be decoded.
        """
        try:
            return self._decode(body)
        except (msgspec.DecodeError, ValueError, RecursionError) as error:
            raise FrameError(f"messages that cannot be decoded: {error}") from error
