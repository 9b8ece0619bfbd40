"""What is larger than one gRPC message is refused at once, and breaks nothing."""

import asyncio
from collections.abc import AsyncIterator

import pytest

import grit.client as grit
from grit.core import operations
from grit.sidecar.app import SidecarRole
from grit.wire.channel import MESSAGE_BYTES_MAX
from tests.unit.sidecar.roles import Roles, deployment
from tests.unit.sidecar.shop import ITEMS, STOCK, item, key

LARGE = "x" * (MESSAGE_BYTES_MAX + 1)
Deployed = tuple[Roles, SidecarRole, grit.Client]


@pytest.fixture
async def deployed() -> AsyncIterator[Deployed]:
    """Everything here is over long before a time-out could end it."""
    async with asyncio.timeout(20), deployment() as (roles, role), grit.connect(role.address) as db:
        yield roles, role, db


async def expect_well(deployed: Deployed) -> None:
    """The session is the one from before, nothing was committed, and nothing stays open at the home."""
    roles, role, db = deployed
    before = db.stream()._open
    while len(role._sessions):  # noqa: ASYNC110 - the table tells nobody
        await asyncio.sleep(0.005)
    assert (roles.realms.locals, roles.realms.submitted) == ([], [])
    async with db.transaction() as txn:
        await txn.put("stock.items", item(1))
    assert db.stream()._open is before
    assert list(roles.realms["stock"].rows("items")) == [key(1)]


async def test_a_commit_with_writes_larger_than_a_message_is_refused_at_once(deployed: Deployed) -> None:
    runs = 0

    @deployed[2].transactional()
    async def write(txn: grit.Transaction) -> None:
        nonlocal runs
        runs += 1
        await txn.put("stock.items", item(2, name=LARGE))

    with pytest.raises(grit.InvalidRequest, match="one message carries") as caught:
        await write()
    assert (caught.value.code, runs) == (grit.Code.TOO_LARGE, 1)
    await expect_well(deployed)


async def test_operations_larger_than_a_message_are_refused_at_once(deployed: Deployed) -> None:
    @deployed[2].transactional()
    async def write_and_read(txn: grit.Transaction) -> None:
        await txn.put("stock.items", item(2, name=LARGE))
        await txn.get("stock.items", 1)

    with pytest.raises(grit.InvalidRequest, match="one message carries") as caught:
        await write_and_read()
    assert caught.value.code == grit.Code.TOO_LARGE
    await expect_well(deployed)


async def test_a_transact_larger_than_a_message_is_refused_at_once(deployed: Deployed) -> None:
    put = operations.Put(STOCK, ITEMS, item(2, name=LARGE))
    with pytest.raises(grit.InvalidRequest, match="one message carries") as caught:
        await deployed[2].transact([put])
    assert caught.value.code == grit.Code.TOO_LARGE
    with pytest.raises(grit.InvalidRequest, match="one message carries"):
        await deployed[2].transact([put], idempotency_key="large")
    async with deployed[2].transaction():
        pass  # opens the session
    await expect_well(deployed)


async def test_what_just_fits_a_message_is_sent(deployed: Deployed) -> None:
    put = operations.Put(STOCK, ITEMS, item(2, name="x" * (MESSAGE_BYTES_MAX - 200)))
    with pytest.raises(grit.InvalidRequest) as caught:
        await deployed[2].transact([put])
    assert caught.value.code == grit.Code.TOO_LARGE
    assert "one message carries" not in str(caught.value)


HALF = "x" * (MESSAGE_BYTES_MAX // 2)


async def test_an_answer_larger_than_a_message_is_refused_at_once_and_the_body_is_not_run_again(
    deployed: Deployed,
) -> None:
    roles, _, db = deployed
    roles.realms["stock"].load("items", {key(number): item(number, name=HALF) for number in (2, 3)})
    before, runs = db.stream(), 0

    @db.transactional()
    async def read(txn: grit.Transaction) -> None:
        nonlocal runs
        runs += 1
        await txn.get_many("stock.items", [2, 3])

    async with db.transaction() as other:
        await other.put("stock.items", item(1))
        opened = before._open
        with pytest.raises(grit.InvalidRequest, match=r"the answer has .* one message carries") as caught:
            await read()
        assert (caught.value.code, runs) == (grit.Code.TOO_LARGE, 1)
    assert db.stream()._open is opened
    assert key(1) in roles.realms["stock"].rows("items")


async def test_a_transact_whose_answer_is_larger_than_a_message_may_have_committed(deployed: Deployed) -> None:
    roles, _, db = deployed
    roles.realms["stock"].load("items", {key(number): item(number, name=HALF) for number in (2, 3)})
    work: list[operations.Operation] = [
        operations.Put(STOCK, ITEMS, item(1)),
        *(operations.Get(STOCK, ITEMS, key(number)) for number in (2, 3)),
    ]
    with pytest.raises(grit.OutcomeUnknown, match="the answer has"):
        await db.transact(work)
    assert key(1) in roles.realms["stock"].rows("items")
    done = await db.transact(work, idempotency_key="k", result=b"found again")
    assert (done.repeated, done.result) == (True, b"found again")
