"""The shop as a customer meets it: real services over one real deployment; a refusal leaves nothing behind."""

import asyncio
import itertools
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import grpc
import pytest

from grit.client import Client, connect
from sample_services.cart.service import CartService
from sample_services.demo.deployment import CATALOGUE, HOST, address_names, filled, free_ports
from sample_services.failures import Failure, Refused, answer_of
from sample_services.orders.service import OrdersService
from sample_services.payment.service import PaymentService
from sample_services.pb.v1 import cart_pb2, payment_pb2, shop_pb2, social_pb2, stock_pb2
from sample_services.pb.v1.cart_pb2_grpc import CartStub, add_CartServicer_to_server
from sample_services.pb.v1.order_line_pb2 import OrderLine
from sample_services.pb.v1.orders_pb2_grpc import add_OrdersServicer_to_server
from sample_services.pb.v1.payment_pb2_grpc import PaymentStub, add_PaymentServicer_to_server
from sample_services.pb.v1.shop_pb2_grpc import ShopStub, add_ShopServicer_to_server
from sample_services.pb.v1.social_pb2_grpc import SocialStub, add_SocialServicer_to_server
from sample_services.pb.v1.stock_pb2_grpc import StockStub, add_StockServicer_to_server
from sample_services.serving import listening
from sample_services.shop.backends import Addresses, Backends
from sample_services.shop.service import ShopService
from sample_services.social.service import SocialService
from sample_services.stock.service import StockService

if TYPE_CHECKING:
    from sample_services.pb.v1.shop_pb2_grpc import ShopAsyncStub

GRIT = Path(sys.executable).with_name("grit")
SELLER, PRICE = "s1", 250
NAMES = itertools.count()
"""Each test has customers and products of its own: they share one deployment."""

pytestmark = pytest.mark.xdist_group("shop")

REGISTERS: dict[str, Callable[[grpc.aio.Server, Client], None]] = {
    "cart": lambda server, db: add_CartServicer_to_server(CartService(db), server),
    "stock": lambda server, db: add_StockServicer_to_server(StockService(db), server),
    "orders": lambda server, db: add_OrdersServicer_to_server(OrdersService(db), server),
    "payment": lambda server, db: add_PaymentServicer_to_server(PaymentService(db), server),
    "social": lambda server, db: add_SocialServicer_to_server(SocialService(db), server),
}


