"""Reads: exact at the durable tail, from a database that may lag, may be ahead, and may move while it is read."""

from dbtm.effects import StoreRead
from grit.core.ids import Epoch, Lsn, Offset
from grit.core.limits import Limits
from grit.core.messages import ExtendAnswered, ExtendAsked, ReadAnswered
from grit.core.parts import KeyRead, PredicateRead
from grit.core.predicate import EVERYTHING, Where
from grit.core.queries import Cursor, FindRows, GetRows, OrderBy, RowWrite, StoreAnswer
from grit.core.records import Genesis
from grit.core.steps import DBTL
from grit.core.values import decode_record
from tests.unit.dbtm.rig import HOME, ITEM, SHOP, Rig, both, delete, key, part, patch, put

BY_A = (OrderBy("a"),)


def numbers(rig: Rig, request: int) -> list[int]:
    """Return the ids of the items of the one query of a read."""
    (rows,) = rig.read(request).rows
    return [decode_record(row)["id"] for _, row in rows]


def cold_with_row() -> Rig:
    """Return a machine that holds no image of a row that the database has."""
    rig = Rig()
    rows = [RowWrite(ITEM, key(1), {"id": 1, "a": 1})]
    assert rig.store.apply_now(None, rows, Cursor("log-d1", Offset(0), Epoch(0), Lsn(0)))
    rig.logs[DBTL].append(Genesis("log-d1", SHOP, 1))
    rig.serve()
    return rig


def find(a: int | None = None, limit: int | None = None) -> FindRows:
    """Return a query, ordered by `a`."""
    return FindRows(ITEM, EVERYTHING if a is None else Where(both(a=a)), BY_A, limit)


# --- position ---------------------------------------------------------------------------------------------


def test_an_answer_is_exact_at_the_durable_tail(rig: Rig) -> None:
    rig.committed(1, put(1, a=1))
    rig.admit(2, put(1, a=2))
    request = rig.ask(GetRows(ITEM, (key(1),)))
    assert rig.answers(ReadAnswered) == []  # the write in flight will most likely be durable soon
    rig.pass_time(100)
    (rows,) = rig.read(request).rows
    assert (rig.read(request).position, decode_record(rows[0][1])["a"]) == (1, 1)


def test_a_first_read_claims_to_be_true_no_longer_than_now(rig: Rig) -> None:
    rig.committed(1, put(1))
    request = rig.ask(GetRows(ITEM, (key(1),)))
    assert rig.read(request).exact_from == 1


def test_a_read_of_a_write_in_flight_is_answered_once_that_is_durable(rig: Rig) -> None:
    rig.committed(1, put(1, a=1))
    rig.admit(2, put(1, a=2))
    request = rig.ask(GetRows(ITEM, (key(1),)))
    rig.settle()
    (rows,) = rig.read(request).rows
    assert (rig.read(request).position, decode_record(rows[0][1])["a"]) == (2, 2)


def test_what_was_read_before_anything_was_committed_is_not_taken_for_a_first_read(rig: Rig) -> None:
    first = rig.ask(GetRows(ITEM, (key(1),)))
    rig.settle()
    assert rig.read(first).position == 0
    rig.committed(1, put(2))
    second = rig.ask(GetRows(ITEM, (key(2),)), position=0)
    assert (rig.read(second).position, rig.read(second).exact_from) == (1, 1)


def test_an_answer_that_was_true_at_the_asked_position_says_so(rig: Rig) -> None:
    rig.committed(1, put(1))
    rig.committed(2, put(2))
    request = rig.ask(GetRows(ITEM, (key(1),)), position=1)
    assert (rig.read(request).position, rig.read(request).exact_from) == (2, 1)


def test_an_answer_that_was_not_yet_true_there_says_so(rig: Rig) -> None:
    rig.committed(1, put(1))
    rig.committed(2, put(1, a=1))
    request = rig.ask(GetRows(ITEM, (key(1),)), position=1)
    assert (rig.read(request).position, rig.read(request).exact_from) == (2, 2)


def test_a_read_above_the_tail_waits_for_it(rig: Rig) -> None:
    rig.committed(1, put(1))
    request = rig.ask(GetRows(ITEM, (key(1),)), position=2)
    assert rig.answers(ReadAnswered) == []
    rig.committed(2, put(2))
    assert rig.read(request).position == 2


# --- overlay and database ---------------------------------------------------------------------------------


def test_durable_values_replace_add_and_remove_rows_of_a_database_that_lags(rig: Rig) -> None:
    rig.committed(1, put(1, a=1), put(2, a=2), put(3, a=3))
    rig.play()
    rig.committed(2, put(1, a=9), delete(2), put(4, a=4))
    request = rig.ask(find())
    rig.settle()
    assert numbers(rig, request) == [3, 4, 1]


