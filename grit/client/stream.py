"""One session with a sidecar: many requests of many transactions on one stream, answered in any order.

Requests leave in the order in which `send` was called. The stream is opened when first needed, and again after it
broke; what was under way then fails: a commit as OutcomeUnknown, everything else as Unavailable.
"""

import asyncio
from typing import Any

import grpc
from google.protobuf.message import Message as ProtoMessage

from grit.client.errors import typed
from grit.core.errors import Code, GritError
from grit.pb.v1 import sidecar_pb2 as pb
from grit.runtime.failpoints import failpoint_once_sent
from grit.wire.channel import expect_sendable
from grit.wire.errors import decode_error, error_of_call

ANSWER_S_MAX = 90.0
"""A request that is not answered for so long is given up; the longest transaction is shorter."""
METHOD = "/grit.pb.v1.Transactions/Session"


class _Open:
    """A stream that is up, with what waits on it."""

    def __init__(self, channel: grpc.aio.Channel, metadata: tuple[tuple[str, str], ...]) -> None:
        multi: grpc.aio.StreamStreamMultiCallable[bytes, pb.ServerFrame] = channel.stream_stream(
            METHOD,
            response_deserializer=pb.ServerFrame.FromString,
        )
        self._call = multi(metadata=metadata)
        self._outgoing: asyncio.Queue[tuple[str, bytes]] = asyncio.Queue()
        self._waiting: dict[int, tuple[str, asyncio.Future[Any]]] = {}
        self._number = 0
        self.is_broken = False
        self._tasks = [asyncio.create_task(self._write()), asyncio.create_task(self._read())]

    def send(self, name: str, request: ProtoMessage) -> asyncio.Future[Any]:
        """Queue a request; the future is its answer. One that is too large is refused, by the future too."""
        self._number += 1
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        fields: dict[str, Any] = {name: request}
        try:
            frame = expect_sendable(pb.ClientFrame(id=self._number, **fields).SerializeToString())
        except GritError as error:
            future.set_exception(typed(error))
            return future
        self._waiting[self._number] = (name, future)
        self._outgoing.put_nowait((name, frame))
        return future

    async def close(self) -> None:
        """End it."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._call.cancel()
        self._break(GritError(Code.NO_LEADER, "the connection to the sidecar was closed"))

    async def _write(self) -> None:
        while True:
            name, frame = await self._outgoing.get()
            try:
                await self._call.write(frame)
            except (grpc.aio.AioRpcError, asyncio.InvalidStateError, grpc.aio.UsageError):
                return  # the reader knows why
            failpoint_once_sent(f"client.after_{name}")

    async def _read(self) -> None:
        error = GritError(Code.NO_LEADER, "the connection to the sidecar has ended")
        try:
            async for frame in self._call:
                self._take(frame)
        except grpc.aio.AioRpcError as failure:
            error = error_of_call(failure, commits=False)
        finally:
            self._break(error)

    def _take(self, frame: pb.ServerFrame) -> None:
        name, future = self._waiting.pop(frame.id, ("", None))
        if future is None or future.done():
            return
        if frame.WhichOneof("response") == "error":
            future.set_exception(typed(decode_error(frame.error)))
        else:
            future.set_result(getattr(frame, name))

    def _break(self, error: GritError) -> None:
        self.is_broken = True
        waiting, self._waiting = self._waiting, {}
        for name, future in waiting.values():
            if future.done():
                continue
            if name in ("commit", "transact"):
                future.set_exception(typed(GritError(Code.UNKNOWN, f"{error.message}, during a commit: ask Status")))
            else:
                future.set_exception(typed(error))


class SessionStream:
    """A session that opens again by itself.

    Args:
        channel: To the sidecar; not closed here.
        home: The home that the requests are for, when it is not this sidecar: it relays them.
    """

    def __init__(self, channel: grpc.aio.Channel, home: str = "") -> None:
        self._channel = channel
        self._metadata = (("grit-home", home),) if home else ()
        self._open: _Open | None = None
        self._is_closed = False

    def send(self, name: str, request: ProtoMessage) -> asyncio.Future[Any]:
        """Send a request, `name` as in a ClientFrame; the future is the answer, or raises a GritError.

        Raises:
            Unavailable: The session was closed.
        """
        if self._is_closed:
            raise typed(GritError(Code.NO_LEADER, "the client is closed"))
        if self._open is None or self._open.is_broken:
            self._open = _Open(self._channel, self._metadata)
        return self._open.send(name, request)

    async def ask(self, name: str, request: ProtoMessage) -> Any:
        """Send a request and return the answer.

        Raises:
            GritError: What the sidecar said, or that it cannot be reached.
        """
        try:
            async with asyncio.timeout(ANSWER_S_MAX):
                return await self.send(name, request)
        except TimeoutError:
            code = Code.UNKNOWN if name in ("commit", "transact") else Code.NO_LEADER
            raise typed(GritError(code, f"the sidecar did not answer within {ANSWER_S_MAX:g} s")) from None

    async def close(self) -> None:
        """End the session, for good."""
        self._is_closed = True
        if self._open is not None:
            await self._open.close()
