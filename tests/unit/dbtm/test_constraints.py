"""What the writes of a part count on, as answers to the commits of locals."""

from grit.core.ids import Epoch, Lsn, Offset
from grit.core.limits import Limits
from grit.core.parts import Act, Expect, Write
from grit.core.queries import Cursor, RowWrite
from grit.core.records import Genesis
from grit.core.steps import DBTL
from grit.core.values import encode_record
from tests.unit.dbtm.rig import KNOWS, PERSON, SHELF, SHOP, Rig, add, delete, insert, key, patch, put


def code(rig: Rig, number: int, *writes: Write) -> str:
    """Commit; return why not, "" when it did."""
    rig.commit(number, *writes)
    rig.settle()
    return rig.outcome(number).code


def knows(start: int, end: int) -> Write:
    """Join two persons."""
    row = encode_record({"start": start, "end": end})
    return Write(KNOWS, key(start, end), Expect.ANYTHING, Act.REPLACE, row)


# --- existence --------------------------------------------------------------------------------------------


def test_an_insert_of_what_is_there_is_refused(rig: Rig) -> None:
    rig.committed(1, put(1))
    assert code(rig, 2, insert(1)) == "ALREADY_EXISTS"


def test_a_patch_a_delete_and_an_increment_of_what_is_not_there_are_refused(rig: Rig) -> None:
    assert code(rig, 1, patch(1, a=1)) == "NOT_FOUND"
    assert code(rig, 2, delete(1)) == "NOT_FOUND"
    assert code(rig, 3, add(1, 1)) == "NOT_FOUND"


def test_a_decrement_of_what_is_not_there_is_not_found_and_no_bound(rig: Rig) -> None:
    assert code(rig, 1, add(1, -1)) == "NOT_FOUND"


def test_a_blind_put_counts_on_nothing(rig: Rig) -> None:
    rig.committed(1, put(1, a=1))
    assert code(rig, 2, put(1, a=2)) == ""


# --- CHECK ------------------------------------------------------------------------------------------------


def test_a_check_that_a_null_leaves_undecided_is_not_broken(rig: Rig) -> None:
    assert code(rig, 1, put(1)) == ""
    assert code(rig, 2, put(2, low=20)) == ""


def test_a_check_is_judged_on_the_whole_record_after_a_change_of_one_field(rig: Rig) -> None:
    rig.committed(1, put(1, low=1, high=1))
    assert code(rig, 2, patch(1, low=20)) == "CONSTRAINT"
    assert code(rig, 3, patch(1, low=20, high=20)) == ""
    assert code(rig, 4, patch(1, high=1)) == "CONSTRAINT"


def test_a_check_of_other_fields_is_not_judged(rig: Rig) -> None:
    rig.committed(1, put(1, low=1, high=1))
    assert code(rig, 2, patch(1, a=1)) == ""


# --- bounds -----------------------------------------------------------------------------------------------


def test_a_field_that_is_set_must_lie_in_its_bounds(rig: Rig) -> None:
    assert code(rig, 1, put(1, n=101)) == "BOUND_VIOLATION"
    assert code(rig, 2, put(1, n=100)) == ""
    assert code(rig, 3, patch(1, n=-1)) == "BOUND_VIOLATION"
    assert code(rig, 4, patch(1, n=0)) == ""


def test_an_increment_may_reach_a_bound_and_not_pass_it(rig: Rig) -> None:
    rig.committed(1, put(1, n=3))
    assert code(rig, 2, add(1, -4)) == "BOUND_VIOLATION"
    assert code(rig, 3, add(1, -3)) == ""
    assert code(rig, 4, add(1, 101)) == "BOUND_VIOLATION"


def test_an_increment_of_a_missing_field_begins_at_zero(rig: Rig) -> None:
    rig.committed(1, put(1))
    assert code(rig, 2, add(1, 7)) == ""
    assert rig.get(1) == {"id": 1, "n": 7}


def test_an_unbounded_int_stays_within_64_bits(rig: Rig) -> None:
    rig.committed(1, put(1, a=2**63 - 1))
    assert code(rig, 2, add(1, 1, "a")) == "BOUND_VIOLATION"


# --- UNIQUE -----------------------------------------------------------------------------------------------


def test_two_records_cannot_hold_one_unique_value(rig: Rig) -> None:
    rig.committed(1, put(1, sku="x"))
    assert code(rig, 2, put(2, sku="x")) == "CONSTRAINT"
    assert code(rig, 3, put(2, sku="y")) == ""
    assert code(rig, 4, patch(2, sku="x")) == "CONSTRAINT"


def test_two_records_of_one_part_cannot_hold_one_unique_value(rig: Rig) -> None:
    assert code(rig, 1, put(1, sku="x"), put(2, sku="x")) == "CONSTRAINT"


