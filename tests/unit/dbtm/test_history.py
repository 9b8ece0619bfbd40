"""What disturbs a read, and how far back that is remembered."""

from collections.abc import Iterable

import pytest

from dbtm.history import Change, History, conflict_of
from dbtm.images import Images
from grit.core.ids import Lsn, Realm
from grit.core.parts import KeyRead, PredicateRead, Read
from grit.core.predicate import EVERYTHING, Where
from grit.core.values import Row, encode_record
from tests.unit.dbtm.rig import ITEM, SHELF, both, key, txn


def change(
    lsn: int, number: int, before: Row | None, after: Row | None, *, deltas: Iterable[str] = (), fields: str = ""
) -> Change:
    """Return a change of an item; `fields`: those that were set, beside `deltas`; by default those that differ."""
    named = None
    if before is not None and after is not None:
        named = frozenset(fields or {f for f in before.keys() | after.keys() if before.get(f) != after.get(f)})
    images = [None if row is None else encode_record(row) for row in (before, after)]
    return Change(Lsn(lsn), txn(lsn), "", ITEM, key(number), named, frozenset(deltas), *images)


def history(*changes: Change, most: int = 100) -> History:
    """Return a history of one change a transaction."""
    out = History(most)
    for one in changes:
        out.add(one.lsn, [one])
    return out


def found(past: History, read: Read, since: int, upto: int | None = None) -> int | None:
    """Return the Lsn of the write that made the read stale."""
    stale = past.find_stale_read([read], Lsn(since), None if upto is None else Lsn(upto))
    return None if stale is None else stale[1].lsn


RECORD, FIELD_A, EXISTENCE = KeyRead(ITEM, key(1)), KeyRead(ITEM, key(1), ("a",)), KeyRead(ITEM, key(1), ())
COMMUTING = KeyRead(ITEM, key(1), ("a",), commutes=True)

# --- reads of keys ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("read", [RECORD, FIELD_A, EXISTENCE, COMMUTING])
@pytest.mark.parametrize(("before", "after"), [(None, {"b": 1}), ({"b": 1}, None)])
def test_a_record_that_comes_or_goes_disturbs_every_read_of_it(
    read: KeyRead, before: Row | None, after: Row | None
) -> None:
    assert found(history(change(1, 1, before, after)), read, 0) == 1


def test_a_field_disturbs_its_readers_and_no_others() -> None:
    past = history(change(1, 1, {"a": 1, "b": 1}, {"a": 2, "b": 1}))
    assert [found(past, read, 0) for read in (RECORD, FIELD_A, EXISTENCE)] == [1, 1, None]
    assert found(past, KeyRead(ITEM, key(1), ("b",)), 0) is None


def test_an_increment_disturbs_readers_and_no_increments() -> None:
    past = history(change(1, 1, {"a": 1}, {"a": 2}, deltas=["a"]))
    assert [found(past, read, 0) for read in (RECORD, FIELD_A, COMMUTING)] == [1, 1, None]


def test_a_set_of_the_field_disturbs_increments() -> None:
    assert found(history(change(1, 1, {"a": 1}, {"a": 2})), COMMUTING, 0) == 1


def test_another_key_or_collection_disturbs_nothing() -> None:
    past = history(change(1, 2, None, {"a": 1}))
    assert found(past, RECORD, 0) is None
    assert found(past, KeyRead(SHELF, key(2)), 0) is None


def test_only_writes_above_the_position_and_up_to_the_end_count() -> None:
    past = history(change(1, 1, None, {"a": 1}), change(2, 2, None, {}), change(3, 1, {"a": 1}, {"a": 2}))
    assert [found(past, RECORD, since) for since in (0, 1, 2, 3)] == [3, 3, 3, None]
    assert [found(past, RECORD, 0, upto) for upto in (0, 1, 2, 3)] == [None, 1, 1, 3]


def test_the_conflict_names_the_first_read_and_the_newest_write() -> None:
    past = history(change(1, 1, None, {"a": 1}), change(2, 1, {"a": 1}, {"a": 2}))
    stale = past.find_stale_read([KeyRead(ITEM, key(9)), RECORD], Lsn(0))
    assert stale is not None
    conflict = conflict_of(*stale, Realm("shop"), Lsn(0))
    assert (conflict.key, conflict.winner, conflict.lsn, conflict.predicate) == (key(1), txn(2), 2, False)


# --- reads of predicates ----------------------------------------------------------------------------------

A1 = Where(both(a=1))


