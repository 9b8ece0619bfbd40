"""Anomalies that must not happen, each by hand (protocol.md sections 4, 5, 6, 10 and 11)."""

import pytest

from grit.core.ids import Collection, Realm
from grit.core.predicate import And, Compare, encode_expr
from tests.scenarios.conftest import Stage
from tests.sim.programs import DOCS, DOCUMENT, EDGES, GRAPH, ITEMS, NODES, TABLE

A_IS_ZERO = encode_expr(Compare("a", "=", 0))
GTM_APPENDS = "gtm#1.append"


def test_lost_update_within_one_realm(stage: Stage) -> None:
    one, other = stage.begin("one"), stage.begin("other")
    for txn in (one, other):
        row = txn.get(TABLE, ITEMS, 1)
        assert row is not None
        txn.patch(TABLE, ITEMS, 1, a=row["a"] + 1)
    one.send_commit()
    other.send_commit()
    assert sorted([one.outcome(), other.outcome()]) == ["COMMITTED", "READ_CONFLICT"]


def test_lost_update_across_realms(stage: Stage) -> None:
    one, other = stage.begin("one"), stage.begin("other")
    for txn in (one, other):
        row = txn.get(TABLE, ITEMS, 1)
        assert row is not None
        txn.patch(TABLE, ITEMS, 1, a=row["a"] + 1)
        txn.patch(DOCUMENT, DOCS, 1, a=row["a"] + 1)
    one.send_commit()
    other.send_commit()
    outcomes = sorted([one.outcome(), other.outcome()])
    assert outcomes[0] == "COMMITTED"
    assert outcomes[1] in ("CONTENTION", "READ_CONFLICT")


@pytest.mark.parametrize("second", [(TABLE, ITEMS, 2), (DOCUMENT, DOCS, 1)], ids=["one realm", "two realms"])
def test_write_skew(stage: Stage, second: tuple[Realm, Collection, int]) -> None:
    """Each reads both records and writes the other one: in a serial order the later one sees the earlier one's write."""
    first = (TABLE, ITEMS, 1)
    one, other = stage.begin("one"), stage.begin("other")
    for txn, target in ((one, first), (other, second)):
        txn.get(*first)
        txn.get(*second)
        txn.patch(*target, a=7)
    one.send_commit()
    other.send_commit()
    assert [one.outcome(), other.outcome()].count("COMMITTED") == 1


def test_read_only_participants_vote_and_stay_pending(stage: Stage) -> None:
    """Each reads in the realm that the other writes, and only writes elsewhere."""
    one, other = stage.begin("one"), stage.begin("other")
    one.get(TABLE, ITEMS, 1)
    one.patch(DOCUMENT, DOCS, 1, a=7)
    other.get(DOCUMENT, DOCS, 1)
    other.patch(TABLE, ITEMS, 1, a=7)
    one.send_commit()
    other.send_commit()
    assert [one.outcome(), other.outcome()].count("COMMITTED") == 1


def test_a_read_only_participant_gets_an_entry(stage: Stage) -> None:
    before = stage.cluster.dbtms[DOCUMENT].machine.describe()["lsn"]
    txn = stage.begin("one")
    txn.get(DOCUMENT, DOCS, 1)
    txn.patch(TABLE, ITEMS, 1, a=7)
    assert txn.commit() == "COMMITTED"
    stage.cluster.settle()
    assert stage.cluster.dbtms[DOCUMENT].machine.describe()["lsn"] == before + 1


def test_a_phantom_that_enters_a_range(stage: Stage) -> None:
    reader, writer = stage.begin("reader"), stage.begin("writer")
    assert reader.count(TABLE, ITEMS, A_IS_ZERO) == 2
    writer.insert(TABLE, ITEMS, {"k": 3, "a": 0, "n": 0})
    assert writer.commit() == "COMMITTED"
    reader.patch(TABLE, ITEMS, 1, a=5)
    assert reader.commit() == "PHANTOM"


def test_a_phantom_that_leaves_a_range(stage: Stage) -> None:
    reader, writer = stage.begin("reader"), stage.begin("writer")
    assert reader.find(TABLE, ITEMS, A_IS_ZERO) == [1, 2]
    writer.patch(TABLE, ITEMS, 2, a=1)
    assert writer.commit() == "COMMITTED"
    reader.patch(TABLE, ITEMS, 1, n=5)
    assert reader.commit() == "PHANTOM"


