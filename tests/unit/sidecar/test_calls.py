"""Calls across services: what of them a commit counts."""

import pytest

from grit.core.errors import Code
from grit.core.operations import Delete, Get, Increment, Insert, Patch, Put, RowResult
from grit.sidecar.events import CallConfirmed, CallDone, CallDropped, CallJoined, CallOpened, CallTaken, Results
from tests.unit.sidecar.home import Home
from tests.unit.sidecar.shop import ITEMS, STOCK, item, key


def put(number: int) -> Put:
    return Put(STOCK, ITEMS, item(number), key(number))


def confirm(home: Home, call: str, operations: int) -> None:
    request = home.next()
    home.take(CallConfirmed(request, call, operations))
    home.reply(request)


def drop(home: Home, call: str) -> None:
    request = home.next()
    home.take(CallDropped(request, call))
    home.reply(request)


def test_a_confirmed_call_commits_with_its_caller() -> None:
    home = Home()
    call = f"{home.txid}-1"
    home.run(put(1), call=call)
    confirm(home, call, 1)
    home.commit(put(2))
    assert set(home.realms["stock"].rows("items")) == {key(1), key(2)}


def test_a_call_confirmed_with_the_commit_counts() -> None:
    home = Home()
    call = f"{home.txid}-1"
    home.run(put(1), call=call)
    home.reply(home.start_commit((call, 1)))


def test_a_commit_waits_for_the_confirmed_number_to_arrive() -> None:
    home = Home()
    call = f"{home.txid}-1"
    confirm(home, call, 1)
    request = home.start_commit()
    assert not home.is_answered(request)
    home.run(put(1), call=call)
    home.reply(request)
    assert key(1) in home.realms["stock"].rows("items")


def test_a_call_that_does_not_arrive_in_time_is_a_lost_branch() -> None:
    home = Home()
    confirm(home, f"{home.txid}-1", 1)
    request = home.start_commit()
    home.wait(2_000)
    assert home.failure(request).code == Code.LOST_BRANCH
    assert home.finished is not None


def test_a_call_that_was_never_confirmed_is_a_lost_branch() -> None:
    home = Home()
    home.run(put(1), call=f"{home.txid}-1")
    request = home.start_commit()
    home.wait(2_000)
    assert home.failure(request).code == Code.LOST_BRANCH


@pytest.mark.parametrize(("done", "arrived", "confirmed"), [(None, 2, 1), (2, 1, 1)])
def test_a_call_that_made_more_than_its_caller_saw_is_a_lost_branch_at_once(
    done: int | None, arrived: int, confirmed: int
) -> None:
    home = Home()
    call = f"{home.txid}-1"
    for number in range(arrived):
        home.run(put(number), call=call)
    if done is not None:
        home.take(CallDone(home.next(), call, done))
    confirm(home, call, confirmed)
    assert home.failure(home.start_commit()).code == Code.LOST_BRANCH


def test_a_dropped_call_leaves_nothing_behind() -> None:
    home = Home()
    home.realms["stock"].load("items", {key(1): item(1, on_hand=5)})
    call = f"{home.txid}-1"
    home.run(Increment(STOCK, ITEMS, key(1), "on_hand", -1))
    home.run(put(2), Increment(STOCK, ITEMS, key(1), "on_hand", -2), call=call)
    drop(home, call)
    home.commit()
    assert home.realms["stock"].rows("items") == {key(1): item(1, on_hand=4)}


def test_a_dropped_call_takes_the_calls_that_it_made_with_it() -> None:
    home = Home()
    call = f"{home.txid}-1"
    home.run(put(1), call=call)
    home.run(put(2), call=f"{call}-1")
    drop(home, call)
    home.commit(put(3))
    assert set(home.realms["stock"].rows("items")) == {key(3)}


def test_a_dropped_call_takes_no_further_operations() -> None:
    home = Home()
    call = f"{home.txid}-1"
    drop(home, call)
    assert home.failure(home.start(put(1), call=call)).code == Code.LOST_BRANCH
    home.commit(put(2))


def test_dropping_a_call_whose_writes_were_read_elsewhere_aborts() -> None:
    home = Home()
    call = f"{home.txid}-1"
    home.run(put(1), call=call)
    home.run(Get(STOCK, ITEMS, key(1)))
    drop(home, call)
    assert home.failure(home.start_commit()).code == Code.LOST_BRANCH


def test_dropping_a_call_takes_only_its_share_of_a_record() -> None:
    home = Home()
    home.realms["stock"].load("items", {key(1): item(1)})
    call = f"{home.txid}-1"
    home.run(Patch(STOCK, ITEMS, key(1), {"name": "a"}), call=call)
    home.run(Patch(STOCK, ITEMS, key(1), {"price": 1}))
    drop(home, call)
    home.commit()
    assert home.realms["stock"].rows("items") == {key(1): item(1, price=1)}


def test_dropping_a_call_that_others_built_upon_aborts() -> None:
    home = Home()
    call = f"{home.txid}-1"
    home.run(Delete(STOCK, ITEMS, key(1)), call=call)
    home.run(Insert(STOCK, ITEMS, item(1), key(1)))
    home.run(Insert(STOCK, ITEMS, item(2), key(2)), call=call)
    home.run(Delete(STOCK, ITEMS, key(2)))
    home.run(Insert(STOCK, ITEMS, item(2), key(2)), call=call)
    home.run(Delete(STOCK, ITEMS, key(2)))
    drop(home, call)
    assert home.failure(home.start_commit()).code == Code.LOST_BRANCH


def test_a_call_delivered_twice_runs_once() -> None:
    home = Home()
    call = f"{home.txid}-1"
    first, again, second = home.next(), home.next(), home.next()
    home.take(CallJoined(first, call, "run-1"))
    home.take(CallJoined(again, call, "run-1"))
    home.take(CallJoined(second, call, "run-2"))
    home.reply(first)
    home.reply(again)
    assert home.failure(second).code == Code.LOST_BRANCH


def test_a_call_of_another_transaction_is_refused() -> None:
    home = Home()
    assert home.failure(home.start(put(1), call="t-1-1")).code == Code.BAD_REQUEST


def test_ids_that_the_home_mints_are_never_those_of_a_client() -> None:
    home = Home()
    first, second = home.next(), home.next()
    home.take(CallOpened(first))
    home.take(CallOpened(second))
    assert home.reply(first) == CallTaken(f"{home.txid}-h1")
    assert home.reply(second) == CallTaken(f"{home.txid}-h2")


def test_what_follows_a_confirmed_call_waits_for_what_the_call_wrote() -> None:
    home = Home()
    call = f"{home.txid}-1"
    confirm(home, call, 1)
    read = home.start(Get(STOCK, ITEMS, key(1)))
    assert not home.is_answered(read)
    home.run(put(1), call=call)
    reply = home.reply(read)
    assert isinstance(reply, Results)
    assert reply.results == (RowResult(item(1)),)


def test_what_follows_a_call_that_never_arrives_is_a_lost_branch() -> None:
    home = Home()
    confirm(home, f"{home.txid}-1", 1)
    read = home.start(Get(STOCK, ITEMS, key(1)))
    home.wait(2_000)
    assert home.failure(read).code == Code.LOST_BRANCH
