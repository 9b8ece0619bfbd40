"""What the overlay holds, and when a value may leave it."""

from dbtm.overlay import Overlay
from grit.core.ids import Lsn
from tests.unit.dbtm.rig import ITEM, SHELF, key


def overlay(*lsns: int) -> Overlay:
    """Return an overlay of one record a transaction, the record named by its Lsn."""
    out = Overlay()
    for lsn in lsns:
        out.add(Lsn(lsn), ITEM, key(lsn), b"v%d" % lsn)
    return out


def test_the_newest_value_of_a_record_counts_and_none_is_a_delete() -> None:
    over = overlay(1)
    over.add(Lsn(2), ITEM, key(1), None)
    assert over.get(ITEM, key(1)) == (2, None)
    assert over.get(ITEM, key(2)) is None
    assert len(over) == 1


def test_only_records_of_the_collection_above_the_lsn_are_listed() -> None:
    over = overlay(1, 2)
    over.add(Lsn(3), SHELF, key(1), b"s")
    assert over.above(ITEM, Lsn(1)) == [(key(2), b"v2")]


def test_what_the_player_has_applied_leaves() -> None:
    over = overlay(1, 2, 3)
    over.applied_through(Lsn(2))
    assert (len(over), over.get(ITEM, key(3))) == (1, (3, b"v3"))


def test_an_older_value_that_leaves_does_not_take_the_newer_one_along() -> None:
    over = overlay(1)
    over.add(Lsn(2), ITEM, key(1), b"new")
    over.applied_through(Lsn(1))
    assert over.get(ITEM, key(1)) == (2, b"new")


def test_a_pin_keeps_what_was_there_until_it_is_released() -> None:
    over = overlay(1, 2)
    over.applied_through(Lsn(1))
    pinned = over.pin()
    over.applied_through(Lsn(2))
    assert over.above(ITEM, pinned) == [(key(2), b"v2")]
    over.unpin(pinned)
    assert len(over) == 0


def test_the_oldest_of_several_pins_decides() -> None:
    over = overlay(1, 2)
    first = over.pin()
    over.applied_through(Lsn(1))
    second, third = over.pin(), over.pin()
    over.applied_through(Lsn(2))
    over.unpin(second)
    assert len(over) == 2
    over.unpin(first)
    assert len(over) == 1
    over.unpin(third)
    assert len(over) == 0


def test_a_value_that_the_player_had_before_it_was_folded_is_kept_only_for_a_pin() -> None:
    over = Overlay()
    over.applied_through(Lsn(3))
    over.add(Lsn(1), ITEM, key(1), b"v")
    assert len(over) == 0
    ahead = Overlay()
    pinned = ahead.pin()
    ahead.applied_through(Lsn(3))
    ahead.add(Lsn(1), ITEM, key(1), b"v")
    assert ahead.above(ITEM, pinned) == [(key(1), b"v")]
    ahead.unpin(pinned)
    assert len(ahead) == 0


def test_what_is_applied_never_goes_back() -> None:
    over = overlay()
    over.applied_through(Lsn(3))
    over.applied_through(Lsn(1))
    assert over.applied == 3