def test_a_write_beside_a_range_disturbs_nobody(stage: Stage) -> None:
    reader, writer = stage.begin("reader"), stage.begin("writer")
    assert reader.count(TABLE, ITEMS, A_IS_ZERO) == 2
    writer.insert(TABLE, ITEMS, {"k": 3, "a": 1, "n": 0})
    assert writer.commit() == "COMMITTED"
    reader.patch(TABLE, ITEMS, 1, a=5)
    assert reader.commit() == "COMMITTED"


def test_a_predicate_against_two_pending_writes_of_one_record(stage: Stage) -> None:
    """Neither write alone makes the record match, both together do; while both are undecided, that counts."""
    both = encode_expr(And((Compare("a", "=", 1), Compare("n", "=", 1))))
    stage.world.hold(GTM_APPENDS)
    one, other = stage.begin("one"), stage.begin("other")
    one.patch(TABLE, ITEMS, 1, a=1)
    one.patch(DOCUMENT, DOCS, 1, a=1)
    other.patch(TABLE, ITEMS, 1, n=1)
    other.patch(DOCUMENT, DOCS, 2, a=1)
    one.send_commit()
    other.send_commit()
    table = stage.cluster.dbtms[TABLE].machine
    stage.world.run_until(lambda: table.describe()["pending"] == 2)
    reader = stage.begin("reader")
    assert reader.find(TABLE, ITEMS, both) == []
    reader.patch(DOCUMENT, DOCS, 2, n=9)
    assert reader.commit() == "CONTENTION"
    stage.world.release(GTM_APPENDS)
    assert (one.outcome(), other.outcome()) == ("COMMITTED", "COMMITTED")


def test_a_local_parks_behind_a_pending_global(stage: Stage) -> None:
    stage.world.hold(GTM_APPENDS)
    spanning, local = stage.begin("spanning"), stage.begin("local")
    row = local.get(TABLE, ITEMS, 1)
    assert row is not None
    local.patch(TABLE, ITEMS, 1, a=row["a"] + 1)
    spanning.patch(TABLE, ITEMS, 1, a=5)
    spanning.patch(DOCUMENT, DOCS, 1, a=5)
    spanning.send_commit()
    table = stage.cluster.dbtms[TABLE].machine
    stage.world.run_until(lambda: table.describe()["pending"] == 1)
    local.send_commit()
    stage.world.run_until(lambda: table.describe()["parked"] == 1)
    stage.world.release(GTM_APPENDS)
    assert spanning.outcome() == "COMMITTED"
    assert local.outcome() == "READ_CONFLICT"


def test_reordering_commits_what_arrival_order_would_abort(stage: Stage) -> None:
    """In one round the younger reads what the older writes: it goes first in the log, and both commit."""
    gate = stage.begin("gate")
    gate.patch(TABLE, ITEMS, 2, n=1)
    gate.patch(DOCUMENT, DOCS, 2, n=1)
    writer, reader = stage.begin("writer"), stage.begin("reader")
    reader.get(TABLE, ITEMS, 1)
    reader.patch(DOCUMENT, DOCS, 1, a=9)
    writer.patch(TABLE, ITEMS, 1, a=5)
    writer.patch(GRAPH, NODES, 1, a=5)
    votes = f"dbtm.{TABLE}#2>"
    stage.world.hold(votes)
    gate.send_commit()
    gtm = stage.cluster.gtm.machine
    stage.world.run_until(lambda: gtm.describe()["voting"] == 1)
    writer.send_commit()
    stage.world.run_until(lambda: gtm.describe()["waiting"] == 1)
    reader.send_commit()
    stage.world.run_until(lambda: gtm.describe()["waiting"] == 2)
    stage.world.release(votes)
    assert (gate.outcome(), writer.outcome(), reader.outcome()) == ("COMMITTED", "COMMITTED", "COMMITTED")
    assert reader.committed().outcome.csn < writer.committed().outcome.csn


