"""Snapshots: all realms on one cut, at any replica, whatever leaders do (protocol.md section 8)."""

import pytest

from grit.core.operations import Get
from tests.scenarios.conftest import Stage
from tests.scenarios.hand import Hand, at
from tests.sim.nodes import DbtmNode
from tests.sim.programs import CATALOGUE, DOCS, DOCUMENT, ITEMS, TABLE


def both(hand: Hand) -> tuple[int, int]:
    """Read the field that the globals of these scenarios write in two realms."""
    item, document = hand.get(TABLE, ITEMS, 1), hand.get(DOCUMENT, DOCS, 1)
    assert item is not None
    assert document is not None
    return item["a"], document["a"]


def write_both(stage: Stage, value: int) -> Hand:
    """Commit a global, as far as its client knows."""
    hand = stage.begin(f"writer {value}")
    hand.patch(TABLE, ITEMS, 1, a=value)
    hand.patch(DOCUMENT, DOCS, 1, a=value)
    assert hand.commit() == "COMMITTED"
    return hand


def standby(stage: Stage) -> DbtmNode:
    """Start a standby of a realm, which follows."""
    node = DbtmNode(stage.world, "standby", CATALOGUE[TABLE], stage.cluster.stores[TABLE], is_alone=False)
    stage.world.run_until(lambda: node.machine.phase == "following")
    return node


def test_writers_never_abort_a_snapshot_nor_change_what_it_sees(stage: Stage) -> None:
    reader = stage.begin_snapshot("reader")
    item = reader.get(TABLE, ITEMS, 1)
    assert item is not None
    assert item["a"] == 0
    for value in (1, 2):
        write_both(stage, value)
    assert both(reader) == (0, 0)
    assert reader.commit() == "COMMITTED"


@pytest.mark.parametrize("way", ["pending", "in flight"])
def test_half_of_a_global_is_never_in_a_snapshot_and_nobody_waits_for_the_other_half(stage: Stage, way: str) -> None:
    """A global is in one database and its client knows; in the other realm its outcome, or its record, is late."""
    world, table = stage.world, stage.cluster.dbtms[TABLE]
    pushes, tail = f"gtm#1>{stage.cluster.gtm.link_to(table)};", f"{table.name}.tail.gtl"
    late = (pushes, tail) if way == "pending" else (f"{table.name}.append.dbtl",)
    spanning = stage.begin("spanning")
    spanning.patch(TABLE, ITEMS, 1, a=5)
    spanning.patch(DOCUMENT, DOCS, 1, a=5)
    spanning.send_commit()
    world.run_until(lambda: table.machine.describe()["pending"] == 1)
    for channel in late:
        world.hold(channel)
    assert spanning.outcome() == "COMMITTED"
    world.run_until(lambda: stage.cluster.dbtms[DOCUMENT].machine.describe()["in_flight"] == 0)
    assert both(stage.begin_snapshot("reader")) == (0, 0)
    for channel in late:
        world.release(channel)
    stage.cluster.settle()
    assert both(stage.begin_snapshot("later")) == (5, 5)


def test_a_standby_that_lags_takes_every_realm_back_to_where_it_is(stage: Stage) -> None:
    node = standby(stage)
    for log in ("gtl", "dbtl"):
        stage.world.hold(f"{node.name}.tail.{log}")
    write_both(stage, 3)
    stage.cluster.settle()
    reader = stage.begin_snapshot("reader")
    reader.turn_to(TABLE, node)
    assert both(reader) == (0, 0)
    for log in ("gtl", "dbtl"):
        stage.world.release(f"{node.name}.tail.{log}")


def test_a_snapshot_is_read_while_a_realm_has_no_leader(stage: Stage) -> None:
    node = standby(stage)
    write_both(stage, 3)
    stage.cluster.settle()
    leader = stage.cluster.dbtms[TABLE]
    stage.world.run_until(lambda: node.machine.describe()["lsn"] == leader.machine.describe()["lsn"])
    leader.kill()
    reader = stage.begin_snapshot("reader")
    reader.turn_to(TABLE, node)
    assert both(reader) == (3, 3)
    assert reader.commit() == "COMMITTED"
    assert node.machine.phase == "following"


def test_a_snapshot_outlives_a_change_of_leaders(stage: Stage) -> None:
    reader = stage.begin_snapshot("reader")
    item = reader.get(TABLE, ITEMS, 1)
    assert item is not None
    old = stage.cluster.dbtms[TABLE]
    new = DbtmNode(stage.world, "other", CATALOGUE[TABLE], stage.cluster.stores[TABLE])
    stage.world.run_until(lambda: new.machine.phase == "serving")
    writer = stage.begin("writer")
    writer.turn_to(TABLE, new)
    writer.patch(TABLE, ITEMS, 1, a=9)
    assert writer.commit() == "COMMITTED"
    assert old.machine.phase in ("serving", "following")
    reader.turn_to(TABLE, new)
    assert both(reader) == (0, 0)


@pytest.mark.parametrize("way", ["local", "global"])
def test_a_session_sees_its_own_writes_at_a_replica_that_lags(stage: Stage, way: str) -> None:
    """The standby waits until it has them; without the token it answers from before."""
    node = standby(stage)
    held = [f"{node.name}.tail.{log}" for log in ("gtl", "dbtl")]
    for tail in held:
        stage.world.hold(tail)
    writer = stage.begin("writer")
    writer.patch(TABLE, ITEMS, 1, a=7)
    if way == "global":
        writer.patch(DOCUMENT, DOCS, 1, a=7)
    writer.send_commit()
    token = writer.committed().token
    assert (token.csn > 0) == (way == "global")
    assert (TABLE in token.lsns) == (way == "local")
    stranger, itself = stage.begin_snapshot("stranger"), stage.begin_snapshot("itself", token)
    for hand in (stranger, itself):
        hand.turn_to(TABLE, node)
    assert both(stranger)[0] == 0
    request = itself.send(Get(TABLE, ITEMS, at(1)))
    for _ in range(500):
        stage.world.step()
    for tail in held:
        stage.world.release(tail)
    assert both(itself) == ((7, 7) if way == "global" else (7, 0))
    assert request


def test_a_snapshot_never_shows_less_than_a_strict_transaction_of_its_session(stage: Stage) -> None:
    """It read one realm strictly, and so saw a global; the other realm must show that too."""
    node = standby(stage)
    held = [f"{node.name}.tail.{log}" for log in ("gtl", "dbtl")]
    for tail in held:
        stage.world.hold(tail)
    write_both(stage, 4)
    strict = stage.begin("strict")
    document = strict.get(DOCUMENT, DOCS, 1)
    assert document is not None
    assert document["a"] == 4
    strict.send_commit()
    snapshot = stage.begin_snapshot("snapshot", strict.committed().token)
    snapshot.turn_to(TABLE, node)
    snapshot.send(Get(TABLE, ITEMS, at(1)))
    for tail in held:
        stage.world.release(tail)
    assert both(snapshot) == (4, 4)
