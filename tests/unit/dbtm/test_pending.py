"""Undecided parts: three-valued tests against writes that may or may not happen."""

from collections.abc import Sequence

from dbtm.constraints import Planned, plan_write
from dbtm.pending import Pending, PendingPart
from grit.core.ids import Epoch, Millis, TxnId
from grit.core.parts import KeyRead, PredicateRead, Read, Write, encode_part
from grit.core.predicate import Where
from grit.core.values import Row, encode_record
from tests.unit.dbtm.rig import ITEM, add, both, delete, insert, key, part, patch, put, txn


def planned(write: Write, before: Row | None) -> Planned:
    """Return a write with its images."""
    return plan_write(write, None if before is None else encode_record(before))


class Undecided:
    """Pending parts on one record, item 1, whose newest image is `before`."""

    def __init__(self, before: Row | None = None) -> None:
        self.pending = Pending()
        self.before = before

    def add(self, number: int, *writes: Write, reads: Sequence[Read] = ()) -> None:
        """Take a part that was voted for."""
        whole = part(*writes, reads=reads)
        pending = PendingPart(
            txn(number), Epoch(1), number, encode_part(whole), whole, tuple(reads), writes, Millis(0), "", ""
        )
        image = None if self.before is None else encode_record(self.before)
        self.pending.add(pending, {(w.collection, w.key): image for w in writes})

    def writers(self, read: Read) -> list[TxnId]:
        """Return whose writes may disturb the read."""
        return self.pending.writers_that_disturb([read])

    def readers(self, write: Write) -> list[TxnId]:
        """Return who read what the write may disturb."""
        return self.pending.readers_disturbed_by([planned(write, self.before)])


A1, A1B1 = PredicateRead(ITEM, Where(both(a=1))), PredicateRead(ITEM, Where(both(a=1, b=1)))

# --- one write --------------------------------------------------------------------------------------------


def test_a_patch_disturbs_reads_of_its_fields_only() -> None:
    one = Undecided({"a": 0})
    one.add(1, patch(1, a=1))
    assert one.writers(KeyRead(ITEM, key(1), ("a",))) == [txn(1)]
    assert one.writers(KeyRead(ITEM, key(1))) == [txn(1)]
    assert one.writers(KeyRead(ITEM, key(1), ("b",))) == []
    assert one.writers(KeyRead(ITEM, key(1), ())) == []


def test_a_put_an_insert_and_a_delete_disturb_every_read_of_the_record() -> None:
    for write in (put(1, a=1), insert(1, a=1), delete(1)):
        one = Undecided({"a": 0})
        one.add(1, write)
        assert one.writers(KeyRead(ITEM, key(1), ())) == [txn(1)]


def test_an_increment_disturbs_readers_of_the_field_and_no_increments() -> None:
    one = Undecided({"n": 5})
    one.add(1, add(1, 1))
    assert one.writers(KeyRead(ITEM, key(1), ("n",))) == [txn(1)]
    assert one.writers(KeyRead(ITEM, key(1), ("n",), commutes=True)) == []


def test_a_predicate_is_tested_against_both_images_of_a_write() -> None:
    for before, after, disturbed in (({"a": 1}, 2, True), ({"a": 2}, 1, True), ({"a": 2}, 3, False)):
        one = Undecided(before)
        one.add(1, patch(1, a=after))
        assert bool(one.writers(A1)) == disturbed


def test_own_fields_are_known_as_they_were_and_as_they_are_set() -> None:
    one = Undecided({"a": 0, "b": 1})
    one.add(1, patch(1, a=2))
    assert one.writers(A1B1) == []


def test_an_incremented_field_is_unknown() -> None:
    one = Undecided({"n": 5})
    one.add(1, add(1, 1))
    assert one.writers(PredicateRead(ITEM, Where(both(n=77)))) == [txn(1)]
    assert one.writers(PredicateRead(ITEM, Where(both(a=77)))) == []


# --- two writes of one record -----------------------------------------------------------------------------


def test_a_field_that_another_undecided_write_changes_is_unknown() -> None:
    """Neither patch alone makes the record match; both together do."""
    both_undecided = Undecided({"a": 0, "b": 0})
    both_undecided.add(1, patch(1, a=1))
    both_undecided.add(2, patch(1, b=1))
    assert both_undecided.writers(A1B1) == [txn(1), txn(2)]


