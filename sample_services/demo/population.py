"""Loads customers, carts, accounts and stock through the services that own them."""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

import grpc

from grit.client import Unavailable
from sample_services.demo.deployment import Deployment
from sample_services.failures import told_by
from sample_services.load.clients import lines_of
from sample_services.load.shopping import Population
from sample_services.pb.v1 import cart_pb2, payment_pb2, social_pb2, stock_pb2
from sample_services.pb.v1.cart_pb2_grpc import CartStub
from sample_services.pb.v1.payment_pb2_grpc import PaymentStub
from sample_services.pb.v1.social_pb2_grpc import SocialStub
from sample_services.pb.v1.stock_pb2_grpc import StockStub

BATCH = 200
"""So many records in a transaction."""
PAUSE_S = 0.1
Item = TypeVar("Item")


async def load_population(deployment: Deployment, population: Population) -> None:
    """Load everything.

    Raises:
        grpc.aio.AioRpcError: A service could not.
    """
    customers = population.customers
    carts = [cart_pb2.NewCart(customer=name, lines=lines_of(wishes)) for name, wishes in population.carts.items()]
    await _send(
        deployment, "cart", lambda channel: CartStub(channel).OpenCarts,
        [cart_pb2.OpenCartsRequest(carts=batch) for batch in _batches(carts)],
    )  # fmt: skip
    accounts = [payment_pb2.Account(customer=name, initial_cents=population.balance_cents) for name in customers]
    await _send(
        deployment, "payment", lambda channel: PaymentStub(channel).OpenAccounts,
        [payment_pb2.OpenAccountsRequest(accounts=batch) for batch in _batches(accounts)],
    )  # fmt: skip
    items = [
        stock_pb2.StockItem(seller=one.seller, product=one.product, price_cents=one.price_cents, initial=one.initial)
        for one in population.items
    ]
    await _send(
        deployment, "stock", lambda channel: StockStub(channel).ListItems,
        [stock_pb2.ListItemsRequest(items=batch) for batch in _batches(items)],
    )  # fmt: skip
    offers = [social_pb2.Offer(seller=one.seller, product=one.product) for one in population.items]
    people = [social_pb2.IntroduceRequest(customers=batch) for batch in _batches(customers)]
    goods = [social_pb2.IntroduceRequest(offers=batch) for batch in _batches(offers)]
    await _send(deployment, "social", lambda channel: SocialStub(channel).Introduce, [*people, *goods])


async def _send(
    deployment: Deployment, service: str, method: Callable[[grpc.aio.Channel], Any], requests: Sequence[Any]
) -> None:
    async with grpc.aio.insecure_channel(deployment.service_address(service)) as channel:
        call = method(channel)
        for request in requests:
            await _until_answered(call, request)


async def _until_answered(call: Any, request: Any) -> None:
    """Call until the roles behind the service are up; while they are not, nothing happens."""
    while True:
        try:
            await call(request, wait_for_ready=True)
            return
        except grpc.aio.AioRpcError as error:
            if not isinstance(told_by(error.details()), Unavailable):
                raise
        await asyncio.sleep(PAUSE_S)


def _batches(items: Sequence[Item]) -> Iterator[Sequence[Item]]:
    for at in range(0, len(items), BATCH):
        yield items[at : at + BATCH]
