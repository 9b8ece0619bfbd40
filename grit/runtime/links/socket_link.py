"""One end of a link between processes, as an asyncio `Protocol`.

    connected --hello of the peer--> open --close, CLOSE of the peer, silence, bad bytes, loss--> ended

Not streams: a frame costs one callback. Messages that are sent within one turn of the event loop leave in one frame. A
peer that breaks the format, is silent or does not read loses its own link, nothing else.
"""

import asyncio
from collections.abc import Callable
from typing import Generic, cast

from grit.core.ids import LinkId
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
from grit.runtime.links.port import CONGESTED_MESSAGES, LinkCallbacks, Message, Peer

_PING = pack_frame(FrameKind.PING)


class SocketLink(asyncio.Protocol, Generic[Message]):
    """One end of a connection. Made by `SocketLinks` only.

    Args:
        own: Who this process is.
        on_connected: Told when there is a connection, before the hello.
    """

    def __init__(
        self,
        link_id: LinkId,
        own: Peer,
        callbacks: LinkCallbacks[Message],
        codec: FrameCodec[Message],
        limits: LinkLimits,
        on_connected: "Callable[[SocketLink[Message]], None]",
    ) -> None:
        self._id = link_id
        self._own = own
        self._callbacks = callbacks
        self._codec = codec
        self._limits = limits
        self._on_connected = on_connected
        self._loop = asyncio.get_running_loop()
        self._reader = FrameReader(limits.hello_bytes_max)
        self._transport: asyncio.Transport | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._peer: Peer | None = None
        self._outbox: list[Message] = []
        self._is_paused = False
        self._reason: str | None = None
        self._silent_beats = 0
        self.ended: asyncio.Future[str] = self._loop.create_future()

    @property
    def id(self) -> LinkId:
        """Return the number of this end."""
        return self._id

    @property
    def peer(self) -> Peer:
        """Return who is at the other end."""
        assert self._peer is not None, "the link has not opened"
        return self._peer

    @property
    def is_congested(self) -> bool:
        """Tell whether much waits for the peer."""
        return self._is_paused or len(self._outbox) > CONGESTED_MESSAGES

    def send(self, message: Message) -> None:
        """Queue a message for the frame of this turn."""
        if self._reason is not None:
            return
        if not self._outbox:
            self._loop.call_soon(self._flush)
        self._outbox.append(message)

    def close(self, reason: str) -> None:
        """End the link after what was sent."""
        self._flush()
        self._finish(reason)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Say hello, and begin to watch for signs of life."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is one, but not by its class.
        self._transport.set_write_buffer_limits(high=self._limits.congested_bytes)
        self._transport.write(pack_hello(self._codec.version, self._own))
        self._timer = self._loop.call_later(self._limits.ping_ms / 1000, self._beat)
        self._on_connected(self)

    def data_received(self, data: bytes) -> None:
        """Take what the peer sent; after the end, let it go by."""
        if self._reason is not None:
            return
        if self._peer is not None:  # Until then the time to say hello runs, however slowly bytes trickle in.
            self._silent_beats = 0
        try:
            for kind, body in self._reader.feed(data):
                if self._reason is not None:
                    return
                self._take(kind, body)
        except FrameError as error:
            self._finish(str(error))

    def pause_writing(self) -> None:
        """Be congested."""
        self._is_paused = True

    def resume_writing(self) -> None:
        """Be congested no more."""
        self._is_paused = False

    def connection_lost(self, error: Exception | None) -> None:
        """End, unless it was this side that did."""
        self._end(f"connection lost: {error or 'closed by the peer'}")
        assert self._timer is not None
        self._timer.cancel()
        self._loop.call_soon(self._report_gone)

    def _take(self, kind: int, body: bytes) -> None:
        if self._peer is None:
            self._open(read_hello(kind, body, self._codec.version))
        elif kind == FrameKind.MESSAGES:
            for message in self._codec.read(body):
                if self._reason is not None:
                    return
                self._callbacks.on_message(self, message)
        elif kind == FrameKind.CLOSE:
            self._end(read_reason(body))
            self._connected.close()
        elif kind != FrameKind.PING:
            raise FrameError(f"a frame of kind {kind} does not belong here")

    def _open(self, peer: Peer) -> None:
        self._peer = peer
        self._silent_beats = 0
        self._reader.bytes_max = self._limits.frame_bytes_max
        self._callbacks.on_open(self)

    def _flush(self) -> None:
        if self._reason is not None or not self._outbox:
            return
        messages, self._outbox = self._outbox, []
        waiting = self._connected.get_write_buffer_size()
        if waiting > self._limits.unsent_bytes_max:
            self._abort(f"the peer does not read: {waiting} bytes wait for it")
            return
        try:
            for frame in self._codec.pack(messages, self._limits.frame_bytes_max):
                self._write(frame)
        except FrameError as error:
            self._finish(str(error))

    def _beat(self) -> None:
        # Beats are counted rather than time, so that a pause of this process does not look like one of the peer.
        self._silent_beats += 1
        silent_ms = self._silent_beats * self._limits.ping_ms
        if silent_ms > self._limits.silent_ms_max:
            self._abort(f"nothing heard for {silent_ms} ms" if self._peer else f"no hello within {silent_ms} ms")
            return
        self._write(_PING)
        self._timer = self._loop.call_later(self._limits.ping_ms / 1000, self._beat)

    def _finish(self, reason: str) -> None:
        """End the link, and give the peer a while to read what was sent and why it ended.

        Only the sending half is shut down: closing a socket that holds unread bytes resets the connection, and the
        reset can overtake the reason.
        """
        if self._reason is not None:
            return
        self._end(reason)
        self._write(pack_close(reason))
        if not self._connected.is_closing():
            self._connected.write_eof()
        assert self._timer is not None
        self._timer.cancel()
        self._timer = self._loop.call_later(self._limits.linger_ms / 1000, self._connected.abort)

    def _write(self, data: bytes) -> None:
        if not self._connected.is_closing():  # Else the news that it is lost is on its way.
            self._connected.write(data)

    def _abort(self, reason: str) -> None:
        self._end(reason)
        self._connected.abort()

    def _end(self, reason: str) -> None:
        if self._reason is None:
            self._reason = reason
            self._outbox.clear()
            if self._peer is not None:
                self._loop.call_soon(self._callbacks.on_closed, self, reason)

    def _report_gone(self) -> None:
        assert self._reason is not None
        self.ended.set_result(self._reason)

    @property
    def _connected(self) -> asyncio.Transport:
        assert self._transport is not None, "used before there is a connection"
        return self._transport
