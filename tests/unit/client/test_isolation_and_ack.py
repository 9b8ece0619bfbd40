"""How a transaction of the SDK asks for less than strict, or for more than decided."""

import pytest

import grit.client as grit
from grit.core.messages import AppliedAsked, Message
from grit.core.operations import Put
from tests.unit.sidecar.roles import deployment
from tests.unit.sidecar.shop import ITEMS, STOCK, item, key


async def test_a_snapshot_that_writes_reads_on_a_cut_and_commits_what_nobody_else_wrote() -> None:
    async with deployment() as (roles, role), grit.connect(role.address) as db:
        stock = roles.realms["stock"]
        stock.load("items", {key(n): item(n, price=1) for n in (1, 2)})

        @db.transactional(isolation="snapshot")
        async def swap(txn: grit.Transaction) -> None:
            found = await txn.get("stock.items", 1)
            if stock.lsn == 1:
                stock.load("items", {key(1): item(1, price=5)})
            await txn.patch("stock.items", 2, {"price": found["price"]})

        await swap()
        assert stock.rows("items")[key(2)]["price"] == 1  # what a strict one would have read again


async def test_a_commit_tells_whether_the_databases_have_it() -> None:
    async with deployment() as (_, role), grit.connect(role.address) as db:
        async with db.transaction(ack="applied") as txn:
            await txn.put("stock.items", item(1))
        assert txn.applied

        @db.transactional(ack="applied")
        async def write(txn: grit.Transaction) -> grit.Transaction:
            await txn.put("stock.items", item(2))
            return txn

        assert (await write()).applied
        assert (await db.transact([Put(STOCK, ITEMS, item(3), key(3))], ack="applied")).applied
        async with db.transaction() as txn:
            await txn.put("stock.items", item(1))
        assert not txn.applied


async def test_only_who_asks_for_it_waits_for_the_databases() -> None:
    async with deployment() as (roles, role), grit.connect(role.address) as db:

        def is_question(message: Message) -> bool:
            return isinstance(message, AppliedAsked)

        roles.mute = is_question
        async with db.transaction() as txn:
            await txn.put("stock.items", item(1))
        assert roles.swallowed == []


async def test_an_ack_that_there_is_not_is_an_invalid_request() -> None:
    async with deployment() as (_, role), grit.connect(role.address) as db:
        with pytest.raises(grit.InvalidRequest, match="ack is 'decided' or 'applied', not 'seen'"):
            async with db.transaction(ack="seen"):  # type: ignore[arg-type]
                raise AssertionError("never begun")