@pytest.mark.parametrize(
    ("before", "after", "disturbs"),
    [
        (None, {"a": 1}, True),
        ({"a": 1}, None, True),
        ({"a": 2}, {"a": 1}, True),
        ({"a": 1}, {"a": 2}, True),
        (None, {"a": 2}, False),
        ({"a": 2}, None, False),
        ({"a": 2}, {"a": 3}, False),
        ({"a": 1, "b": 1}, {"a": 1, "b": 2}, True),
    ],
)
def test_a_write_disturbs_a_predicate_when_it_matches_before_or_after(
    before: Row | None, after: Row | None, disturbs: bool
) -> None:
    past = history(change(1, 1, before, after))
    assert (found(past, PredicateRead(ITEM, A1), 0) is not None) == disturbs


def test_a_matching_record_disturbs_only_those_that_looked_at_the_field() -> None:
    past = history(change(1, 1, {"a": 1, "b": 1}, {"a": 1, "b": 2}))
    assert found(past, PredicateRead(ITEM, A1, ("b",)), 0) == 1
    assert found(past, PredicateRead(ITEM, A1, ("c",)), 0) is None
    assert found(past, PredicateRead(ITEM, A1, ()), 0) is None


def test_everything_is_disturbed_by_whatever_comes_or_goes() -> None:
    past = history(change(1, 1, None, {}), change(2, 2, {}, None))
    assert found(past, PredicateRead(ITEM, EVERYTHING, ()), 1) == 2


# --- its ends ---------------------------------------------------------------------------------------------


def test_the_oldest_go_by_whole_transactions_and_raise_the_floor() -> None:
    past = History(2)
    past.add(Lsn(1), [change(1, 1, None, {}), change(1, 2, None, {})])
    past.add(Lsn(2), [change(2, 3, None, {})])
    past.trim(Lsn(2))
    assert (past.floor, past.size()) == (1, 1)
    assert past.changes_of(ITEM, key(1)) == ()


def test_what_is_in_flight_is_never_forgotten_by_number() -> None:
    past = history(change(1, 1, None, {}), change(2, 2, None, {}), most=1)
    past.trim(Lsn(0))
    assert (past.floor, past.size()) == (0, 2)
    past.trim(Lsn(1))
    assert (past.floor, past.size()) == (1, 1)


def test_what_turned_out_void_is_forgotten_and_its_lsn_given_again() -> None:
    past = history(change(1, 1, None, {"a": 1}), change(2, 1, {"a": 1}, {"a": 2}), change(3, 2, None, {}))
    past.truncate(Lsn(1))
    assert (past.newest, past.size()) == (1, 1)
    past.add(Lsn(2), [change(2, 1, {"a": 1}, {"a": 9})])
    assert found(past, FIELD_A, 1) == 2


def test_a_transaction_that_wrote_nothing_uses_its_lsn() -> None:
    past = History(1)
    past.add(Lsn(1), [])
    past.add(Lsn(2), [change(2, 1, None, {})])
    assert past.newest == 2
    past.truncate(Lsn(1))
    assert past.newest == 1


def test_the_changes_of_a_collection_come_newest_first_and_above_the_lsn() -> None:
    past = history(change(1, 1, None, {}), change(2, 2, None, {}), change(3, 1, {}, {"a": 1}))
    assert [one.lsn for one in past.changes_above(ITEM, Lsn(1))] == [3, 2]
    assert past.changes_above(SHELF, Lsn(0)) == []


# --- images -----------------------------------------------------------------------------------------------


def test_the_newest_image_counts_what_is_in_flight_and_the_durable_one_does_not() -> None:
    past = history(change(1, 1, None, {"a": 1}), change(2, 1, {"a": 1}, {"a": 2}))
    images = Images(past, 10)
    assert images.newest(ITEM, key(1)) == encode_record({"a": 2})
    assert images.durable(ITEM, key(1), Lsn(1)) == encode_record({"a": 1})
    assert images.durable(ITEM, key(1), Lsn(0)) is None


def test_an_image_that_is_not_known_is_neither_absent_nor_there() -> None:
    images = Images(History(10), 10)
    assert images.newest(ITEM, key(1)) is not None
    images.note(ITEM, key(1), None)
    assert images.newest(ITEM, key(1)) is None


def test_the_least_recently_used_image_goes_first() -> None:
    images = Images(History(10), 2)
    images.note(ITEM, key(1), b"1")
    images.note(ITEM, key(2), b"2")
    assert images.newest(ITEM, key(1)) == b"1"
    images.note(ITEM, key(3), b"3")
    assert images.newest(ITEM, key(1)) == b"1"
    assert images.newest(ITEM, key(2)) not in {b"2", None}


def test_after_void_writes_only_the_history_is_known() -> None:
    past = history(change(1, 1, None, {"a": 1}))
    images = Images(past, 10)
    images.note(ITEM, key(1), b"void")
    images.note(ITEM, key(2), b"void")
    images.forget()
    assert images.newest(ITEM, key(1)) == encode_record({"a": 1})
    assert images.newest(ITEM, key(2)) != b"void"
