"""The services behind the shop."""

from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import grpc

from grit.client import CallInterceptor
from sample_services.pb.v1.cart_pb2_grpc import CartStub
from sample_services.pb.v1.orders_pb2_grpc import OrdersStub
from sample_services.pb.v1.payment_pb2_grpc import PaymentStub
from sample_services.pb.v1.social_pb2_grpc import SocialStub
from sample_services.pb.v1.stock_pb2_grpc import StockStub

if TYPE_CHECKING:
    from sample_services.pb.v1.cart_pb2_grpc import CartAsyncStub
    from sample_services.pb.v1.orders_pb2_grpc import OrdersAsyncStub
    from sample_services.pb.v1.payment_pb2_grpc import PaymentAsyncStub
    from sample_services.pb.v1.social_pb2_grpc import SocialAsyncStub
    from sample_services.pb.v1.stock_pb2_grpc import StockAsyncStub


@dataclass(frozen=True)
class Addresses:
    """Where they are, host:port."""

    cart: str
    stock: str
    orders: str
    payment: str
    social: str


class Backends:
    """Connections that put the transaction of the caller into every call. To be used with `async with`."""

    cart: "CartAsyncStub"
    stock: "StockAsyncStub"
    orders: "OrdersAsyncStub"
    payment: "PaymentAsyncStub"
    social: "SocialAsyncStub"

    def __init__(self, addresses: Addresses) -> None:
        self._addresses = addresses
        self._open = AsyncExitStack()

    async def __aenter__(self) -> Self:
        at = self._addresses
        self.cart = CartStub(await self._connect(at.cart))
        self.stock = StockStub(await self._connect(at.stock))
        self.orders = OrdersStub(await self._connect(at.orders))
        self.payment = PaymentStub(await self._connect(at.payment))
        self.social = SocialStub(await self._connect(at.social))
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._open.aclose()

    async def _connect(self, address: str) -> grpc.aio.Channel:
        channel = grpc.aio.insecure_channel(address, interceptors=[CallInterceptor()])
        return await self._open.enter_async_context(channel)