@pytest.fixture(scope="module")
def sidecar(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Run every role in one process; give the address of its sidecar."""
    folder = tmp_path_factory.mktemp("shop")
    names = address_names()
    addresses = {name: f"{HOST}:{port}" for name, port in zip(names, free_ports(len(names)), strict=True)}
    config = folder / "grit.yaml"
    config.write_text(filled(CATALOGUE.read_text(encoding="utf-8"), addresses), encoding="utf-8")
    command = [str(GRIT), "dev", str(config)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        assert process.stdout is not None
        try:
            seen = list(itertools.takewhile(lambda line: "ready after" not in line, process.stdout))
            assert process.poll() is None, "".join(seen)
            yield addresses["SIDECAR"]
        finally:
            process.send_signal(signal.SIGTERM)
            process.stdout.read()


class Market:
    """The services, and customers and products for one test."""

    def __init__(self, sidecar: str, open_: AsyncExitStack) -> None:
        self._sidecar = sidecar
        self._open = open_
        self.addresses = dict(zip(REGISTERS, (f"{HOST}:{port}" for port in free_ports(len(REGISTERS))), strict=True))
        self.servers: dict[str, grpc.aio.Server] = {}
        self.shop: ShopAsyncStub
        self.db: Client

    async def start(self) -> None:
        for name in REGISTERS:
            await self.start_service(name)
        backends = await self._open.enter_async_context(Backends(Addresses(**self.addresses)))
        self.db = await self._open.enter_async_context(connect(self._sidecar, service="shop"))
        address = f"{HOST}:{free_ports(1)[0]}"

        def add(server: grpc.aio.Server) -> None:
            add_ShopServicer_to_server(ShopService(self.db, backends), server)

        await self._open.enter_async_context(listening("shop", address, add, self.db))
        self.shop = ShopStub(await self.channel(address))

    async def start_service(self, name: str) -> None:
        db = await self._open.enter_async_context(connect(self._sidecar, service=name))

        def add(server: grpc.aio.Server) -> None:
            REGISTERS[name](server, db)

        self.servers[name] = await self._open.enter_async_context(listening(name, self.addresses[name], add, db))

    async def channel(self, address: str) -> grpc.aio.Channel:
        return await self._open.enter_async_context(grpc.aio.insecure_channel(address))

    async def customer(self, cents: int = 100_000) -> str:
        name = f"c{next(NAMES)}"
        cart = CartStub(await self.channel(self.addresses["cart"]))
        payment = PaymentStub(await self.channel(self.addresses["payment"]))
        social = SocialStub(await self.channel(self.addresses["social"]))
        await cart.OpenCarts(cart_pb2.OpenCartsRequest(carts=[cart_pb2.NewCart(customer=name)]))
        account = payment_pb2.Account(customer=name, initial_cents=cents)
        await payment.OpenAccounts(payment_pb2.OpenAccountsRequest(accounts=[account]))
        await social.Introduce(social_pb2.IntroduceRequest(customers=[name]))
        return name

    async def product(self, pieces: int = 10) -> str:
        name = f"p{next(NAMES)}"
        stock = StockStub(await self.channel(self.addresses["stock"]))
        social = SocialStub(await self.channel(self.addresses["social"]))
        item = stock_pb2.StockItem(seller=SELLER, product=name, price_cents=PRICE, initial=pieces)
        await stock.ListItems(stock_pb2.ListItemsRequest(items=[item]))
        offer = social_pb2.Offer(seller=SELLER, product=name)
        await social.Introduce(social_pb2.IntroduceRequest(offers=[offer]))
        return name

    async def fill(self, customer: str, pieces: dict[str, int]) -> None:
        lines = [OrderLine(seller=SELLER, product=product, qty=qty) for product, qty in pieces.items()]
        await answer_of(self.shop.AddToCart(shop_pb2.AddToCartRequest(customer=customer, lines=lines)))

    async def check_out(self, customer: str) -> shop_pb2.CheckoutResponse:
        return await answer_of(self.shop.Checkout(shop_pb2.CheckoutRequest(customer=customer)))

    async def row(self, collection: str, key: str | tuple[str, ...]) -> dict[str, object] | None:
        async with self.db.transaction() as txn:
            found: dict[str, object] | None = await txn.get(collection, key)
            return found

    async def nothing_happened(self, customer: str, cents: int = 100_000) -> bool:
        cart, account = await self.row("cart.carts", customer), await self.row("payment.account", customer)
        order = await self.row("orders.orders", f"{customer}-1")
        purchase = await self.row("social.Purchase", f"{customer}-1")
        assert cart is not None
        assert account is not None
        return bool(cart["items"]) and account["balance_cents"] == cents and order is None and purchase is None


@pytest.fixture
async def market(sidecar: str) -> AsyncIterator[Market]:
    async with AsyncExitStack() as open_:
        market = Market(sidecar, open_)
        await market.start()
        yield market


async def test_a_checkout_is_in_all_five_databases(market: Market) -> None:
    customer, one, other = await market.customer(), await market.product(), await market.product()
    await market.fill(customer, {one: 2})
    await market.fill(customer, {one: 1, other: 1})
    done = await market.check_out(customer)
    assert (done.order_id, done.total_cents, done.attempts) == (f"{customer}-1", 4 * PRICE, 1)
    cart, item = await market.row("cart.carts", customer), await market.row("stock.stock_item", (SELLER, one))
    assert cart == {"customer": customer, "items": [], "status": "empty", "version": 2}
    assert item is not None
    assert (item["on_hand"], item["sold"]) == (7, 3)
    account, payment = (
        await market.row("payment.account", customer),
        await market.row("payment.payments", done.order_id),
    )
    assert account is not None
    assert payment is not None
    assert (account["balance_cents"], payment["amount_cents"]) == (100_000 - 4 * PRICE, 4 * PRICE)
    edge = await market.row("social.PURCHASED", (done.order_id, one))
    pair = await market.row("social.BOUGHT_WITH", (min(one, other), max(one, other)))
    assert edge is not None
    assert pair is not None
    assert (edge["qty"], pair["n"]) == (3, 1)


async def test_an_empty_cart_is_refused(market: Market) -> None:
    customer = await market.customer()
    with pytest.raises(Refused, match=f"EMPTY_CART: the cart of {customer} holds nothing"):
        await market.check_out(customer)


async def test_too_few_pieces_are_refused_without_a_trace_until_somebody_restocks(market: Market) -> None:
    customer, product, plenty = await market.customer(), await market.product(1), await market.product()
    await market.fill(customer, {plenty: 1, product: 2})
    with pytest.raises(Refused, match="INSUFFICIENT_STOCK") as refused:
        await market.check_out(customer)
    assert product in refused.value.message
    assert await market.nothing_happened(customer)
    await market.shop.Restock(shop_pb2.RestockRequest(seller=SELLER, product=product, qty=1))
    assert (await market.check_out(customer)).total_cents == 3 * PRICE


async def test_an_account_that_does_not_hold_enough_is_refused_without_a_trace(market: Market) -> None:
    customer, friend, product = await market.customer(PRICE), await market.customer(), await market.product()
    await market.fill(customer, {product: 2})
    with pytest.raises(Refused, match="INSUFFICIENT_FUNDS"):
        await market.check_out(customer)
    assert await market.nothing_happened(customer, PRICE)
    gift = shop_pb2.TransferRequest(transfer_id=f"t-{customer}", payer=friend, payee=customer, amount_cents=PRICE)
    await market.shop.Transfer(gift)
    assert (await market.check_out(customer)).total_cents == 2 * PRICE


async def test_a_transfer_beyond_the_balance_is_refused(market: Market) -> None:
    payer, payee = await market.customer(10), await market.customer()
    gift = shop_pb2.TransferRequest(transfer_id=f"t-{payer}", payer=payer, payee=payee, amount_cents=11)
    with pytest.raises(Refused, match="INSUFFICIENT_FUNDS"):
        await answer_of(market.shop.Transfer(gift))


async def test_what_nobody_knows_is_refused(market: Market) -> None:
    customer, product = await market.customer(), await market.product()
    with pytest.raises(Refused, match="UNKNOWN_ITEM: s1 does not sell 'ghost'"):
        await market.fill(customer, {"ghost": 1})
    with pytest.raises(Refused, match="UNKNOWN_CUSTOMER: there is no customer 'nobody'"):
        await market.fill("nobody", {product: 1})
    with pytest.raises(Refused, match="BAD_REQUEST"):
        await market.fill(customer, {product: 0})
    with pytest.raises(Refused, match="UNKNOWN_CUSTOMER"):
        await market.check_out("nobody")


async def test_a_service_that_is_away_leaves_nothing_behind(market: Market) -> None:
    customer, product = await market.customer(), await market.product()
    await market.fill(customer, {product: 1})
    await market.servers["social"].stop(None)
    with pytest.raises(Refused, match="SERVICE_DOWN"):
        await market.check_out(customer)
    assert await market.nothing_happened(customer)


async def test_one_cart_is_sold_once_however_many_check_out(market: Market) -> None:
    customer, product = await market.customer(), await market.product()
    await market.fill(customer, {product: 1})
    ends = await asyncio.gather(*(market.check_out(customer) for _ in range(6)), return_exceptions=True)
    refused = [end.failure for end in ends if isinstance(end, Refused)]
    assert refused == [Failure.EMPTY_CART] * 5
    item = await market.row("stock.stock_item", (SELLER, product))
    assert item is not None
    assert (item["on_hand"], item["sold"]) == (9, 1)


async def test_the_last_pieces_go_to_as_many_as_there_are(market: Market) -> None:
    product = await market.product(3)
    customers = [await market.customer() for _ in range(6)]
    for customer in customers:
        await market.fill(customer, {product: 1})
    ends = await asyncio.gather(*(market.check_out(customer) for customer in customers), return_exceptions=True)
    kinds = Counter(end.failure if isinstance(end, Refused) else type(end).__name__ for end in ends)
    assert kinds == {"CheckoutResponse": 3, Failure.INSUFFICIENT_STOCK: 3}
    item = await market.row("stock.stock_item", (SELLER, product))
    assert item is not None
    assert (item["on_hand"], item["sold"]) == (0, 3)


async def test_a_port_that_is_taken_is_refused_in_one_line(market: Market) -> None:
    taken = market.addresses["cart"].rpartition(":")[2]
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "sample_services.cart", "--port", taken, stderr=asyncio.subprocess.PIPE
    )
    _, errors = await process.communicate()
    assert process.returncode == 3
    assert errors.decode().strip().splitlines()[-1] == (
        f"Error: cart cannot listen on {HOST}:{taken}: choose another --port"
    )
