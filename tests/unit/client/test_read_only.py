"""Transactions of the SDK that only read."""

import pytest

import grit.client as grit
from grit.core.ids import Csn, Lsn, Realm, began_at
from grit.core.messages import Message, ReadAsked
from grit.core.operations import Put
from tests.unit.sidecar.roles import deployment
from tests.unit.sidecar.shop import ITEMS, STOCK, item, key


async def test_a_body_that_only_reads_runs_again_until_what_it_read_is_current() -> None:
    async with deployment() as (roles, role), grit.connect(role.address) as db:
        stock = roles.realms["stock"]
        stock.load("items", {key(1): item(1, price=1)})

        @db.transactional(read_only=True)
        async def price(txn: grit.Transaction) -> int:
            found = await txn.get("stock.items", 1)
            if stock.lsn == 1:
                stock.load("items", {key(1): item(1, price=2)})
            seen: int = found["price"]
            return seen

        assert await price() == 2
        assert len(stock.validated) == 2
        assert (roles.realms.locals, roles.realms.submitted) == ([], [])


async def test_a_write_in_a_read_only_transaction_is_an_invalid_request() -> None:
    async with deployment() as (_, role), grit.connect(role.address) as db:
        with pytest.raises(grit.InvalidRequest, match="read_only") as caught:
            async with db.transaction(read_only=True) as txn:
                await txn.put("stock.items", item(1))
        assert caught.value.code == "BAD_REQUEST"


async def test_a_snapshot_runs_once_whatever_is_written_meanwhile_and_nobody_confirms_it() -> None:
    async with deployment() as (roles, role), grit.connect(role.address) as db:
        stock = roles.realms["stock"]
        stock.load("items", {key(1): item(1, price=1)})

        @db.transactional(read_only=True, isolation="snapshot")
        async def prices(txn: grit.Transaction) -> list[int]:
            first = await txn.get("stock.items", 1)
            stock.load("items", {key(1): item(1, price=2)})
            second = await txn.get("stock.items", 1)
            return [first["price"], second["price"]]

        assert await prices() == [1, 1]
        async with db.read_only(isolation="snapshot") as txn:
            assert (await txn.get("stock.items", 1))["price"] == 2
        assert stock.validated == []


async def test_read_only_reads_the_newest_state_unless_told() -> None:
    async with deployment() as (roles, role), grit.connect(role.address) as db:
        async with db.read_only() as txn:
            await txn.count("stock.items")
        assert len(roles.realms["stock"].validated) == 1
        with pytest.raises(grit.InvalidRequest, match="read_only"):
            async with db.read_only() as txn:
                await txn.put("stock.items", item(1))


async def test_an_isolation_that_there_is_not_is_an_invalid_request() -> None:
    async with deployment() as (_, role), grit.connect(role.address) as db:
        with pytest.raises(grit.InvalidRequest, match="isolation is 'strict' or 'snapshot', not 'serializable'"):
            async with db.transaction(isolation="serializable"):  # type: ignore[arg-type]
                raise AssertionError("never begun")


async def test_a_session_carries_what_it_has_seen_and_written() -> None:
    async with deployment() as (_, role), grit.connect(role.address) as db:
        session = db.session()
        async with session.transaction() as txn:
            await txn.put("stock.items", item(1, price=1))
        assert txn.token == session.token == grit.SessionToken({Realm("stock"): Lsn(1)}, Csn(0))
        async with session.transaction() as txn:
            await txn.put("stock.items", item(1, price=2))
            await txn.put("basket.carts", {"owner": "ann"})
        assert session.token == grit.SessionToken({Realm("stock"): Lsn(1)}, Csn(1))
        async with session.read_only(isolation="snapshot") as txn:
            assert (await txn.get("stock.items", 1))["price"] == 2
        assert session.token.lsns == {"stock": 2}
        assert db.token == grit.SessionToken()


async def test_a_session_goes_on_where_another_one_left_off() -> None:
    async with deployment() as (roles, role), grit.connect(role.address) as db:
        done = await db.transact([Put(STOCK, ITEMS, item(1), key(1))])
        asked: list[Message] = []

        def listen(message: Message) -> bool:
            asked.append(message)
            return False

        roles.mute = listen
        async with db.session(done.token).read_only(isolation="snapshot") as txn:
            await txn.count("stock.items")
        (read,) = [message for message in asked if isinstance(message, ReadAsked)]
        assert read.position == 1


async def test_a_staleness_bounds_a_snapshot() -> None:
    async with deployment() as (roles, role), grit.connect(role.address) as db:
        asked: list[ReadAsked] = []

        def listen(message: Message) -> bool:
            if isinstance(message, ReadAsked):
                asked.append(message)
            return False

        roles.mute = listen
        async with db.read_only(staleness=500) as txn:
            await txn.count("stock.items")
        (read,) = asked
        assert read.within is not None
        assert read.within.fresh == began_at(read.txid) - 500
        with pytest.raises(grit.InvalidRequest, match="staleness is in milliseconds, from 0 on, not -1"):
            async with db.read_only(staleness=-1):
                raise AssertionError("never begun")
        with pytest.raises(grit.InvalidRequest, match="staleness_ms is for read-only transactions"):
            await db.transactional(staleness=5)(txn_nothing)()


async def txn_nothing(txn: grit.Transaction) -> None:
    """Do nothing."""
