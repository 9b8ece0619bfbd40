"""The shop: each call is one transaction over the services behind it.

The calls to the services carry the transaction in their metadata (an interceptor of `grit.client` puts it there), so what each
of them does in its own database commits together, or not at all. There is no compensation code: a refusal or a crash
anywhere in the middle leaves nothing behind.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from grit.client import Client, Code, GritError, Transaction
from sample_services.failures import Context, Failure, Refused, answer_of
from sample_services.lines import check_lines, check_qty, total_cents
from sample_services.pb.v1 import cart_pb2, orders_pb2, payment_pb2, shop_pb2_grpc, social_pb2, stock_pb2
from sample_services.pb.v1 import shop_pb2 as pb
from sample_services.shop.backends import Backends
from sample_services.shop.together import together

ATTEMPTS_MAX = 20
"""More than the default: everybody in the demo wants the same few carts."""
_BOUND_OF = {
    "stock_item/(": (Failure.INSUFFICIENT_STOCK, "not so many pieces are left"),
    "account/(": (Failure.INSUFFICIENT_FUNDS, "the account does not hold enough"),
}
"""A record as messages name it -> what it means for a customer that one of its bounds does not hold."""


Answer = TypeVar("Answer")


@dataclass(frozen=True)
class Committed(Generic[Answer]):
    """What a body returned, how often it ran, and the transaction in which it committed."""

    answer: Answer
    attempts: int
    txid: str


class ShopService(shop_pb2_grpc.ShopServicer):
    """The API of the shop."""

    def __init__(self, db: Client, backends: Backends) -> None:
        self._db = db
        self._backends = backends

    async def AddToCart(self, request: pb.AddToCartRequest, context: Context) -> pb.AddToCartResponse:
        """Put lines into the cart, if there is such a thing."""
        check_lines(request.lines)
        to = self._backends

        async def add_to_cart() -> None:
            quote = stock_pb2.QuotePricesRequest(lines=request.lines)
            items = cart_pb2.AddItemsRequest(customer=request.customer, lines=request.lines)
            await together(answer_of(to.stock.QuotePrices(quote)), answer_of(to.cart.AddItems(items)))

        done = await self._run(add_to_cart)
        return pb.AddToCartResponse(attempts=done.attempts)

    async def Checkout(self, request: pb.CheckoutRequest, context: Context) -> pb.CheckoutResponse:
        """Buy what is in the cart."""

        async def checkout() -> tuple[str, int]:
            return await self._check_out(request.customer)

        done = await self._run(checkout)
        order_id, total = done.answer
        return pb.CheckoutResponse(order_id=order_id, total_cents=total, attempts=done.attempts, txn_id=done.txid)

    async def Restock(self, request: pb.RestockRequest, context: Context) -> pb.RestockResponse:
        """Add pieces of one item."""
        check_qty(request.qty, request.product)

        async def restock() -> None:
            pieces = stock_pb2.StockRestockRequest(seller=request.seller, product=request.product, qty=request.qty)
            await answer_of(self._backends.stock.Restock(pieces))

        done = await self._run(restock)
        return pb.RestockResponse(attempts=done.attempts)

    async def Transfer(self, request: pb.TransferRequest, context: Context) -> pb.TransferResponse:
        """Move money between two customers."""

        async def transfer() -> None:
            money = payment_pb2.MoveMoneyRequest(
                transfer_id=request.transfer_id,
                payer=request.payer,
                payee=request.payee,
                amount_cents=request.amount_cents,
            )
            await answer_of(self._backends.payment.MoveMoney(money))

        done = await self._run(transfer)
        return pb.TransferResponse(attempts=done.attempts)

    async def _check_out(self, customer: str) -> tuple[str, int]:
        """Return (order id, total in cents); runs in the transaction of the caller."""
        to = self._backends
        cart = await answer_of(to.cart.TakeItems(cart_pb2.TakeItemsRequest(customer=customer)))
        reserved = await answer_of(to.stock.Reserve(stock_pb2.ReserveRequest(lines=cart.lines)))
        lines, total = reserved.lines, total_cents(reserved.lines)
        # The same cart gives the same name in every attempt, and no two carts of a customer have one version.
        order_id = f"{customer}-{cart.cart_version}"
        order = orders_pb2.PlaceOrderRequest(
            order_id=order_id, customer=customer, cart_version=cart.cart_version, lines=lines
        )
        payment = payment_pb2.PayOrderRequest(order_id=order_id, customer=customer, amount_cents=total)
        purchase = social_pb2.RecordPurchaseRequest(order_id=order_id, customer=customer, lines=lines)
        await together(
            answer_of(to.orders.PlaceOrder(order)),
            answer_of(to.payment.PayOrder(payment)),
            answer_of(to.social.RecordPurchase(purchase)),
        )
        return order_id, total

    async def _run(self, body: Callable[[], Awaitable[Answer]]) -> Committed[Answer]:
        """Run a body in a transaction until it commits.

        Raises:
            Refused: A bound did not hold, or a service refused.
            GritError: It was aborted in every attempt, or something is away.
        """
        txids: list[str] = []

        @self._db.transactional(max_attempts=ATTEMPTS_MAX, name=body.__name__)
        async def counted(txn: Transaction) -> Answer:
            txids.append(txn.txid)
            return await body()

        try:
            return Committed(await counted(), len(txids), txids[-1])
        except GritError as error:
            refused = _refusal_of(error)
            if refused is None:
                raise
            raise refused from error


def _refusal_of(error: GritError) -> Refused | None:
    """Return what a bound that does not hold means for the customer; None: the error is about something else."""
    if error.code != Code.BOUND_VIOLATION:
        return None
    for record, (failure, message) in _BOUND_OF.items():
        if record in error.message:
            return Refused(failure, f"{message}: {error.message}")
    return None
