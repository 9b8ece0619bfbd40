"""Transactions that read on a cut and write: what of serializability is left, and what is not (protocol.md section 8)."""

import pytest

from grit.core.ids import Collection, Realm
from tests.scenarios.conftest import Stage
from tests.scenarios.hand import Hand
from tests.sim.programs import DOCS, DOCUMENT, ITEMS, TABLE

PLACES = {"one realm": ((TABLE, ITEMS), (TABLE, ITEMS)), "two realms": ((TABLE, ITEMS), (DOCUMENT, DOCS))}
Place = tuple[Realm, Collection]


def begin(stage: Stage, name: str, way: str) -> Hand:
    """Begin a transaction that writes, strict or on a snapshot."""
    return stage.begin(name) if way == "strict" else stage.begin_snapshot(name, read_only=False)


def value(hand: Hand, place: Place, key: int) -> int:
    """Read the field that these scenarios write."""
    row = hand.get(*place, key)
    assert row is not None
    found: int = row["a"]
    return found


@pytest.mark.parametrize("where", sorted(PLACES))
@pytest.mark.parametrize(("way", "outcomes"), [("snapshot", 2), ("strict", 1)])
def test_write_skew_is_the_difference_and_happens_on_snapshots_only(
    stage: Stage, way: str, outcomes: int, where: str
) -> None:
    """Each of two reads both records and sets one if the other is still 0: one after the other, only one may."""
    first, second = PLACES[where]
    one, other = begin(stage, "one", way), begin(stage, "other", way)
    for hand in (one, other):
        assert (value(hand, first, 1), value(hand, second, 2)) == (0, 0)
    one.patch(*first, 1, a=1)
    other.patch(*second, 2, a=1)
    one.send_commit()
    other.send_commit()
    assert [one.outcome(), other.outcome()].count("COMMITTED") == outcomes


@pytest.mark.parametrize("way", ["patch", "put", "delete"])
@pytest.mark.parametrize("spanning", [False, True])
def test_of_two_that_write_what_both_have_read_the_first_commits_and_the_other_aborts(
    stage: Stage, way: str, *, spanning: bool
) -> None:
    hands = [stage.begin_snapshot(name, read_only=False) for name in ("one", "other")]
    for hand in hands:
        assert value(hand, (TABLE, ITEMS), 1) == 0
        if way == "patch":
            hand.patch(TABLE, ITEMS, 1, a=1)
        elif way == "put":
            hand.put(TABLE, ITEMS, {"k": 1, "a": 1, "n": 0})
        else:
            hand.delete(TABLE, ITEMS, 1)
        if spanning:
            hand.patch(DOCUMENT, DOCS, 2 if hand is hands[0] else 1, a=1)
    assert hands[0].commit() == "COMMITTED"
    assert hands[1].commit() == "READ_CONFLICT"


def test_no_update_is_lost_among_many(stage: Stage) -> None:
    committed = 0
    for turn in range(4):
        hands = [stage.begin_snapshot(f"{turn}.{i}", read_only=False) for i in range(4)]
        for at, hand in enumerate(hands):
            found = value(hand, (TABLE, ITEMS), 1)
            hand.patch(TABLE, ITEMS, 1, a=found + 1)
            if at % 2:
                hand.patch(DOCUMENT, DOCS, 1, a=turn)
        for hand in hands:
            hand.send_commit()
        committed += [hand.outcome() for hand in hands].count("COMMITTED")
    assert value(stage.begin("reader"), (TABLE, ITEMS), 1) == committed >= 4


def test_a_realm_that_is_only_written_is_held_to_the_cut_too(stage: Stage) -> None:
    """What the reader did not see elsewhere, it must not overwrite: the cut says when it read, in every realm."""
    reader, writer = stage.begin_snapshot("reader", read_only=False), stage.begin("writer")
    assert value(reader, (TABLE, ITEMS), 1) == 0
    writer.patch(TABLE, ITEMS, 1, a=5)
    writer.patch(DOCUMENT, DOCS, 1, a=5)
    assert writer.commit() == "COMMITTED"
    reader.patch(DOCUMENT, DOCS, 1, a=9)
    assert reader.commit() == "READ_CONFLICT"


def test_a_realm_that_was_only_read_has_no_part_in_the_commit(stage: Stage) -> None:
    hand = stage.begin_snapshot("hand", read_only=False)
    assert value(hand, (DOCUMENT, DOCS), 1) == 0
    hand.patch(TABLE, ITEMS, 1, a=1)
    hand.send_commit()
    assert hand.committed().outcome.lsn > 0  # the DBTM of the one realm has decided


def test_increments_of_snapshots_follow_each_other_in_any_order(stage: Stage) -> None:
    hands = [stage.begin_snapshot(name, read_only=False) for name in ("one", "other")]
    for hand in hands:
        assert value(hand, (TABLE, ITEMS), 2) == 0
        hand.add(TABLE, ITEMS, 1, "n", -1)
    assert [hand.commit() for hand in hands] == ["COMMITTED", "COMMITTED"]
    row = stage.begin("reader").get(TABLE, ITEMS, 1)
    assert row is not None
    assert row["n"] == 1


def test_constraints_hold_whatever_was_read(stage: Stage) -> None:
    hands = [stage.begin_snapshot(name, read_only=False) for name in ("one", "other")]
    for number, hand in enumerate(hands, 1):
        assert value(hand, (TABLE, ITEMS), number) == 0
        hand.patch(TABLE, ITEMS, number, b=1)
    assert hands[0].commit() == "COMMITTED"
    assert hands[1].commit() == "CONSTRAINT"


def test_a_snapshot_that_read_nothing_writes_blindly(stage: Stage) -> None:
    hand, writer = stage.begin_snapshot("hand", read_only=False), stage.begin("writer")
    hand.put(TABLE, ITEMS, {"k": 1, "a": 1, "n": 0})
    writer.patch(TABLE, ITEMS, 1, a=5)
    assert writer.commit() == "COMMITTED"
    assert hand.commit() == "COMMITTED"
