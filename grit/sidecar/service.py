"""The gRPC face of a sidecar: unary calls, the multiplexed session, and the relay to other homes.

Frames of a session are read fast and answered as they finish. A stream or call with the metadata entry `grit-home` that
names another sidecar is piped there as bytes, message by message: nothing of it is decoded here.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import grpc
from google.protobuf.message import DecodeError
from google.protobuf.message import Message as ProtoMessage

from grit.core.errors import Code, GritError
from grit.pb.v1 import sidecar_pb2 as pb
from grit.runtime.fatal import spawn
from grit.sidecar.requests import Requests
from grit.wire.channel import CHANNEL_OPTIONS, expect_sendable
from grit.wire.errors import abort, encode_error, error_of_call

SERVICE = "grit.pb.v1.Transactions"
HOME_ENTRY = "grit-home"
"""Metadata: the home that a call or stream is for."""
RELAYED_ENTRY = "grit-relayed"
"""Metadata: it has been relayed once; it is not relayed again."""
FRAMES_MAX = 1_000
"""So many frames of one stream may be under way; then no further ones are read."""

Context = grpc.aio.ServicerContext[Any, Any]

METHODS: dict[str, tuple[type[ProtoMessage], type[ProtoMessage]]] = {
    "begin": (pb.BeginRequest, pb.BeginResponse),
    "execute": (pb.ExecuteRequest, pb.ExecuteResponse),
    "commit": (pb.CommitRequest, pb.CommitResponse),
    "rollback": (pb.RollbackRequest, pb.RollbackResponse),
    "transact": (pb.TransactRequest, pb.TransactResponse),
    "status": (pb.StatusRequest, pb.StatusResponse),
    "cancel": (pb.CancelRequest, pb.CancelResponse),
    "open_call": (pb.OpenCallRequest, pb.OpenCallResponse),
    "join": (pb.JoinRequest, pb.JoinResponse),
    "call_done": (pb.CallDoneRequest, pb.CallDoneResponse),
    "confirm_call": (pb.ConfirmCallRequest, pb.ConfirmCallResponse),
    "drop_call": (pb.DropCallRequest, pb.DropCallResponse),
}
"""Name in a frame -> request and response; the name of the method is the same in capitals: OpenCall."""


def method_name(name: str) -> str:
    """Return the gRPC method of a request's name in a frame."""
    return "".join(word.capitalize() for word in name.split("_"))


class Relays:
    """Connections to other homes, one each, made when first needed."""

    def __init__(self) -> None:
        self._channels: dict[str, grpc.aio.Channel] = {}

    def channel(self, home: str) -> grpc.aio.Channel:
        """Return the connection to a home."""
        channel = self._channels.get(home)
        if channel is None:
            channel = self._channels[home] = grpc.aio.insecure_channel(home, options=CHANNEL_OPTIONS)
        return channel

    async def close(self) -> None:
        """End them all."""
        for channel in self._channels.values():
            await channel.close()
        self._channels.clear()


class RelayInterceptor(grpc.aio.ServerInterceptor):
    """Pipes what is for another home."""

    def __init__(self, requests: Requests, relays: Relays) -> None:
        self._requests = requests
        self._relays = relays

    async def intercept_service(
        self,
        continuation: "Callable[[grpc.HandlerCallDetails], Awaitable[grpc.RpcMethodHandler[Any, Any] | None]]",
        handler_call_details: grpc.HandlerCallDetails,
    ) -> "grpc.RpcMethodHandler[Any, Any] | None":
        """Return the handler of the method, or the pipe."""
        metadata = dict(handler_call_details.invocation_metadata)
        home = str(metadata.get(HOME_ENTRY, ""))
        method = handler_call_details.method
        if not home or home == self._requests.home or not method.startswith(f"/{SERVICE}/"):
            return await continuation(handler_call_details)
        pipe = self._refuse(home) if RELAYED_ENTRY in metadata else self._pipe(home, method)
        return grpc.stream_stream_rpc_method_handler(pipe)

    def _pipe(self, home: str, method: str) -> Callable[[AsyncIterator[bytes], Context], AsyncIterator[bytes]]:
        async def pipe(messages: AsyncIterator[bytes], context: Context) -> AsyncIterator[bytes]:
            metadata = ((HOME_ENTRY, home), (RELAYED_ENTRY, "1"))
            multi: grpc.aio.StreamStreamMultiCallable[bytes, bytes] = self._relays.channel(home).stream_stream(method)
            call = multi(messages, metadata=metadata, timeout=context.time_remaining())
            try:
                async for message in call:
                    yield message
            except grpc.aio.AioRpcError as error:
                trailers = tuple(error.trailing_metadata() or ())
                await context.abort(error.code(), error.details() or f"the home {home} did not answer", trailers)

        return pipe

    def _refuse(self, home: str) -> Callable[[AsyncIterator[bytes], Context], AsyncIterator[bytes]]:
        async def refuse(messages: AsyncIterator[bytes], context: Context) -> AsyncIterator[bytes]:
            text = f"this sidecar is {self._requests.home}, not {home}: its transactions ended when it stopped"
            await abort(context, GritError(Code.NO_SUCH_TRANSACTION, text))
            yield b""

        return refuse


