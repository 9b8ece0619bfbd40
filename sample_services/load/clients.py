"""Customers at work: so many at once, each doing one step after the other (a closed loop)."""

import asyncio
import time
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from sample_services.failures import Failure, Refused
from sample_services.load.history import History
from sample_services.load.recorder import Failed, Numbers, Recorder
from sample_services.load.shopping import Gift, Purchase, Step, Wish
from sample_services.load.tally import Tally
from sample_services.pb.v1 import shop_pb2 as pb
from sample_services.pb.v1.order_line_pb2 import OrderLine

if TYPE_CHECKING:
    from sample_services.pb.v1.shop_pb2_grpc import ShopAsyncStub

CALL_S_MAX = 30.0
PAUSE_S = 0.2
"""After a call that the network lost, or a role that is away: there is no point in asking at once."""
RESTOCKED = 100
"""Pieces of each item that was sold out."""


def lines_of(wishes: Iterable[Wish]) -> list[OrderLine]:
    """Return what a customer wants, as a message."""
    return [OrderLine(seller=wish.item.seller, product=wish.item.product, qty=wish.qty) for wish in wishes]


class Client:
    """One client at the shop."""

    def __init__(self, shop: "ShopAsyncStub", recorder: Recorder) -> None:
        self._shop = shop
        self._recorder = recorder

    async def do(self, step: Step) -> bool:
        """Do a step; return whether a checkout committed. What goes wrong has been counted."""
        try:
            if isinstance(step, Gift):
                await self._give(step)
                return False
            if not step.is_filled:
                await self._fill_cart(step)
            return await self._check_out(step)
        except Refused as refused:
            is_away = refused.failure == Failure.SERVICE_DOWN
        except Failed as failed:
            is_away = not failed.is_busy
        if is_away:
            await asyncio.sleep(PAUSE_S)
        return False

    async def _fill_cart(self, step: Purchase) -> None:
        request = pb.AddToCartRequest(customer=step.customer, lines=lines_of(step.wishes))
        wanted = {wish.item.product: wish.qty for wish in step.wishes}
        value = {"customer": step.customer, "items": wanted}
        await self._recorder.call("add_to_cart", value, self._shop.AddToCart(request, timeout=CALL_S_MAX))

    async def _check_out(self, step: Purchase) -> bool:
        request = pb.CheckoutRequest(customer=step.customer)
        value = {"customer": step.customer}
        try:
            await self._recorder.call("checkout", value, self._shop.Checkout(request, timeout=CALL_S_MAX))
        except Refused as refused:
            if refused.failure == Failure.INSUFFICIENT_STOCK:
                await self._restock(step)
            raise
        return True

    async def _restock(self, step: Purchase) -> None:
        for wish in step.wishes:
            item = wish.item
            request = pb.RestockRequest(seller=item.seller, product=item.product, qty=RESTOCKED)
            value = {"product": item.product, "qty": RESTOCKED}
            await self._recorder.call("restock", value, self._shop.Restock(request, timeout=CALL_S_MAX))

    async def _give(self, gift: Gift) -> None:
        request = pb.TransferRequest(
            transfer_id=gift.transfer_id, payer=gift.payer, payee=gift.payee, amount_cents=gift.amount_cents
        )
        value = {"transfer_id": gift.transfer_id, "amount_cents": gift.amount_cents}
        await self._recorder.call("transfer", value, self._shop.Transfer(request, timeout=CALL_S_MAX))


async def run_load(
    shop: "ShopAsyncStub", steps: Iterator[Step], tally: Tally, history: History, *, checkouts: int, clients: int
) -> None:
    """Let clients take steps in turn until so many checkouts committed.

    Args:
        shop: The shop.
        steps: What customers do, without end.
        tally: Counts.
        history: Takes every call.
        checkouts: How many shall commit; never more do, unless the outcome of one stays unknown.
        clients: How many work at once.
    """
    left = checkouts
    processes, begun_ns = Numbers(), time.monotonic_ns()

    async def work() -> None:
        nonlocal left
        client = Client(shop, Recorder(tally, history, processes, begun_ns))
        while left > 0:
            step = next(steps)
            # Taken before and put back after: clients that are under way count.
            left -= 1
            if not await client.do(step):
                left += 1

    async with asyncio.TaskGroup() as group:
        for _ in range(clients):
            group.create_task(work())
