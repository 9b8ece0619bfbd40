"""Rules of one open transaction."""

import pytest

from grit.core.errors import Code, GritError
from grit.core.ids import Lsn, Realm
from grit.core.limits import Limits
from grit.core.messages import CommitAsked, ExtendAsked, ReadAsked, StatusAsked, SubmitAsked, ValidateAsked
from grit.core.operations import (
    Condition,
    Count,
    Delete,
    Find,
    Get,
    GetMany,
    Increment,
    Insert,
    Link,
    Neighbours,
    NumberResult,
    Patch,
    Put,
    RowResult,
    RowsResult,
    Sum,
)
from grit.core.parts import Act, Expect, KeyRead, PredicateRead
from grit.core.predicate import EVERYTHING, Compare, encode_expr, matches
from grit.core.queries import FindRows, OrderBy
from grit.sidecar.asking import SILENCE_MS
from grit.sidecar.events import AskRealm
from tests.unit.sidecar.home import Home, commits, everything, nothing
from tests.unit.sidecar.shop import BASKET, BOUGHT, CARTS, GOODS, ITEMS, PEOPLE, SOCIAL, STOCK, item, key


def get(number: int, *fields: str) -> Get:
    return Get(STOCK, ITEMS, key(number), fields or None)


def insert(number: int, **fields: object) -> Insert:
    return Insert(STOCK, ITEMS, item(number, **fields), key(number))


def put(number: int, **fields: object) -> Put:
    return Put(STOCK, ITEMS, item(number, **fields), key(number))


def patch(number: int, **changes: object) -> Patch:
    return Patch(STOCK, ITEMS, key(number), changes)


def increment(number: int, delta: int) -> Increment:
    return Increment(STOCK, ITEMS, key(number), "on_hand", delta)


def delete(number: int) -> Delete:
    return Delete(STOCK, ITEMS, key(number))


def stocked(*numbers: int) -> Home:
    home = Home()
    home.realms["stock"].load("items", {key(n): item(n, price=10 * n, on_hand=5) for n in numbers})
    return home


def test_nothing_touched_commits_at_once_without_asking_anybody() -> None:
    home = Home()
    assert home.commit().outcome.csn == 0
    assert home.asked == []
    assert home.finished is not None


def test_one_realm_commits_at_its_dbtm() -> None:
    home = Home()
    home.commit(insert(1, price=3))
    assert [type(ask.message) for ask in home.asked] == [CommitAsked]
    assert home.realms["stock"].rows("items")[key(1)] == item(1, price=3)


def test_two_realms_commit_at_the_gtm() -> None:
    home = Home()
    committed = home.commit(insert(1), Put(BASKET, CARTS, {"owner": "a"}, key("a")))
    assert committed.outcome.csn == 1
    assert committed.realms == (BASKET, STOCK)


def test_a_realm_only_read_takes_part_in_the_commit() -> None:
    home = stocked(1)
    home.run(get(1))
    assert home.commit(Put(BASKET, CARTS, {"owner": "a"}, key("a"))).outcome.csn == 1
    assert [realm for realm, _ in home.realms.submitted[0].parts] == [BASKET, STOCK]


def test_an_idempotency_key_goes_to_the_gtm_though_one_realm_was_touched() -> None:
    home = Home(key="k")
    home.commit(insert(1), result=b"r")
    assert home.realms.submitted[0].key == "k"
    assert home.realms.submitted[0].result == b"r"


def test_an_age_sends_a_local_to_where_age_counts() -> None:
    home = Home(age=9)
    home.commit(insert(1))
    assert home.realms.submitted[0].age == 9


def test_a_repeated_key_answers_the_earlier_outcome() -> None:
    first = Home(key="k")
    first.commit(insert(1), result=b"first")
    second = Home(first.realms, key="k", chance=2)
    committed = second.commit(insert(2), result=b"second")
    assert committed.repeated
    assert committed.outcome.result == b"first"
    assert committed.outcome.txid == first.txid


def test_a_get_sees_own_writes_without_asking() -> None:
    home = Home()
    results = home.run(insert(1, price=3), get(1), get(1, "price")).results
    assert results[1:] == (RowResult(item(1, price=3)), RowResult({"price": 3}))
    assert home.asked == []