class TransactionsService:
    """Handlers of the service `Transactions`."""

    def __init__(self, requests: Requests, relays: Relays) -> None:
        self._requests = requests
        self._relays = relays

    def add_to(self, server: grpc.aio.Server) -> None:
        """Register every method."""
        handlers: dict[str, grpc.RpcMethodHandler[Any, Any]] = {
            method_name(name): grpc.unary_unary_rpc_method_handler(
                self._unary(name),
                request_deserializer=asked.FromString,
                response_serializer=bytes,
            )
            for name, (asked, _) in METHODS.items()
        }
        handlers["Session"] = grpc.stream_stream_rpc_method_handler(
            self._session,
            request_deserializer=bytes,
            response_serializer=bytes,
        )
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, handlers),))

    async def handle(self, name: str, request: ProtoMessage) -> ProtoMessage:
        """Answer one request, here or at the home that it names.

        Raises:
            GritError: As the request's handler.
        """
        home = getattr(request, "home", "")
        if home and home != self._requests.home:
            return await self._forward(name, request, home)
        answer: ProtoMessage = await getattr(self._requests, name)(request)
        return answer

    async def _forward(self, name: str, request: ProtoMessage, home: str) -> ProtoMessage:
        asked, answered = METHODS[name]
        call = self._relays.channel(home).unary_unary(
            f"/{SERVICE}/{method_name(name)}",
            request_serializer=asked.SerializeToString,
            response_deserializer=answered.FromString,
        )
        try:
            answer: ProtoMessage = await call(request, metadata=((HOME_ENTRY, home), (RELAYED_ENTRY, "1")))
        except grpc.aio.AioRpcError as error:
            raise error_of_call(error, commits=False) from error
        return answer

    def _unary(self, name: str) -> Callable[[ProtoMessage, Context], Awaitable[bytes]]:
        async def answer(request: ProtoMessage, context: Context) -> bytes:
            try:
                return _encoded(name, await self.handle(name, request))
            except GritError as error:
                await abort(context, error)
                raise AssertionError("abort raises") from error

        return answer

    async def _session(self, frames: AsyncIterator[bytes], context: Context) -> None:
        stream = _Stream(self, context)
        try:
            await stream.run(frames)
        finally:
            stream.close()


class _Stream:
    """One session stream: reads frames, answers each when it is done."""

    def __init__(self, service: TransactionsService, context: Context) -> None:
        self._service = service
        self._context = context
        self._answers: asyncio.Queue[bytes | None] = asyncio.Queue()
        self._room = asyncio.Semaphore(FRAMES_MAX)
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self, frames: AsyncIterator[bytes]) -> None:
        """Serve until the client has ended its side and everything is answered.

        Raises:
            GritError: Never: a frame that cannot be read ends the stream with BAD_REQUEST.
        """
        reader = spawn(self._read(frames), name="session reader")
        self._tasks.add(reader)
        while (frame := await self._answers.get()) is not None:
            await self._context.write(frame)

    def close(self) -> None:
        """Give up what is under way: the client is gone. Its transactions go on until they end or time out."""
        for task in self._tasks:
            task.cancel()

    async def _read(self, frames: AsyncIterator[bytes]) -> None:
        with contextlib.suppress(grpc.aio.BaseError):  # the server stops: no frame comes any more
            await self._take_frames(frames)
        under_way = self._tasks - {asyncio.current_task()}
        if under_way:
            await asyncio.wait(under_way)
        self._answers.put_nowait(None)

    async def _take_frames(self, frames: AsyncIterator[bytes]) -> None:
        async for data in frames:
            await self._room.acquire()
            try:
                frame = pb.ClientFrame.FromString(data)
            except DecodeError:
                error = GritError.bad_request("a frame of the session is no ClientFrame: the stream ends here")
                self._answers.put_nowait(pb.ServerFrame(error=encode_error(error)).SerializeToString())
                break
            task = spawn(self._answer(frame), name=f"frame {frame.id}")
            self._tasks.add(task)
            task.add_done_callback(self._finished)

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._room.release()

    async def _answer(self, frame: pb.ClientFrame) -> None:
        name = frame.WhichOneof("request")
        try:
            if name is None:
                raise GritError(Code.UNSUPPORTED, f"frame {frame.id} holds no request that this sidecar knows")
            fields: dict[str, Any] = {name: await self._service.handle(name, getattr(frame, name))}
            answer = _encoded(name, pb.ServerFrame(id=frame.id, **fields))
        except GritError as error:
            answer = pb.ServerFrame(id=frame.id, error=encode_error(error)).SerializeToString()
        self._answers.put_nowait(answer)


def _encoded(name: str, answer: ProtoMessage) -> bytes:
    """Return the bytes of an answer.

    Raises:
        GritError: They are more than a message carries: TOO_LARGE; UNKNOWN of what has committed all the same.
    """
    try:
        return expect_sendable(answer.SerializeToString(), "answer")
    except GritError as error:
        if name in ("commit", "transact"):
            raise GritError(Code.UNKNOWN, f"{error.message}; ask Status what became of it") from error
        raise
