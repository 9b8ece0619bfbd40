"""gRPC interceptors that carry a transaction from service to service (interfaces.md, section 3).

The caller's channel gets a `CallInterceptor`, the callee's server a `JoinInterceptor`. Calls with one answer take part;
a call whose answer is a stream goes out without the transaction.
"""

import secrets
from collections.abc import Awaitable, Callable, Iterable
from typing import TYPE_CHECKING, Any

import grpc

from grit.client.client import Client
from grit.client.context import current_transaction, entered
from grit.client.errors import GritError, InvalidRequest
from grit.client.metadata import CALL_ENTRY, TXN_ENTRY, FinishedCall, parse_finished, parse_outgoing
from grit.client.transaction import Transaction
from grit.wire.errors import status_of, trailing_metadata

if TYPE_CHECKING:
    Continuation = Callable[[grpc.HandlerCallDetails], Awaitable[grpc.RpcMethodHandler[Any, Any] | None]]


class CallInterceptor(grpc.aio.UnaryUnaryClientInterceptor):
    """Puts the transaction of the running task on outgoing calls, and confirms their answers to its home.

    A call that the callee answered with an error is dropped: it has no effect, and the body may go on. A call without
    an answer may still be running: the commit fails with LOST_BRANCH unless `Transaction.drop_failed_calls` is called.
    """

    async def intercept_unary_unary(
        self,
        continuation: Callable[[grpc.aio.ClientCallDetails, Any], Awaitable["grpc.aio.UnaryUnaryCall[Any, Any]"]],
        client_call_details: grpc.aio.ClientCallDetails,
        request: Any,
    ) -> "grpc.aio.UnaryUnaryCall[Any, Any]":
        """Make the call; in a transaction, return when it is answered and accounted for."""
        txn = current_transaction()
        if txn is None:
            return await continuation(client_call_details, request)
        outgoing = await txn.open_call()
        finished: FinishedCall | None = None
        failed = False
        try:
            call = await continuation(_with_entry(client_call_details, outgoing.entry()), request)
            failed = await call.code() != grpc.StatusCode.OK
            finished = _finished(await call.trailing_metadata())
        finally:
            await txn.close_call(outgoing.call, finished, failed=failed)
        return call


class JoinInterceptor(grpc.aio.ServerInterceptor):
    """Lets handlers join the caller's transaction: `db.joined()`."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def intercept_service(
        self, continuation: "Continuation", handler_call_details: grpc.HandlerCallDetails
    ) -> "grpc.RpcMethodHandler[Any, Any] | None":
        """Return the handler, inside the transaction when the call carries one."""
        handler = await continuation(handler_call_details)
        entry = dict(handler_call_details.invocation_metadata).get(TXN_ENTRY)
        if handler is None or entry is None or handler.response_streaming:
            return handler
        inner = handler.stream_unary if handler.request_streaming else handler.unary_unary
        make = (
            grpc.stream_unary_rpc_method_handler if handler.request_streaming else grpc.unary_unary_rpc_method_handler
        )
        wrapped: grpc.RpcMethodHandler[Any, Any] = make(
            self._joined(str(entry), inner), handler.request_deserializer, handler.response_serializer
        )
        return wrapped

    def _joined(self, entry: str, inner: Any) -> Any:
        async def handle(request: Any, context: "grpc.aio.ServicerContext[Any, Any]") -> Any:
            try:
                outgoing = parse_outgoing(entry)
            except InvalidRequest as error:
                await context.abort(grpc.StatusCode.INVALID_ARGUMENT, error.message)
            txn = self._client.join(outgoing)
            txn.join(secrets.token_hex(8), self._client.service)
            try:
                with entered(txn):
                    answer = await inner(request, _AnsweringContext(context, txn))
                txn.send_last()
                return answer
            except GritError as error:
                await context.abort(status_of(error.code), error.message, (*trailing_metadata(error), _entry(txn)))
            finally:
                # Also when the handler raised: an answered error is an answer.
                if not context.done():
                    context.set_trailing_metadata((*_others(context.trailing_metadata()), _entry(txn)))

        return handle


class _AnsweringContext:
    """The context of a handler, whose `abort` tells the caller what the call did, like every other answer."""

    def __init__(self, context: "grpc.aio.ServicerContext[Any, Any]", txn: Transaction) -> None:
        self._context = context
        self._txn = txn

    def __getattr__(self, name: str) -> Any:
        return getattr(self._context, name)

    async def abort(self, code: grpc.StatusCode, details: str = "", trailing: Iterable[Any] = ()) -> None:
        """End the call with an error; raises."""
        await self._context.abort(code, details, (*_others(trailing), _entry(self._txn)))


def _entry(txn: Transaction) -> tuple[str, str]:
    """Send the last writes; return the entry that tells the caller what the call did."""
    return CALL_ENTRY, txn.finish_call().entry()


def _others(metadata: Iterable[Any] | None) -> list[Any]:
    return [pair for pair in (metadata or ()) if pair[0] != CALL_ENTRY]


def _finished(metadata: Iterable[tuple[str, str | bytes]] | None) -> FinishedCall | None:
    entry = dict(metadata or ()).get(CALL_ENTRY)
    if not isinstance(entry, str):
        return None
    try:
        return parse_finished(entry)
    except InvalidRequest:
        return None  # whoever wrote that did not run the call in our transaction


def _with_entry(details: grpc.aio.ClientCallDetails, entry: str) -> grpc.aio.ClientCallDetails:
    metadata = grpc.aio.Metadata(*(details.metadata or ()))
    metadata.add(TXN_ENTRY, entry)
    return grpc.aio.ClientCallDetails(
        details.method, details.timeout, metadata, details.credentials, details.wait_for_ready
    )