def test_a_get_of_a_changed_record_joins_the_change_with_what_lies_in_the_realm() -> None:
    home = stocked(1)
    results = home.run(patch(1, price=7), increment(1, -2), get(1)).results
    assert results[2] == RowResult(item(1, price=7, on_hand=3))


def test_a_get_is_recorded_by_key_and_fields_also_when_absent() -> None:
    home = stocked(1)
    home.run(get(1, "price"), get(2))
    home.commit()
    assert home.realms["stock"].validated[0].reads == (KeyRead(ITEMS, key(1), ("price",)), KeyRead(ITEMS, key(2), None))


def test_a_record_read_twice_is_recorded_once() -> None:
    home = stocked(1)
    home.run(get(1), get(1), get(2, "price"))
    home.run(get(1, "price"), get(2, "price"))
    home.commit()
    reads = home.realms["stock"].validated[0].reads
    assert reads == (KeyRead(ITEMS, key(1), None), KeyRead(ITEMS, key(2), ("price",)))
    assert home.session._execution.parts[STOCK].bytes < 50


def test_get_many_answers_in_the_order_of_the_keys() -> None:
    home = stocked(1, 3)
    results = home.run(delete(3), GetMany(STOCK, ITEMS, (key(3), key(1), key(2), key(1)), ("price",))).results
    assert results[1] == RowsResult((None, {"price": 10}, None, {"price": 10}))


def test_find_matches_own_rows_in_and_removed_rows_out() -> None:
    home = stocked(1, 2, 3)
    where = encode_expr(Compare("price", ">=", 20))
    results = home.run(
        patch(1, price=99),
        delete(2),
        insert(4, price=20),
        insert(5, price=19),
        Find(STOCK, ITEMS, where, fields=("id",)),
    ).results
    assert results[4] == RowsResult(({"id": 1}, {"id": 3}, {"id": 4}))


def test_find_asks_for_as_many_more_as_own_writes_may_remove() -> None:
    home = stocked(1, 2, 3, 4)
    order = (OrderBy("price"),)
    results = home.run(delete(1), delete(2), Find(STOCK, ITEMS, order_by=order, limit=2, fields=("id",))).results
    assert results[2] == RowsResult(({"id": 3}, {"id": 4}))
    asked = home.asked[0].message
    assert isinstance(asked, ReadAsked)
    assert isinstance(asked.queries[0], FindRows)
    assert asked.queries[0].limit == 4


@pytest.mark.parametrize(
    ("order", "inside", "outside"),
    [(OrderBy("price"), (None, 1, 20), (21,)), (OrderBy("price", True), (30, 40), (29, None))],
)
def test_a_find_cut_at_its_limit_is_closed_after_its_last_row(
    order: OrderBy, inside: tuple[int | None, ...], outside: tuple[int | None, ...]
) -> None:
    home = stocked(1, 2, 3, 4)
    home.run(Find(STOCK, ITEMS, order_by=(order,), limit=2, fields=("id",)))
    home.commit()
    read = home.realms["stock"].validated[0].reads[0]
    assert isinstance(read, PredicateRead)
    assert read.fields == ("id", "price")
    assert all(matches(read.where, {"price": price}) for price in inside)
    assert not any(matches(read.where, {"price": price}) for price in outside)


def test_a_find_that_saw_everything_is_not_closed() -> None:
    home = stocked(1)
    home.run(Find(STOCK, ITEMS, order_by=(OrderBy("price"),), limit=2))
    home.commit()
    assert home.realms["stock"].validated[0].reads == (PredicateRead(ITEMS, EVERYTHING, None),)


def test_a_find_reads_the_records_that_own_changes_may_have_brought_in() -> None:
    home = stocked(1)
    home.run(patch(1, name="new"), Find(STOCK, ITEMS, encode_expr(Compare("name", "=", "new")), fields=("price",)))
    home.commit()
    assert KeyRead(ITEMS, key(1), ("price",)) in home.realms["stock"].parts[0].reads


def test_count_and_sum_see_own_writes() -> None:
    home = stocked(1, 2)
    results = home.run(insert(3, price=5), delete(1), Count(STOCK, ITEMS), Sum(STOCK, ITEMS, "price")).results
    assert results[2:] == (NumberResult(2), NumberResult(25))


