"""The SDK against a sidecar over real gRPC."""

import asyncio
import contextlib
import dataclasses
from collections.abc import AsyncIterator

import pytest

import grit.client as grit
from grit.core import operations
from grit.core.ids import Millis, make_txn_id
from grit.core.messages import CommitAsked, Message, SubmitAsked
from grit.core.outcome import State
from grit.sidecar.app import SidecarRole
from tests.unit.sidecar.roles import Roles, deployment, sidecar
from tests.unit.sidecar.shop import BASKET, CARTS, ITEMS, STOCK, item, key

Deployed = tuple[Roles, SidecarRole, grit.Client]


@pytest.fixture
async def deployed() -> AsyncIterator[Deployed]:
    async with deployment() as (roles, role), grit.connect(role.address, service="test") as db:
        yield roles, role, db


async def test_a_body_commits_over_three_realms_at_once(deployed: Deployed) -> None:
    roles, _, db = deployed
    roles.realms["stock"].load("items", {key(1): item(1, price=3, on_hand=5)})

    @db.transactional()
    async def checkout(txn: grit.Transaction, owner: str) -> int:
        found = await txn.get("stock.items", 1)
        await txn.increment("stock.items", 1, "on_hand", -2)
        await txn.put("basket.carts", {"owner": owner, "total": found["price"] * 2})
        await txn.link("social.BOUGHT", owner, "lamp", qty=2)
        price: int = found["price"]
        return price

    assert await checkout("alice") == 3
    assert roles.realms["stock"].rows("items")[key(1)]["on_hand"] == 3
    assert roles.realms["basket"].rows("carts")[key("alice")]["total"] == 6
    assert roles.realms["social"].rows("BOUGHT")[key("alice", "lamp")]["qty"] == 2
    assert roles.realms.submitted[0].origin == "checkout, test"


async def test_every_read_answers_what_it_promises(deployed: Deployed) -> None:
    roles, _, db = deployed
    roles.realms["stock"].load("items", {key(n): item(n, price=10 * n, name=f"n{n}") for n in (1, 2, 3)})
    price = grit.field("price")
    async with db.transaction() as txn:
        assert await txn.get("stock.items", 1, fields=["price"]) == {"price": 10}
        assert await txn.get("stock.items", (9,)) is None
        assert await txn.get_many("stock.items", [2, 9], fields=["id"]) == [{"id": 2}, None]
        found = await txn.find(
            "stock.items", (price >= 20) | (price == 10), order_by=grit.descending("price"), limit=2, fields=["id"]
        )
        assert found == [{"id": 3}, {"id": 2}]
        assert await txn.count("stock.items", ~grit.field("name").startswith("n1")) == 2
        assert await txn.sum("stock.items", "price", grit.field("id").in_([1, 3])) == 40
        await txn.link("social.BOUGHT", "a", "x", qty=1)
        assert await txn.neighbours("social.Good", "x", "BOUGHT", "in") == [{"start": "a", "end": "x", "qty": 1}]
        await txn.unlink("social.BOUGHT", "a", "x")
        assert await txn.neighbours("social.Person", "a", "social.BOUGHT") == []


@dataclasses.dataclass
class Item:
    id: int
    price: int


async def test_records_are_made_into_the_type_asked_for(deployed: Deployed) -> None:
    deployed[0].realms["stock"].load("items", {key(1): item(1, price=3)})
    async with deployed[2].transaction() as txn:
        assert await txn.get("stock.items", 1, into=Item) == Item(1, 3)
        assert await txn.find("stock.items", into=Item) == [Item(1, 3)]


async def test_reads_asked_for_together_travel_together(deployed: Deployed) -> None:
    async with deployed[2].transaction() as txn:
        await asyncio.gather(*(txn.get("stock.items", n) for n in range(5)))
        assert txn._sequence == 1


async def test_writes_travel_with_the_next_read_and_are_seen_by_it(deployed: Deployed) -> None:
    async with deployed[2].transaction() as txn:
        await txn.insert("stock.items", item(1, price=3))
        assert txn._sequence == 0
        assert (await txn.get("stock.items", 1))["price"] == 3
        assert txn._sequence == 1


async def test_many_writes_travel_before_the_next_read(deployed: Deployed) -> None:
    async with deployed[2].transaction() as txn:
        for number in range(600):
            await txn.put("stock.items", item(number))
        assert txn._sequence == 1
    assert len(deployed[0].realms["stock"].rows("items")) == 600


async def test_a_conflict_runs_the_body_again_with_its_age(deployed: Deployed) -> None:
    roles, _, db = deployed
    roles.realms["stock"].load("items", {key(1): item(1, price=1)})
    runs: list[int] = []

    @db.transactional()
    async def raise_price(txn: grit.Transaction) -> None:
        found = await txn.get("stock.items", 1)
        runs.append(found["price"])
        if len(runs) == 1:
            roles.realms["stock"].load("items", {key(1): item(1, price=50)})
        await txn.patch("stock.items", 1, {"price": found["price"] + 1})

    await raise_price()
    assert runs == [1, 50]
    assert roles.realms["stock"].rows("items")[key(1)]["price"] == 51
    assert [submitted.age for submitted in roles.realms.submitted] == [7]