def test_a_row_that_no_longer_matches_leaves_the_answer_and_one_that_does_now_joins_it(rig: Rig) -> None:
    rig.committed(1, put(1, a=1), put(2, a=2))
    rig.play()
    rig.committed(2, patch(1, a=2), patch(2, a=1))
    request = rig.ask(find(a=1))
    rig.settle()
    assert numbers(rig, request) == [2]


def test_a_read_of_a_database_that_is_ahead_waits_for_the_tail(rig: Rig) -> None:
    rig.committed(1, put(1, a=1))
    rig.play()
    rig.admit(2, put(2, a=2))
    rig.land()
    rig.play()
    request = rig.ask(find())
    rig.answer()
    assert rig.answers(ReadAnswered) == []
    rig.settle()
    assert (numbers(rig, request), rig.read(request).position) == ([1, 2], 2)


def test_a_torn_look_is_repaired(rig: Rig) -> None:
    """The player applies between the rows of one query and the next, and between rows and position."""
    rig.committed(1, put(1, a=1), put(2, a=2))
    rig.play()
    request = rig.ask(find(), GetRows(ITEM, (key(1), key(2))))
    (look,) = rig.looks
    rig.looks.clear()
    before = rig.store.read_now(look.queries)
    rig.committed(2, put(1, a=5), delete(2))
    rig.play()
    after = rig.store.read_now(look.queries)
    rig.step(StoreRead(look.id, StoreAnswer(before.before, (before.rows[0], after.rows[1]), after.after)))
    answer = rig.read(request)
    assert [[decode_record(row) for _, row in rows] for rows in answer.rows] == [[{"id": 1, "a": 5}]] * 2


def test_the_overlay_keeps_what_a_read_under_way_may_need_though_the_player_has_it(rig: Rig) -> None:
    rig.committed(1, put(1, a=1))
    rig.play()
    slow = rig.ask(find())
    look = rig.looks.pop()
    stale = rig.store.read_now(look.queries)
    rig.committed(2, put(1, a=2))
    rig.play()
    rig.ask(find())
    rig.settle()
    rig.step(StoreRead(look.id, stale))
    (rows,) = rig.read(slow).rows
    assert decode_record(rows[0][1]) == {"id": 1, "a": 2}


def test_what_the_player_has_leaves_the_overlay_when_nobody_reads(rig: Rig) -> None:
    rig.committed(1, put(1, a=1))
    assert rig.describe()["overlay"] == 1
    rig.play()
    rig.pass_time(300)
    rig.settle()
    assert rig.describe()["overlay"] == 0


def test_a_read_by_key_fills_the_images_and_the_next_one_asks_nobody() -> None:
    after = cold_with_row()
    assert after.get(1) == {"id": 1, "a": 1}
    after.ask(GetRows(ITEM, (key(1),)))
    assert after.looks == []


def test_an_image_that_a_slow_read_brings_does_not_undo_a_write() -> None:
    after = cold_with_row()
    after.ask(GetRows(ITEM, (key(1),)))
    look = after.looks.pop()
    stale = after.store.read_now(look.queries)
    after.committed(2, put(1, a=2))
    after.step(StoreRead(look.id, stale))
    assert after.get(1) == {"id": 1, "a": 2}


# --- limits -----------------------------------------------------------------------------------------------


def test_a_limit_asks_for_as_many_rows_more_as_the_overlay_may_take_out(rig: Rig) -> None:
    rig.committed(1, *(put(n, a=n) for n in range(10)))
    rig.play()
    rig.pass_time(300)
    rig.settle()
    rig.committed(2, delete(0), delete(1))
    request = rig.ask(find(limit=2))
    (look,) = rig.looks
    assert [query.limit for query in look.queries if isinstance(query, FindRows)] == [4]
    rig.settle()
    assert numbers(rig, request) == [2, 3]


def test_a_limited_read_is_repeated_when_too_few_rows_remain(rig: Rig) -> None:
    rig.committed(1, *(put(n, a=n) for n in range(10)))
    rig.play()
    rig.pass_time(300)
    rig.settle()
    request = rig.ask(find(limit=3))
    look = rig.looks.pop()
    stale = rig.store.read_now(look.queries)
    rig.committed(2, *(delete(n) for n in range(8)))
    rig.step(StoreRead(look.id, stale))
    assert rig.answers(ReadAnswered) == []
    rig.settle()
    assert numbers(rig, request) == [8, 9]