def test_disjoint_patches_of_one_record_both_survive(stage: Stage) -> None:
    one, other = stage.begin("one"), stage.begin("other")
    one.patch(TABLE, ITEMS, 1, a=5)
    one.patch(DOCUMENT, DOCS, 1, a=5)
    other.patch(TABLE, ITEMS, 1, n=4)
    other.patch(DOCUMENT, DOCS, 2, a=5)
    one.send_commit()
    other.send_commit()
    assert (one.outcome(), other.outcome()) == ("COMMITTED", "COMMITTED")
    assert stage.begin("later").get(TABLE, ITEMS, 1) == {"k": 1, "a": 5, "n": 4}


def test_a_record_that_was_not_found_is_validated(stage: Stage) -> None:
    reader, writer = stage.begin("reader"), stage.begin("writer")
    assert reader.get(TABLE, ITEMS, 3) is None
    writer.put(TABLE, ITEMS, {"k": 3, "a": 0, "n": 0})
    assert writer.commit() == "COMMITTED"
    reader.patch(TABLE, ITEMS, 1, a=5)
    assert reader.commit() == "READ_CONFLICT"


def test_a_race_for_a_unique_value_has_one_winner(stage: Stage) -> None:
    one, other = stage.begin("one"), stage.begin("other")
    one.patch(TABLE, ITEMS, 1, b=1)
    one.patch(DOCUMENT, DOCS, 1, a=1)
    other.patch(TABLE, ITEMS, 2, b=1)
    other.patch(DOCUMENT, DOCS, 2, a=1)
    one.send_commit()
    other.send_commit()
    outcomes = [one.outcome(), other.outcome()]
    assert outcomes.count("COMMITTED") == 1
    assert set(outcomes) - {"COMMITTED"} <= {"CONSTRAINT", "CONTENTION", "PHANTOM"}


def test_a_parent_is_not_deleted_under_a_child_that_comes(stage: Stage) -> None:
    joiner, deleter = stage.begin("joiner"), stage.begin("deleter")
    joiner.link(GRAPH, EDGES, 1, 2)
    joiner.patch(DOCUMENT, DOCS, 1, a=1)
    deleter.delete(GRAPH, NODES, 2)
    deleter.patch(DOCUMENT, DOCS, 2, a=1)
    joiner.send_commit()
    deleter.send_commit()
    outcomes = [joiner.outcome(), deleter.outcome()]
    assert outcomes.count("COMMITTED") == 1
    assert set(outcomes) - {"COMMITTED"} <= {"CONSTRAINT", "CONTENTION", "READ_CONFLICT", "PHANTOM"}


def test_an_edge_that_appears_is_a_phantom_of_the_neighbours(stage: Stage) -> None:
    reader, writer = stage.begin("reader"), stage.begin("writer")
    assert reader.neighbours(GRAPH, NODES, 1, EDGES) == []
    writer.link(GRAPH, EDGES, 1, 2)
    assert writer.commit() == "COMMITTED"
    reader.patch(GRAPH, NODES, 1, a=1)
    assert reader.commit() == "PHANTOM"


def test_an_exception_of_the_body_after_stale_reads_is_a_retry(stage: Stage) -> None:
    reader, writer = stage.begin("reader"), stage.begin("writer")
    reader.get(TABLE, ITEMS, 1)
    reader.get(DOCUMENT, DOCS, 1)
    writer.patch(TABLE, ITEMS, 1, a=5)
    assert writer.commit() == "COMMITTED"
    rolled_back = reader.rollback(validate=True)
    assert not rolled_back.reads_valid
    assert rolled_back.stale is not None
    assert rolled_back.stale.code == "READ_CONFLICT"


def test_an_exception_of_the_body_after_current_reads_stands(stage: Stage) -> None:
    reader = stage.begin("reader")
    reader.get(TABLE, ITEMS, 1)
    reader.get(DOCUMENT, DOCS, 1)
    assert reader.rollback(validate=True).reads_valid


def test_an_abort_names_the_key_and_the_winner(stage: Stage) -> None:
    reader, writer = stage.begin("reader"), stage.begin("writer")
    reader.get(TABLE, ITEMS, 1)
    reader.patch(TABLE, ITEMS, 2, a=1)
    writer.patch(TABLE, ITEMS, 1, a=5)
    assert writer.commit() == "COMMITTED"
    reader.send_commit()
    error = reader.error()
    assert f"table.items/(1) was changed by txn {writer.txid} at Lsn 2" in error.message