async def test_attempts_are_bounded_and_the_abort_names_the_key(deployed: Deployed) -> None:
    roles, _, db = deployed
    roles.realms["stock"].load("items", {key(1): item(1, price=0)})
    runs = 0

    @db.transactional(max_attempts=2)
    async def lose(txn: grit.Transaction) -> None:
        nonlocal runs
        runs += 1
        await txn.get("stock.items", 1)
        roles.realms["stock"].load("items", {key(1): item(1, price=runs)})
        await txn.put("basket.carts", {"owner": "a"})

    with pytest.raises(grit.TxnAborted) as caught:
        await lose()
    assert runs == 2
    assert caught.value.code == grit.Code.READ_CONFLICT
    assert caught.value.conflict is not None
    assert caught.value.conflict.key == key(1)


async def test_an_exception_of_the_body_rolls_back_and_passes(deployed: Deployed) -> None:
    roles, _, db = deployed

    @db.transactional()
    async def fail(txn: grit.Transaction) -> None:
        await txn.get("stock.items", 1)
        await txn.insert("stock.items", item(1))
        raise LookupError("mine")

    with pytest.raises(LookupError, match="mine"):
        await fail()
    assert roles.realms["stock"].rows("items") == {}


async def test_an_exception_made_of_stale_reads_is_a_retry(deployed: Deployed) -> None:
    roles, _, db = deployed
    roles.realms["stock"].load("items", {key(1): item(1, on_hand=0)})
    runs = 0

    @db.transactional()
    async def buy(txn: grit.Transaction) -> int:
        nonlocal runs
        runs += 1
        found = await txn.get("stock.items", 1)
        if runs == 1:
            roles.realms["stock"].load("items", {key(1): item(1, on_hand=5)})
        if found["on_hand"] == 0:
            raise LookupError("sold out")
        on_hand: int = found["on_hand"]
        return on_hand

    assert await buy() == 5
    assert runs == 2


async def test_a_data_error_passes_once_and_is_not_retried(deployed: Deployed) -> None:
    roles, _, db = deployed
    roles.realms["stock"].load("items", {key(1): item(1)})
    runs = 0

    @db.transactional()
    async def insert(txn: grit.Transaction) -> None:
        nonlocal runs
        runs += 1
        await txn.insert("stock.items", item(1))

    with pytest.raises(grit.InvalidRequest) as caught:
        await insert()
    assert caught.value.code == grit.Code.ALREADY_EXISTS
    assert runs == 1


async def test_a_failed_batch_fails_everything_after_it(deployed: Deployed) -> None:
    async def fail_and_go_on() -> None:
        async with deployed[2].transaction() as txn:
            await txn.patch("stock.items", 1, {"colour": "red"})
            for _ in range(2):
                with pytest.raises(grit.InvalidRequest):
                    await txn.get("stock.items", 1)

    with pytest.raises(grit.InvalidRequest) as caught:
        await fail_and_go_on()
    assert caught.value.code == grit.Code.BAD_REQUEST


@pytest.mark.parametrize(("heard", "committed"), [(True, 1), (False, 2)])
async def test_a_lost_answer_of_a_commit_never_reaches_the_user(
    deployed: Deployed, heard: bool, committed: int
) -> None:
    roles, _, db = deployed
    runs = 0

    def mute(message: Message) -> bool:
        if isinstance(message, CommitAsked | SubmitAsked) and runs == 1:
            if heard:
                roles.realms.ask_realm(STOCK, message)
            asyncio.get_running_loop().call_soon(roles.break_links)
            return True
        return False

    roles.mute = mute

    @db.transactional()
    async def put(txn: grit.Transaction) -> None:
        nonlocal runs
        runs += 1
        await txn.put("stock.items", item(runs))

    await put()
    assert runs == committed
    assert list(roles.realms["stock"].rows("items")) == [key(committed)]


async def test_a_stream_that_breaks_during_a_commit_is_resolved_by_status(deployed: Deployed) -> None:
    roles, _, db = deployed

    def mute(message: Message) -> bool:
        if isinstance(message, CommitAsked) and db.stream()._open is not None:
            open_stream = db.stream()._open
            assert open_stream is not None
            open_stream._call.cancel()
        return False

    roles.mute = mute

    @db.transactional()
    async def put(txn: grit.Transaction) -> None:
        await txn.put("stock.items", item(1))

    await put()
    assert len(roles.realms.locals) == 1


async def test_a_sidecar_that_is_not_there_is_unavailable() -> None:
    async with grit.connect("127.0.0.1:1") as db:

        @db.transactional(max_attempts=2)
        async def put(txn: grit.Transaction) -> None:
            await txn.put("stock.items", item(1))

        with pytest.raises(grit.Unavailable) as caught:
            await put()
        assert caught.value.retry_after >= 0