def test_a_row_that_moved_behind_rows_that_were_not_fetched_is_not_taken_for_the_next(rig: Rig) -> None:
    rig.committed(1, *(put(n, a=n) for n in range(10)))
    rig.play()
    rig.pass_time(300)
    rig.settle()
    request = rig.ask(find(limit=2))
    look = rig.looks.pop()
    stale = rig.store.read_now(look.queries)
    rig.committed(2, patch(0, a=100))
    rig.step(StoreRead(look.id, stale))
    rig.settle()
    assert numbers(rig, request) == [1, 2]


def test_a_limit_of_nothing_is_answered_with_nothing(rig: Rig) -> None:
    rig.committed(1, put(1))
    rig.play()
    rig.pass_time(300)
    rig.settle()
    request = rig.ask(find(limit=0))
    rig.settle()
    assert numbers(rig, request) == []


# --- undecided writers ------------------------------------------------------------------------------------


def test_a_read_of_what_an_undecided_part_writes_waits_for_its_outcome(rig: Rig) -> None:
    rig.coordinate()
    rig.committed(1, put(1, a=1))
    rig.voted(1, (50, part(patch(1, a=2))))
    request = rig.ask(GetRows(ITEM, (key(1),)))
    assert rig.answers(ReadAnswered) == []
    rig.push((50, True, 1, 0))
    rig.settle()
    (rows,) = rig.read(request).rows
    assert decode_record(rows[0][1])["a"] in {1, 2}


def test_a_read_that_has_waited_long_enough_takes_the_old_value(rig: Rig) -> None:
    rig.coordinate()
    rig.committed(1, put(1, a=1))
    rig.voted(1, (50, part(patch(1, a=2))))
    request = rig.ask(GetRows(ITEM, (key(1),)))
    rig.pass_time(100)
    (rows,) = rig.read(request).rows
    assert decode_record(rows[0][1])["a"] == 1


def test_a_read_of_another_record_does_not_wait(rig: Rig) -> None:
    rig.coordinate()
    rig.committed(1, put(1, a=1), put(2, a=2))
    rig.voted(1, (50, part(patch(1, a=2))))
    rig.ask(GetRows(ITEM, (key(2),)))
    assert len(rig.answers(ReadAnswered)) == 1


# --- extend -----------------------------------------------------------------------------------------------


def extended(rig: Rig, read: KeyRead | PredicateRead, since: int, upto: int) -> ExtendAnswered:
    """Ask for an extension; return the answer."""
    rig.receive(ExtendAsked(77, (read,), Lsn(since), Lsn(upto)), HOME)
    return rig.answers(ExtendAnswered)[-1]


def test_reads_that_nobody_overwrote_are_extended(rig: Rig) -> None:
    rig.committed(1, put(1))
    rig.committed(2, put(2))
    assert extended(rig, KeyRead(ITEM, key(1)), 1, 2) == ExtendAnswered(77)


def test_reads_that_were_overwritten_up_to_the_new_position_are_not(rig: Rig) -> None:
    rig.committed(1, put(1))
    rig.committed(2, put(1, a=1))
    conflict = extended(rig, KeyRead(ITEM, key(1)), 1, 2).conflict
    assert conflict is not None
    assert (conflict.lsn, conflict.position) == (2, 1)


def test_an_overwrite_above_the_new_position_does_not_count(rig: Rig) -> None:
    rig.committed(1, put(1))
    rig.committed(2, put(2))
    rig.committed(3, put(1, a=1))
    assert extended(rig, KeyRead(ITEM, key(1)), 1, 2) == ExtendAnswered(77)


def test_an_extension_beyond_what_is_remembered_is_too_old() -> None:
    rig = Rig(limits=Limits(history_keys=1))
    rig.serve()
    for number in (1, 2, 3):
        rig.committed(number, put(number))
    assert extended(rig, KeyRead(ITEM, key(1)), 1, 3).too_old


def test_an_extension_beyond_the_tail_waits_for_it(rig: Rig) -> None:
    rig.committed(1, put(1))
    rig.receive(ExtendAsked(77, (KeyRead(ITEM, key(1)),), Lsn(1), Lsn(2)), HOME)
    assert not rig.answers(ExtendAnswered)
    rig.committed(2, put(2))
    assert rig.answers(ExtendAnswered) == [ExtendAnswered(77)]


def test_a_database_that_is_away_declines_the_read_and_leaves_no_pin(rig: Rig) -> None:
    rig.committed(1, put(1))
    request = rig.ask(find())
    rig.fail_looks()
    assert rig.declined(request).code == "OVERLOADED"
    rig.play()
    rig.pass_time(300)
    rig.settle()
    assert rig.describe()["overlay"] == 0
