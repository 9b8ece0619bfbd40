"""A transaction through several services, each with a sidecar of its own, over real gRPC."""

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import grpc
import pytest

import grit.client as grit
from grit.client.metadata import FinishedCall, OutgoingCall, parse_finished, parse_outgoing
from grit.core.ids import TxnId
from grit.sidecar.app import SidecarRole
from grit.wire.channel import MESSAGE_BYTES_MAX
from grit.wire.errors import error_of_call
from tests.unit.sidecar.roles import Roles, deployment, sidecar
from tests.unit.sidecar.shop import item, key

METHOD = "/test.Stock/Take"
Handler = Callable[[bytes, Any], Awaitable[bytes]]


@contextlib.asynccontextmanager
async def service(db: grit.Client, handler: Handler) -> AsyncIterator[str]:
    """Serve one method of bytes that joins transactions of `db`."""
    server = grpc.aio.server(interceptors=[grit.JoinInterceptor(db)], options=[("grpc.so_reuseport", 0)])
    methods: dict[str, grpc.RpcMethodHandler[bytes, bytes]] = {"Take": grpc.unary_unary_rpc_method_handler(handler)}
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("test.Stock", methods),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        await server.stop(None)


@contextlib.asynccontextmanager
async def calling(address: str) -> AsyncIterator[Callable[[bytes], Awaitable[bytes]]]:
    """Return what calls the method, with the transaction of the running task."""
    async with grpc.aio.insecure_channel(address, interceptors=[grit.CallInterceptor()]) as channel:
        call: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(METHOD)

        async def take(request: bytes) -> bytes:
            return await call(request)

        yield take


class Shop:
    """Two services: the shop (`db`) calls the stock, whose handler is `handle`."""

    def __init__(self, roles: Roles, home: SidecarRole, db: grit.Client, stock: grit.Client) -> None:
        self.roles = roles
        self.home = home
        self.db = db
        self.stock = stock
        self.runs = 0

        async def handle(request: bytes, context: Any) -> bytes:
            txn = self.stock.joined()
            await txn.increment("stock.items", 1, "on_hand", -1)
            return b"taken"

        self.handle: Handler = handle

    async def dispatch(self, request: bytes, context: Any) -> bytes:
        return await self.handle(request, context)


@pytest.fixture
async def shop() -> AsyncIterator[Shop]:
    async with (
        deployment() as (roles, home),
        sidecar(roles) as other,
        grit.connect(home.address, service="shop") as db,
        grit.connect(other.address, service="stock") as stock,
    ):
        roles.realms["stock"].load("items", {key(1): item(1, on_hand=5)})
        yield Shop(roles, home, db, stock)


@pytest.fixture
async def take(shop: Shop) -> AsyncIterator[Callable[[bytes], Awaitable[bytes]]]:
    async with service(shop.stock, shop.dispatch) as address, calling(address) as call:
        yield call


Take = Callable[[bytes], Awaitable[bytes]]


def on_hand(shop: Shop) -> object:
    return shop.roles.realms["stock"].rows("items")[key(1)]["on_hand"]


async def test_a_called_service_takes_part_in_the_callers_transaction(shop: Shop, take: Take) -> None:
    async with shop.db.transaction() as txn:
        await txn.put("basket.carts", {"owner": "a"})
        assert await take(b"") == b"taken"
        assert on_hand(shop) == 5
    assert on_hand(shop) == 4
    assert len(shop.roles.realms.submitted) == 1


async def test_a_called_service_sees_what_its_caller_wrote(shop: Shop, take: Take) -> None:
    seen: list[object] = []

    async def handle(request: bytes, context: Any) -> bytes:
        seen.append(await shop.stock.joined().get("basket.carts", "a"))
        return b""

    shop.handle = handle
    async with shop.db.transaction() as txn:
        await txn.put("basket.carts", {"owner": "a"})
        await take(b"")
    assert seen == [{"owner": "a"}]


async def test_a_caller_sees_what_a_called_service_wrote(shop: Shop, take: Take) -> None:
    async with shop.db.transaction() as txn:
        await take(b"")
        assert (await txn.get("stock.items", 1))["on_hand"] == 4


async def test_a_call_through_a_called_service_is_confirmed_to_the_home(shop: Shop, take: Take) -> None:
    async def relay(request: bytes, context: Any) -> bytes:
        await shop.stock.joined().put("stock.items", item(2))
        return await take(request)

    async with service(shop.stock, relay) as address, calling(address) as outer, shop.db.transaction():
        assert await outer(b"") == b"taken"
    assert on_hand(shop) == 4
    assert key(2) in shop.roles.realms["stock"].rows("items")


async def test_a_called_service_goes_on_when_the_home_knows_what_its_own_call_did(shop: Shop, take: Take) -> None:
    async with shop.db.transaction() as txn:
        joined = shop.stock.join(await txn.open_call())
        inner = await joined.open_call()
        await joined.close_call(inner.call, FinishedCall(inner.call, 1, ()))
        session = shop.home._sessions._open[TxnId(txn.txid)].session
        assert session._calls.at(inner.call).confirmed == 1
        await txn.close_call(joined.call, joined.finish_call(), failed=True)