def test_neighbours_see_own_links() -> None:
    home = Home()
    home.realms["social"].load("BOUGHT", {key("a", "x"): {"start": "a", "end": "x", "qty": 1}})
    link = Link(SOCIAL, BOUGHT, key("a"), key("y"), {"qty": 2})
    results = home.run(link, Neighbours(SOCIAL, PEOPLE, key("a"), BOUGHT)).results
    assert results[1] == RowsResult(({"start": "a", "end": "x", "qty": 1}, {"start": "a", "end": "y", "qty": 2}))


def test_a_detaching_delete_takes_the_relationships_of_every_type_with_it() -> None:
    home = Home()
    realm = home.realms["social"]
    realm.load("Person", {key("a"): {"name": "a"}})
    realm.load("BOUGHT", {key("a", "x"): {"start": "a", "end": "x"}, key("b", "x"): {"start": "b", "end": "x"}})
    realm.load("KNOWS", {key("b", "a"): {"start": "b", "end": "a"}})
    home.commit(Delete(SOCIAL, PEOPLE, key("a"), detach=True))
    assert (realm.rows("Person"), list(realm.rows("BOUGHT")), realm.rows("KNOWS")) == ({}, [key("b", "x")], {})
    assert {read.collection for read in realm.parts[0].reads} == {"BOUGHT", "KNOWS"}
    assert GOODS not in {read.collection for read in realm.parts[0].reads}


def test_the_first_read_fixes_the_position_and_later_reads_carry_it() -> None:
    home = stocked(1)
    home.run(get(1))
    home.run(get(2))
    positions = [ask.message.position for ask in home.asked if isinstance(ask.message, ReadAsked)]
    assert positions == [0, 1]


def test_an_answer_that_was_true_at_the_position_extends_nothing() -> None:
    home = stocked(1)
    home.run(get(1))
    home.realms["stock"].load("items", {key(9): item(9)})
    home.run(get(2))
    assert not any(isinstance(ask.message, ExtendAsked) for ask in home.asked)
    home.commit()
    assert home.realms["stock"].validated[0].position == 1


def test_a_newer_answer_moves_the_position_when_nothing_read_was_overwritten() -> None:
    home = stocked(1)
    home.run(get(1))
    home.realms["stock"].load("items", {key(2): item(2)})
    assert home.run(get(2)).results == (RowResult(item(2)),)
    extend = next(ask.message for ask in home.asked if isinstance(ask.message, ExtendAsked))
    assert (extend.reads, extend.since, extend.upto) == ((KeyRead(ITEMS, key(1), None),), 1, 2)
    home.commit()
    assert home.realms["stock"].validated[0].position == 2


def test_reads_of_two_moments_are_never_shown_and_doom_the_transaction() -> None:
    home = stocked(1, 2)
    home.run(get(1))
    home.realms["stock"].load("items", {key(1): item(1, price=99), key(2): item(2, price=98)})
    assert home.failure(home.start(get(2))).code == Code.READ_CONFLICT
    assert home.failure(home.start(insert(3))).code == Code.READ_CONFLICT
    error = home.failure(home.start_commit())
    assert error.code == Code.READ_CONFLICT
    assert error.conflict is not None
    assert error.conflict.key == key(1)
    assert home.realms.locals == []


def test_reads_that_are_no_longer_remembered_are_too_old() -> None:
    home = stocked(1, 2)
    home.run(get(1))
    home.realms["stock"].load("items", {key(2): item(2, price=98)})
    home.realms["stock"].oldest = 2
    assert home.failure(home.start(get(2))).code == Code.TOO_OLD


def test_a_data_error_is_told_when_its_reads_are_current() -> None:
    home = stocked(1)
    home.run(get(1))
    assert home.failure(home.start(delete(1), patch(1, price=2))).code == Code.NOT_FOUND
    assert isinstance(home.asked[-1].message, ValidateAsked)
    assert home.realms.locals == []
    assert home.failure(home.start_commit()).code == Code.NOT_FOUND


def test_a_data_error_on_stale_reads_is_a_conflict() -> None:
    home = stocked(1)
    home.run(get(1))
    home.realms["stock"].load("items", {key(1): item(1, price=99)})
    assert home.failure(home.start(insert(2), insert(2))).code == Code.READ_CONFLICT


