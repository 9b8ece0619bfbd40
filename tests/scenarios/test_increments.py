"""Bounded increments: never under the bound, and refused only when no order allows them."""

from tests.scenarios.conftest import Stage
from tests.sim.programs import DOCS, DOCUMENT, ITEMS, TABLE

GTM_APPENDS = "gtm#1.append"


def test_concurrent_increments_of_one_field_all_commit(stage: Stage) -> None:
    hands = [stage.begin(f"t{i}") for i in range(3)]
    for i, txn in enumerate(hands):
        txn.add(TABLE, ITEMS, 1, "n", -1)
        txn.add(DOCUMENT, DOCS, 1 + i % 2, "n", 1)
    for txn in hands:
        txn.send_commit()
    assert [txn.outcome() for txn in hands] == ["COMMITTED"] * 3
    assert stage.begin("later").get(TABLE, ITEMS, 1, ("n",)) == {"n": 0}


def test_two_pending_increments_may_not_empty_a_shelf_that_each_alone_leaves_full(stage: Stage) -> None:
    stage.world.hold(GTM_APPENDS)
    one, other = stage.begin("one"), stage.begin("other")
    for txn, doc in ((one, 1), (other, 2)):
        txn.add(TABLE, ITEMS, 1, "n", -2)
        txn.add(DOCUMENT, DOCS, doc, "n", 1)
        txn.send_commit()
    gtm = stage.cluster.gtm.machine
    stage.world.run_until(lambda: one.is_answered or other.is_answered or gtm.describe()["voting"] == 0)
    stage.world.release(GTM_APPENDS)
    outcomes = sorted([one.outcome(), other.outcome()])
    assert outcomes[0] in ("BOUND_VIOLATION", "COMMITTED")
    assert outcomes.count("COMMITTED") == 1
    assert set(outcomes) <= {"COMMITTED", "CONTENTION", "BOUND_VIOLATION"}


def test_a_bound_violation_is_told_only_when_no_order_allows_the_increment(stage: Stage) -> None:
    """3 are there; one that adds 2 is undecided: taking 4 may yet be possible, taking 6 is not."""
    stage.world.hold(GTM_APPENDS)
    giver = stage.begin("giver")
    giver.add(TABLE, ITEMS, 1, "n", 2)
    giver.add(DOCUMENT, DOCS, 1, "n", 1)
    giver.send_commit()
    table = stage.cluster.dbtms[TABLE].machine
    stage.world.run_until(lambda: table.describe()["pending"] == 1)
    hopeless = stage.begin("hopeless")
    hopeless.add(TABLE, ITEMS, 1, "n", -6)
    assert hopeless.commit() == "BOUND_VIOLATION"
    hopeful = stage.begin("hopeful")
    hopeful.add(TABLE, ITEMS, 1, "n", -4)
    hopeful.send_commit()
    stage.world.run_until(lambda: table.describe()["parked"] == 1)
    stage.world.release(GTM_APPENDS)
    assert (giver.outcome(), hopeful.outcome()) == ("COMMITTED", "COMMITTED")
    assert stage.begin("later").get(TABLE, ITEMS, 1, ("n",)) == {"n": 1}


def test_a_reader_of_an_incremented_field_conflicts(stage: Stage) -> None:
    reader, writer = stage.begin("reader"), stage.begin("writer")
    reader.get(TABLE, ITEMS, 1, ("n",))
    writer.add(TABLE, ITEMS, 1, "n", -1)
    assert writer.commit() == "COMMITTED"
    reader.patch(TABLE, ITEMS, 2, a=1)
    assert reader.commit() == "READ_CONFLICT"


def test_a_reader_of_another_field_does_not(stage: Stage) -> None:
    reader, writer = stage.begin("reader"), stage.begin("writer")
    reader.get(TABLE, ITEMS, 1, ("a",))
    writer.add(TABLE, ITEMS, 1, "n", -1)
    assert writer.commit() == "COMMITTED"
    reader.patch(TABLE, ITEMS, 2, a=1)
    assert reader.commit() == "COMMITTED"
