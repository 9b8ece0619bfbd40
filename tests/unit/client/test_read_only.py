"""Transactions of the SDK that only read."""

import pytest

import grit.client as grit
from tests.unit.sidecar.roles import deployment
from tests.unit.sidecar.shop import item, key


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