def test_a_field_that_nobody_sets_to_match_stays_known() -> None:
    both_undecided = Undecided({"a": 0, "b": 0})
    both_undecided.add(1, patch(1, a=2))
    both_undecided.add(2, patch(1, c=1))
    assert both_undecided.writers(A1B1) == []


def test_beside_an_undecided_put_nothing_of_the_record_is_known() -> None:
    beside = Undecided({"a": 0, "b": 0})
    beside.add(1, put(1, a=5, b=5))
    beside.add(2, patch(1, a=1))
    assert beside.writers(A1B1) == [txn(2)]


def test_disjoint_patches_do_not_overlap_and_a_common_field_does() -> None:
    one = Undecided({"a": 0, "b": 0})
    one.add(1, patch(1, a=1))
    assert one.pending.writers_of_same([planned(patch(1, b=1), one.before)]) == []
    assert one.pending.writers_of_same([planned(patch(1, a=2), one.before)]) == [txn(1)]
    assert one.pending.writers_of_same([planned(put(1, c=1), one.before)]) == [txn(1)]


def test_two_increments_do_not_overlap_and_an_increment_and_a_set_do() -> None:
    one = Undecided({"n": 0})
    one.add(1, add(1, 1))
    assert one.pending.writers_of_same([planned(add(1, 1), one.before)]) == []
    assert one.pending.writers_of_same([planned(patch(1, n=1), one.before)]) == [txn(1)]


# --- the readers' side ------------------------------------------------------------------------------------


def test_a_write_finds_the_pending_readers_of_what_it_changes() -> None:
    one = Undecided({"a": 0, "b": 0})
    one.add(1, reads=[KeyRead(ITEM, key(1), ("a",))])
    one.add(2, reads=[KeyRead(ITEM, key(1), ("b",))])
    one.add(3, reads=[A1])
    assert one.readers(patch(1, a=1)) == [txn(1), txn(3)]


def test_a_write_that_matches_only_together_with_an_undecided_one_finds_the_reader() -> None:
    one = Undecided({"a": 0, "b": 0})
    one.add(1, reads=[A1B1])
    one.add(2, patch(1, a=1))
    assert one.readers(patch(1, b=1)) == [txn(1)]
    assert one.readers(patch(1, b=2)) == []


def test_the_image_moves_with_what_is_decided_meanwhile() -> None:
    one = Undecided({"a": 0, "b": 0})
    one.add(1, patch(1, a=1))
    assert one.writers(A1B1) == []
    one.pending.note(ITEM, key(1), encode_record({"a": 0, "b": 1}))
    assert one.writers(A1B1) == [txn(1)]


# --- bookkeeping ------------------------------------------------------------------------------------------


def test_increments_of_a_field_are_listed_and_no_others() -> None:
    one = Undecided({"n": 0, "a": 0})
    one.add(1, add(1, 3))
    one.add(2, add(1, -2))
    one.add(3, add(1, 7, "a"))
    assert one.pending.deltas_on(ITEM, key(1), "n") == [3, -2]


def test_a_part_that_is_decided_leaves_nothing_behind() -> None:
    one = Undecided({"a": 0})
    read = KeyRead(ITEM, key(1))
    one.add(1, patch(1, a=1), reads=[read, A1])
    one.add(2, patch(1, a=2), reads=[read, read])
    for number in (1, 2):
        assert one.pending.remove(txn(number)) is not None
        assert one.pending.remove(txn(number)) is None
    tables = vars(one.pending)
    assert {name: table for name, table in tables.items() if table and table != {ITEM: {}}} == {}


def test_the_order_is_that_of_the_votes() -> None:
    one = Undecided({"a": 0})
    for number in (3, 1, 2):
        one.add(number, patch(1, a=number))
    assert one.writers(KeyRead(ITEM, key(1))) == [txn(3), txn(1), txn(2)]
    assert list(one.pending.writers_of(ITEM, key(1))) == [txn(3), txn(1), txn(2)]
    assert not one.pending.writers_of(ITEM, key(2))
