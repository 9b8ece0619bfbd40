"""What a customer may be refused for, and how it travels from service to service.

A failure is a gRPC status whose text begins with its stable name: "EMPTY_CART: the cart of c7 holds nothing". What GRIT says is
sent in the same way under GRIT's own codes, so that a client can tell three cases apart: refused (ask for something
else), aborted without effect (ask again), and a bare status of the network, after which the outcome is unknown.
"""

from collections.abc import Awaitable, Callable
from enum import StrEnum
from typing import Any, TypeAlias, TypeVar

import grpc

from grit.client import Code, GritError, InvalidRequest, OutcomeUnknown, TxnAborted, Unavailable

Answer = TypeVar("Answer")
Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"
Context = grpc.aio.ServicerContext[Any, Any]


class Failure(StrEnum):
    """Why a request was refused; stable."""

    BAD_REQUEST = "BAD_REQUEST"
    EMPTY_CART = "EMPTY_CART"
    INSUFFICIENT_STOCK = "INSUFFICIENT_STOCK"
    INSUFFICIENT_FUNDS = "INSUFFICIENT_FUNDS"
    UNKNOWN_ITEM = "UNKNOWN_ITEM"
    UNKNOWN_CUSTOMER = "UNKNOWN_CUSTOMER"
    SERVICE_DOWN = "SERVICE_DOWN"


class Refused(Exception):
    """A rule of the shop says no; nothing was changed."""

    def __init__(self, failure: Failure, message: str) -> None:
        super().__init__(f"{failure}: {message}")
        self.failure = failure
        self.message = message


_CLASS_OF = {kind.__name__: kind for kind in (InvalidRequest, TxnAborted, OutcomeUnknown, Unavailable)}
_STATUS_OF: dict[type[GritError], grpc.StatusCode] = {
    InvalidRequest: grpc.StatusCode.INVALID_ARGUMENT,
    TxnAborted: grpc.StatusCode.ABORTED,
    OutcomeUnknown: grpc.StatusCode.UNKNOWN,
    Unavailable: grpc.StatusCode.UNAVAILABLE,
}


def told_by(details: str | None) -> Refused | GritError | None:
    """Return what the text of a status tells; None: it is of the network, not of ours."""
    name, _, message = (details or "").partition(": ")
    if name in Failure.__members__:
        return Refused(Failure(name), message)
    if name in Code.__members__:
        return _CLASS_OF[Code(name).kind](Code(name), message)
    return None


async def answer_of(call: Awaitable[Answer]) -> Answer:
    """Return what another service answered in this transaction.

    Raises:
        Refused: It refused, or it is away: SERVICE_DOWN. Nothing was committed, so that is certain.
        GritError: What GRIT said to it.
    """
    try:
        return await call
    except grpc.aio.AioRpcError as error:
        told = told_by(error.details())
        if told is None:
            told = Refused(Failure.SERVICE_DOWN, f"a service of the shop does not answer: {error.code().name}")
        raise told from error


class FailureInterceptor(grpc.aio.ServerInterceptor):
    """Turns what a handler raises into a status."""

    async def intercept_service(
        self,
        continuation: "Callable[[grpc.HandlerCallDetails], Awaitable[Handler | None]]",
        handler_call_details: grpc.HandlerCallDetails,
    ) -> "Handler | None":
        """Return the handler of the method, guarded."""
        handler = await continuation(handler_call_details)
        if handler is None or handler.unary_unary is None:
            return handler
        return grpc.unary_unary_rpc_method_handler(
            _guarded(handler.unary_unary),
            request_deserializer=handler.request_deserializer,
            response_serializer=handler.response_serializer,
        )


def _guarded(method: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
    async def guarded(request: Any, context: Context) -> Any:
        try:
            return await method(request, context)
        except Refused as refused:
            await context.abort(grpc.StatusCode.FAILED_PRECONDITION, str(refused))
        except GritError as error:
            await context.abort(_STATUS_OF[type(error)], str(error))

    return guarded