async def test_a_home_that_restarted_runs_the_body_again() -> None:
    roles = Roles()
    await roles.start()
    async with (
        contextlib.AsyncExitStack() as restarted,
        sidecar(roles, drain_ms=1) as first,
        grit.connect(first.address) as db,
    ):
        runs = 0

        @db.transactional()
        async def put(txn: grit.Transaction) -> None:
            nonlocal runs
            runs += 1
            await txn.get("stock.items", 1)
            if runs == 1:
                await first.close()
                await restarted.enter_async_context(sidecar(roles, listen=first.address))
            await txn.put("stock.items", item(1))

        await put()
        assert runs == 2
    assert list(roles.realms["stock"].rows("items")) == [key(1)]
    await roles.close()


async def test_a_cancelled_body_leaves_nothing_open(deployed: Deployed) -> None:
    _, role, db = deployed
    started = asyncio.Event()

    @db.transactional()
    async def wait(txn: grit.Transaction) -> None:
        await txn.get("stock.items", 1)
        started.set()
        await asyncio.Event().wait()

    task = asyncio.create_task(wait())
    await started.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    async with asyncio.timeout(10):
        while len(role._sessions):  # noqa: ASYNC110 - the table tells nobody
            await asyncio.sleep(0.005)


async def test_a_transaction_is_not_usable_after_its_body(deployed: Deployed) -> None:
    async with deployed[2].transaction() as txn:
        await txn.put("stock.items", item(1))
    with pytest.raises(grit.InvalidRequest, match="is over"):
        await txn.get("stock.items", 1)


async def test_transact_is_one_call_with_conditions(deployed: Deployed) -> None:
    _, _, db = deployed
    put = operations.Put(STOCK, ITEMS, item(1))
    done = await db.transact([put, operations.Get(STOCK, ITEMS, key(1))], conditions=[grit.absent("stock.items", 1)])
    assert done.results[1] == operations.RowResult(item(1))
    with pytest.raises(grit.InvalidRequest) as caught:
        await db.transact([put], conditions=[grit.exists("stock.items", 1, grit.field("price") > 3)])
    assert caught.value.code == grit.Code.CONSTRAINT


async def test_transact_with_a_key_applies_once(deployed: Deployed) -> None:
    roles, _, db = deployed
    for price, repeated in ((1, False), (2, True)):
        put = operations.Put(STOCK, ITEMS, item(1, price=price))
        done = await db.transact([put], idempotency_key="k", result=b"one")
        assert (done.repeated, done.result) == (repeated, b"one")
    assert roles.realms["stock"].rows("items")[key(1)]["price"] == 1


async def test_status_of_what_nobody_knows_is_aborted_for_ever(deployed: Deployed) -> None:
    outcome = await deployed[2].status(make_txn_id(Millis(1_000_000), 3), ["stock"])
    assert outcome.state == State.ABORTED


@pytest.mark.parametrize(
    ("collection", "given", "code"),
    [
        ("items", 1, grit.Code.BAD_REQUEST),
        ("stock.items", 1.5, grit.Code.TYPE_MISMATCH),
        ("stock.things", 1, grit.Code.UNKNOWN_COLLECTION),
        ("stock.items", "one", grit.Code.TYPE_MISMATCH),
    ],
)
async def test_a_wrong_name_or_key_is_told_in_one_line(
    deployed: Deployed, collection: str, given: object, code: grit.Code
) -> None:
    with pytest.raises(grit.InvalidRequest) as caught:
        async with deployed[2].transaction() as txn:
            await txn.get(collection, given)
    assert caught.value.code == code
    assert "\n" not in str(caught.value)


async def test_a_value_that_is_none_is_refused_before_it_is_sent(deployed: Deployed) -> None:
    with pytest.raises(grit.InvalidRequest) as caught:
        async with deployed[2].transaction() as txn:
            await txn.put("stock.items", {"id": 1, "name": object()})
    assert caught.value.code == grit.Code.TYPE_MISMATCH


async def test_many_tasks_share_one_stream(deployed: Deployed) -> None:
    roles, _, db = deployed

    @db.transactional()
    async def put(txn: grit.Transaction, number: int) -> None:
        assert await txn.get("stock.items", number) is None
        await txn.put("stock.items", item(number))

    await asyncio.gather(*(put(number) for number in range(50)))
    assert len(roles.realms["stock"].rows("items")) == 50


async def test_one_realm_commits_without_the_gtm(deployed: Deployed) -> None:
    await deployed[2].transact([operations.Put(BASKET, CARTS, {"owner": "a"})])
    assert deployed[0].realms.submitted == []


def test_a_predicate_has_no_truth_value() -> None:
    with pytest.raises(TypeError, match="& | ~"):
        bool(grit.field("a") == 1)