def test_a_data_error_without_reads_is_told_at_once() -> None:
    home = Home()
    assert home.failure(home.start(insert(1), insert(1))).code == Code.ALREADY_EXISTS
    assert home.asked == []


def test_an_exception_on_current_reads_is_true() -> None:
    home = stocked(1)
    home.run(get(1))
    assert home.rollback(validate=True).reads_valid
    assert home.finished is not None


def test_an_exception_on_stale_reads_proves_nothing() -> None:
    home = stocked(1)
    home.run(get(1))
    home.realms["stock"].load("items", {key(1): item(1, price=99)})
    rolled_back = home.rollback(validate=True)
    assert not rolled_back.reads_valid
    assert rolled_back.stale is not None
    assert rolled_back.stale.code == Code.READ_CONFLICT


def test_a_rollback_asks_nobody_and_ends_the_transaction() -> None:
    home = Home()
    home.run(insert(1))
    home.rollback(validate=False)
    assert home.asked == []
    assert home.failure(home.start(insert(2))).code == Code.NO_SUCH_TRANSACTION


@pytest.mark.parametrize(("present", "fails"), [(True, False), (False, True)])
def test_a_condition_that_does_not_hold_is_a_constraint(present: bool, fails: bool) -> None:
    home = stocked(1)
    condition = Condition(STOCK, ITEMS, key(1), present=present)
    if fails:
        with pytest.raises(GritError, match="condition not met"):
            home.commit(insert(2), conditions=(condition,))
    else:
        home.commit(insert(2), conditions=(condition,))


def test_a_commit_is_sent_once_and_a_lost_answer_is_asked_for() -> None:
    home = Home()
    home.hold = commits
    request = home.start(insert(1)) and home.start_commit()
    home.lose(heard=True)
    assert not home.is_answered(request)
    home.wait(1)
    home.reply(request)
    assert [type(ask.message) for ask in home.asked] == [CommitAsked, StatusAsked]
    assert len(home.realms.locals) == 1


def test_a_commit_that_was_never_heard_is_refused_by_status() -> None:
    home = Home()
    home.hold = commits
    request = home.start(insert(1)) and home.start_commit()
    home.lose(heard=False)
    home.wait(1)
    assert home.failure(request).code == Code.REFUSED
    assert home.realms["stock"].rows("items") == {}


def test_a_commit_that_was_declined_is_sent_again() -> None:
    home = Home()
    home.hold = lambda _: not home.held and len(home.asked) == 1
    request = home.start(insert(1)) and home.start_commit()
    home.decline()
    home.wait(50)
    home.reply(request)
    assert [type(ask.message) for ask in home.asked] == [CommitAsked, CommitAsked]


def test_a_commit_that_is_declined_for_long_is_unavailable_and_may_come_again() -> None:
    home = Home()
    home.hold = everything
    home.start(insert(1))
    request = home.start_commit()
    while not home.is_answered(request):
        home.decline()
        home.wait(50)
    assert home.failure(request).code == Code.NO_LEADER
    home.hold = nothing
    home.reply(home.start_commit())
    assert key(1) in home.realms["stock"].rows("items")


def test_an_outcome_that_cannot_be_learnt_is_unknown() -> None:
    home = Home()
    home.hold = everything
    request = home.start(insert(1)) and home.start_commit()
    home.lose(heard=True)
    while not home.is_answered(request):
        home.wait(1_000)
        home.decline()
    assert home.failure(request).code == Code.UNKNOWN
    assert home.finished is not None
    assert home.finished.arbiter == STOCK


def test_a_read_that_is_lost_is_asked_again() -> None:
    home = stocked(1)
    home.hold = lambda _: len(home.asked) == 1
    request = home.start(get(1))
    home.lose(heard=True)
    home.wait(1)
    assert home.is_answered(request)


def test_a_read_that_its_replica_does_not_answer_is_asked_of_another_one_beside_it() -> None:
    home = stocked(1)
    home.hold = everything
    request = home.start(get(1))
    home.wait(1)
    home.wait(SILENCE_MS - 1)
    assert len(home.held) == 1
    home.wait(1)
    first, second = home.held
    assert isinstance(first, AskRealm)
    assert isinstance(second, AskRealm)
    assert not first.anywhere
    assert (second.anywhere, second.beside) == (True, first.message.id)
    home.held = [second]
    home.release()
    assert home.is_answered(request)
    home.held = [first]
    home.release()
    home.wait(SILENCE_MS)
    assert not home.held


