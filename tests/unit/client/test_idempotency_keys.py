"""Idempotency keys: what the first commit with one keeps, and what is told of it later."""

from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

import grit.client as grit
from grit.core.messages import Message, SubmitAsked
from grit.core.outcome import State
from grit.sidecar.app import SidecarRole
from tests.unit.sidecar.roles import Roles, deployment
from tests.unit.sidecar.shop import item, key

Deployed = tuple[Roles, SidecarRole, grit.Client]


@pytest.fixture
async def deployed() -> AsyncIterator[Deployed]:
    async with deployment() as (roles, role), grit.connect(role.address) as db:
        yield roles, role, db


async def put_keeping(db: grit.Client, result: bytes, price: int = 0) -> grit.Kept:
    @db.transactional(idempotency_key="k")
    async def put(txn: grit.Transaction) -> grit.Kept:
        await txn.put("stock.items", item(1, price=price))
        return txn.keep(result)

    return await put()


async def test_the_first_to_commit_keeps_its_result_for_all_that_come_again(deployed: Deployed) -> None:
    roles, _, db = deployed
    for price, repeated in ((1, False), (2, True), (3, True)):
        kept = await put_keeping(db, b"result %d" % price, price)
        assert (kept.result, kept.repeated) == (b"result 1", repeated)
    assert roles.realms["stock"].rows("items")[key(1)]["price"] == 1


async def test_a_block_keeps_a_result_too_the_last_one(deployed: Deployed) -> None:
    for repeated in (False, True):
        async with deployed[2].transaction(idempotency_key="k") as txn:
            await txn.put("stock.items", item(1))
            txn.keep(b"draft")
            kept = txn.keep(b"final, again" if repeated else b"final")
        assert (kept.result, kept.repeated) == (b"final", repeated)


def once_lost(roles: Roles, db: grit.Client) -> Callable[[Message], bool]:
    """Lose the answer of the next commit, not the commit."""

    def mute(message: Message) -> bool:
        if isinstance(message, SubmitAsked):
            roles.mute = lambda _: False
            open_stream = db.stream()._open
            assert open_stream is not None
            open_stream._call.cancel()
        return False

    return mute


async def test_a_repeated_commit_whose_answer_is_lost_has_the_first_result_all_the_same(deployed: Deployed) -> None:
    roles, _, db = deployed
    await put_keeping(db, b"first")
    roles.mute = once_lost(roles, db)
    kept = await put_keeping(db, b"second")
    assert (kept.result, kept.repeated) == (b"first", True)


async def test_a_first_commit_whose_answer_is_lost_keeps_its_own_result(deployed: Deployed) -> None:
    roles, _, db = deployed
    roles.mute = once_lost(roles, db)
    kept = await put_keeping(db, b"first")
    assert (kept.result, kept.repeated) == (b"first", False)


async def test_there_is_nothing_to_keep_a_result_with_without_a_key(deployed: Deployed) -> None:
    async with deployed[2].transaction() as txn:
        with pytest.raises(grit.InvalidRequest, match="give the transaction an idempotency_key"):
            txn.keep(b"result")


async def test_a_result_is_bytes(deployed: Deployed) -> None:
    text: Any = "text"  # from a caller without a type checker
    async with deployed[2].transaction(idempotency_key="k") as txn:
        with pytest.raises(grit.InvalidRequest, match="a result is bytes, not str: encode it"):
            txn.keep(text)


async def test_a_result_that_is_too_large_fails_the_commit(deployed: Deployed) -> None:
    with pytest.raises(grit.InvalidRequest) as caught:
        await put_keeping(deployed[2], b"x" * 4097)
    assert caught.value.code == grit.Code.TOO_LARGE
    assert (await deployed[2].status(idempotency_key="k")).state == State.NOT_COMMITTED


async def test_status_of_a_key_tells_what_committed_with_it(deployed: Deployed) -> None:
    _, _, db = deployed
    assert (await db.status(idempotency_key="k")).state == State.NOT_COMMITTED
    await put_keeping(db, b"first")
    outcome = await db.status(idempotency_key="k")
    assert (outcome.state, outcome.result) == (State.COMMITTED, b"first")


async def test_status_is_of_a_transaction_or_of_a_key(deployed: Deployed) -> None:
    for given in ({}, {"txid": "t-00000000001-0000000000000001", "idempotency_key": "k"}):
        with pytest.raises(grit.InvalidRequest, match="give one of them"):
            await deployed[2].status(**given)


async def test_a_cancelled_key_is_aborted_and_one_that_committed_says_so(deployed: Deployed) -> None:
    roles, _, db = deployed
    assert (await db.cancel("other")).state == State.ABORTED
    assert roles.realms.cancelled == {"other"}
    await put_keeping(db, b"first")
    late = await db.cancel("k")
    assert (late.state, late.result) == (State.COMMITTED, b"first")
    with pytest.raises(grit.InvalidRequest, match="needs an idempotency_key"):
        await db.cancel("")