def test_a_record_may_keep_its_own_unique_value(rig: Rig) -> None:
    rig.committed(1, put(1, sku="x"))
    assert code(rig, 2, put(1, sku="x", a=1)) == ""


def test_a_unique_value_may_move_within_one_part(rig: Rig) -> None:
    rig.committed(1, put(1, sku="x"))
    assert code(rig, 2, delete(1), put(2, sku="x")) == ""


def test_nulls_are_not_unique(rig: Rig) -> None:
    rig.committed(1, put(1), put(2))
    assert code(rig, 2, put(3)) == ""


def test_a_group_is_unique_only_where_none_of_it_is_null(rig: Rig) -> None:
    rig.committed(1, put(1, left=1), put(2, left=1))
    assert code(rig, 2, put(3, left=1, right=2)) == ""
    assert code(rig, 3, put(4, left=1, right=2)) == "CONSTRAINT"
    assert code(rig, 4, patch(1, right=2)) == "CONSTRAINT"


def test_a_unique_value_that_is_in_flight_counts(rig: Rig) -> None:
    rig.admit(1, put(1, sku="x"))
    rig.admit(2, put(2, sku="x"))
    rig.settle()
    assert rig.outcome(1).code == ""
    assert rig.outcome(2).code == "CONSTRAINT"


def test_a_unique_value_in_the_database_counts_and_one_deleted_since_does_not(rig: Rig) -> None:
    rig.committed(1, put(1, sku="x"), put(2, sku="y"))
    rig.play()
    rig.committed(2, delete(2))
    assert code(rig, 3, put(3, sku="x")) == "CONSTRAINT"
    assert code(rig, 4, put(3, sku="y")) == ""


# --- foreign keys and relationships -----------------------------------------------------------------------


def test_a_child_needs_its_parent(rig: Rig) -> None:
    assert code(rig, 1, put(1, shelf=7)) == "CONSTRAINT"
    rig.committed(2, put(7, SHELF))
    assert code(rig, 3, put(1, shelf=7)) == ""


def test_parent_and_child_may_come_in_one_part(rig: Rig) -> None:
    assert code(rig, 1, put(1, shelf=7), put(7, SHELF)) == ""


def test_a_parent_with_children_cannot_go(rig: Rig) -> None:
    rig.committed(1, put(7, SHELF), put(1, shelf=7))
    assert code(rig, 2, delete(7, SHELF)) == "CONSTRAINT"


def test_a_parent_may_go_with_its_children_or_after_they_left_it(rig: Rig) -> None:
    rig.committed(1, put(7, SHELF), put(8, SHELF), put(1, shelf=7), put(2, shelf=8))
    assert code(rig, 2, delete(7, SHELF), delete(1)) == ""
    assert code(rig, 3, delete(8, SHELF), patch(2, shelf=None)) == ""


def test_a_child_cannot_name_a_parent_that_its_own_part_deletes(rig: Rig) -> None:
    rig.committed(1, put(7, SHELF))
    assert code(rig, 2, delete(7, SHELF), put(1, shelf=7)) == "CONSTRAINT"


def test_a_relationship_needs_both_of_its_nodes(rig: Rig) -> None:
    rig.committed(1, put(1, PERSON))
    assert code(rig, 2, knows(1, 2)) == "CONSTRAINT"
    rig.committed(3, put(2, PERSON))
    assert code(rig, 4, knows(1, 2)) == ""


def test_a_node_with_relationships_cannot_go_at_either_end(rig: Rig) -> None:
    rig.committed(1, put(1, PERSON), put(2, PERSON), knows(1, 2))
    assert code(rig, 2, delete(1, PERSON)) == "CONSTRAINT"
    assert code(rig, 3, delete(2, PERSON)) == "CONSTRAINT"
    unlink = Write(KNOWS, key(1, 2), Expect.PRESENT, Act.DELETE)
    assert code(rig, 4, delete(1, PERSON), unlink) == ""


def test_a_parent_that_was_known_to_be_absent_is_absent_even_when_it_is_forgotten_meanwhile() -> None:
    rig = Rig(limits=Limits(images_records=1))
    shelf = RowWrite(SHELF, key(8), {"id": 8})
    assert rig.store.apply_now(None, [shelf], Cursor("log-d1", Offset(0), Epoch(0), Lsn(0)))
    rig.logs[DBTL].append(Genesis("log-d1", SHOP, 1))
    rig.serve()
    rig.committed(1, put(1), put(2))
    assert code(rig, 2, put(1, shelf=7)) == "CONSTRAINT"
    assert code(rig, 3, put(1, shelf=7), put(2, shelf=8)) == "CONSTRAINT"