def test_only_the_leader_is_asked_to_validate_and_to_commit() -> None:
    home = stocked(1)
    home.run(get(1))
    home.hold = everything
    home.start_commit()
    for _ in range(3):
        home.wait(SILENCE_MS)
    assert [ask.anywhere for ask in home.held if isinstance(ask, AskRealm)] == [False]


def test_a_realm_that_does_not_answer_aborts() -> None:
    home = stocked(1)
    home.hold = everything
    request = home.start(get(1))
    while not home.is_answered(request):
        home.decline()
        home.wait(50)
    assert home.failure(request).code == Code.REALM_DOWN


def test_a_transaction_that_is_open_too_long_times_out() -> None:
    home = stocked(1)
    home.hold = everything
    request = home.start(get(1))
    home.wait(30_000)
    assert home.failure(request).code == Code.TIMED_OUT
    assert home.finished is not None
    home.release()


def test_a_commit_on_its_way_does_not_time_out() -> None:
    home = Home()
    home.hold = everything
    request = home.start(insert(1)) and home.start_commit()
    home.wait(30_000)
    home.release()
    home.reply(request)


def test_an_outcome_is_asked_for_past_the_time_of_the_transaction() -> None:
    home = Home()
    home.hold = commits
    request = home.start(insert(1)) and home.start_commit()
    home.lose(heard=True)
    home.wait(30_000)
    home.reply(request)


def test_a_transaction_with_too_many_keys_is_too_large() -> None:
    home = Home(limits=Limits(keys_per_realm=2))
    assert home.failure(home.start(insert(1), insert(2), insert(3))).code == Code.TOO_LARGE


def test_a_transaction_with_too_many_bytes_is_too_large() -> None:
    home = Home(limits=Limits(transaction_bytes=1024))
    assert home.failure(home.start(insert(1, name="x" * 2000))).code == Code.TOO_LARGE


def test_a_numbered_request_that_comes_twice_is_answered_and_not_run_twice() -> None:
    home = stocked(1)
    first = home.run(increment(1, 1), sequence=1)
    assert home.run(increment(1, 1), sequence=1) == first
    home.commit()
    assert home.realms["stock"].rows("items")[key(1)]["on_hand"] == 6


def test_a_numbered_request_that_does_not_follow_is_refused() -> None:
    home = Home()
    assert home.failure(home.start(insert(1), sequence=2)).code == Code.BAD_REQUEST


def test_reads_of_several_realms_are_asked_together() -> None:
    home = Home()
    home.hold = everything
    home.start(get(1), Get(BASKET, CARTS, key("a")), get(2))
    asked = [ask.message for ask in home.held if isinstance(ask, AskRealm)]
    assert [len(message.queries) for message in asked if isinstance(message, ReadAsked)] == [2, 1]


def test_requests_are_carried_out_one_after_the_other() -> None:
    home = Home()
    home.hold = everything
    home.start(get(1))
    second = home.start(insert(1))
    assert not home.is_answered(second)
    home.release()
    assert home.is_answered(second)


def test_an_insert_and_a_delete_leave_the_expectation_of_the_insert() -> None:
    home = Home()
    home.commit(insert(1), delete(1))
    write = home.realms["stock"].parts[0].writes[0]
    assert (write.expect, write.act) == (Expect.ABSENT, Act.DELETE)


def test_results_name_every_realm_touched() -> None:
    home = stocked(1)
    home.run(get(1))
    assert home.run(Put(BASKET, CARTS, {"owner": "a"}, key("a"))).realms == (Realm("basket"), Realm("stock"))


def test_a_part_that_read_nothing_has_no_position() -> None:
    home = stocked(1)
    home.commit(put(2))
    assert home.realms["stock"].parts[0].position == Lsn(0)


def test_the_home_sends_its_origin_with_the_commit() -> None:
    home = Home()
    home.commit(insert(1), Put(BASKET, CARTS, {"owner": "a"}, key("a")))
    submitted = home.asked[-1].message
    assert isinstance(submitted, SubmitAsked)
    assert submitted.origin == "test"