async def test_a_call_that_was_answered_with_an_error_has_no_effect(shop: Shop, take: Take) -> None:
    async def refuse(request: bytes, context: Any) -> bytes:
        txn = shop.stock.joined()
        await txn.increment("stock.items", 1, "on_hand", -1)
        await txn.get("stock.items", 1)
        await context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "not today")
        return b""

    shop.handle = refuse
    async with shop.db.transaction() as txn:
        with pytest.raises(grpc.aio.AioRpcError, match="not today"):
            await take(b"")
        await txn.put("basket.carts", {"owner": "a"})
    assert on_hand(shop) == 5
    assert key("a") in shop.roles.realms["basket"].rows("carts")


async def test_a_call_without_an_answer_is_a_lost_branch(shop: Shop, take: Take) -> None:
    async def lose() -> None:
        async with shop.db.transaction() as txn:
            await txn.put("basket.carts", {"owner": "a"})
            outgoing = await txn.open_call()
            await txn.close_call(outgoing.call, None)

    with pytest.raises(grit.TxnAborted) as caught:
        await lose()
    assert caught.value.code == grit.Code.LOST_BRANCH
    assert shop.roles.realms["basket"].rows("carts") == {}


async def test_a_call_without_an_answer_may_be_dropped(shop: Shop, take: Take) -> None:
    async with shop.db.transaction() as txn:
        await txn.put("basket.carts", {"owner": "a"})
        outgoing = await txn.open_call()
        joined = shop.stock.join(outgoing)
        await joined.put("stock.items", item(3))
        await joined.get("stock.items", 1)
        await txn.close_call(outgoing.call, None)
        txn.drop_failed_calls()
    assert key("a") in shop.roles.realms["basket"].rows("carts")
    assert key(3) not in shop.roles.realms["stock"].rows("items")


async def test_a_call_whose_operations_never_arrive_is_a_lost_branch(shop: Shop, take: Take) -> None:
    async def lose() -> None:
        async with shop.db.transaction() as txn:
            outgoing = await txn.open_call()
            await txn.close_call(outgoing.call, FinishedCall(outgoing.call, 2, ("stock",)))

    with pytest.raises(grit.TxnAborted) as caught:
        await lose()
    assert caught.value.code == grit.Code.LOST_BRANCH


async def test_a_call_delivered_twice_runs_once(shop: Shop, take: Take) -> None:
    async with shop.db.transaction() as txn:
        outgoing = await txn.open_call()
        first, second = shop.stock.join(outgoing), shop.stock.join(outgoing)
        first.join("run-1", "stock")
        await first.increment("stock.items", 1, "on_hand", -1)
        await first.get("stock.items", 1)
        second.join("run-2", "stock")
        with pytest.raises(grit.TxnAborted) as caught:
            await second._flushed()
        assert caught.value.code == grit.Code.LOST_BRANCH
        await txn.close_call(outgoing.call, first.finish_call())
    assert on_hand(shop) == 4


async def test_a_conflict_in_a_called_service_runs_the_callers_body_again(shop: Shop, take: Take) -> None:
    async def handle(request: bytes, context: Any) -> bytes:
        shop.runs += 1
        txn = shop.stock.joined()
        await txn.get("stock.items", 1)
        if shop.runs == 1:
            shop.roles.realms["stock"].load("items", {key(1): item(1, on_hand=9), key(2): item(2)})
        await txn.get("stock.items", 2)
        await txn.increment("stock.items", 1, "on_hand", -1)
        return b""

    shop.handle = handle

    @shop.db.transactional()
    async def buy(txn: grit.Transaction) -> None:
        await take(b"")

    await buy()
    assert shop.runs == 2
    assert on_hand(shop) == 8


async def test_a_call_outside_a_transaction_carries_nothing(shop: Shop, take: Take) -> None:
    async def handle(request: bytes, context: Any) -> bytes:
        with pytest.raises(grit.InvalidRequest, match="not called in a transaction"):
            shop.stock.joined()
        return b"alone"

    shop.handle = handle
    assert await take(b"") == b"alone"


@pytest.mark.parametrize(
    "entry",
    ["", "nonsense", "t-000000f4240-0000000000000001", "t-000000f4240-0000000000000001;home=;call=x;deadline=1"],
)
async def test_a_malformed_entry_is_refused_in_one_line(shop: Shop, take: Take, entry: str) -> None:
    async with service(shop.stock, shop.dispatch) as address, grpc.aio.insecure_channel(address) as channel:
        call: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(METHOD)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call(b"", metadata=(("grit-txn", entry),))
    assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT


def test_entries_read_as_they_were_written() -> None:
    outgoing = OutgoingCall("t-000000f4240-0000000000000001", "127.0.0.1:7400", "t-000000f4240-0000000000000001-1", 9)
    assert parse_outgoing(outgoing.entry()) == outgoing
    finished = FinishedCall("c", 2, ("a", "b"))
    assert parse_finished(finished.entry()) == finished


async def test_last_writes_larger_than_a_message_are_the_answer_of_the_called_service(shop: Shop, take: Take) -> None:
    async def handle(request: bytes, context: Any) -> bytes:
        await shop.stock.joined().put("stock.items", item(2, name="x" * MESSAGE_BYTES_MAX))
        return b"never seen"

    shop.handle = handle
    async with shop.db.transaction() as txn:
        await txn.put("basket.carts", {"owner": "a"})
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await take(b"")
    assert error_of_call(caught.value, commits=False).code == grit.Code.TOO_LARGE
    assert list(shop.roles.realms["basket"].rows("carts")) == [key("a")]
    assert list(shop.roles.realms["stock"].rows("items")) == [key(1)]
