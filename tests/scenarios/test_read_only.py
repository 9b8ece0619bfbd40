"""Transactions that wrote nothing: strictly serializable, without a place in any log (protocol.md section 8)."""

import pytest

from grit.core.steps import DBTL, GTL
from tests.scenarios.conftest import Stage
from tests.sim.nodes import DbtmNode
from tests.sim.programs import CATALOGUE, DOCS, DOCUMENT, ITEMS, TABLE

A_WHILE = 500
"""Steps of the world in which whatever may happen happens."""


def usurp(stage: Stage, old: DbtmNode) -> DbtmNode:
    """Start another DBTM of the realm, which takes it over."""
    new = DbtmNode(stage.world, f"{old.name}.other", CATALOGUE[TABLE], stage.cluster.stores[TABLE])
    stage.world.run_until(lambda: new.machine.phase == "serving")
    return new


def wait(stage: Stage, steps: int = A_WHILE) -> None:
    for _ in range(steps):
        stage.world.step()


def test_a_transaction_that_wrote_nothing_is_in_no_log_and_leaves_nothing_pending(stage: Stage) -> None:
    reader = stage.begin("reader")
    assert reader.get(TABLE, ITEMS, 1) is not None
    assert reader.count(DOCUMENT, DOCS) == 2
    assert reader.commit() == "COMMITTED"
    assert not any(reader.txid.encode() in payload for log in stage.world.logs.values() for payload in log)
    assert all(dbtm.machine.describe()["pending"] == 0 for dbtm in stage.cluster.dbtms.values())


def test_reads_that_were_overwritten_abort(stage: Stage) -> None:
    reader, writer = stage.begin("reader"), stage.begin("writer")
    reader.get(TABLE, ITEMS, 1)
    writer.patch(TABLE, ITEMS, 1, a=5)
    assert writer.commit() == "COMMITTED"
    assert reader.commit() == "READ_CONFLICT"


@pytest.mark.parametrize("way", ["pending", "in flight"])
def test_half_of_a_global_is_never_confirmed(stage: Stage, way: str) -> None:
    """A global is in one database and its client knows; in the other realm its outcome, or its record, is late."""
    world, table = stage.world, stage.cluster.dbtms[TABLE]
    spanning, reader = stage.begin("spanning"), stage.begin("reader")
    spanning.patch(TABLE, ITEMS, 1, a=5)
    spanning.patch(DOCUMENT, DOCS, 1, a=5)
    spanning.send_commit()
    world.run_until(lambda: table.machine.describe()["pending"] == 1)
    pushes, tail = f"gtm#1>{stage.cluster.gtm.link_to(table)};", f"{table.name}.tail.gtl"
    late = (pushes, tail) if way == "pending" else (f"{table.name}.append.dbtl",)
    for channel in late:
        world.hold(channel)
    assert spanning.outcome() == "COMMITTED"
    world.run_until(lambda: table.machine.describe()[way.replace(" ", "_")] == 1)
    document, item = reader.get(DOCUMENT, DOCS, 1), reader.get(TABLE, ITEMS, 1)
    assert document is not None
    assert item is not None
    assert (document["a"], item["a"]) == (5, 0)
    reader.send_commit()
    world.run_until(lambda: table.machine.describe()["validating"] == 1 or reader.is_answered)
    for channel in late:
        world.release(channel)
    assert reader.outcome() == "READ_CONFLICT"


@pytest.mark.parametrize("way", ["cut off from its log", "with a record under way", "paused"])
def test_a_deposed_leader_that_does_not_know_confirms_nobody(stage: Stage, way: str) -> None:
    """Another leads and has acknowledged a write; the old leader has not read so, and is asked for what it holds."""
    world, old = stage.world, stage.cluster.dbtms[TABLE]
    tails = [f"{old.name}.tail.{log}" for log in (GTL, DBTL)]
    for tail in tails:
        world.hold(tail)
    if way == "with a record under way":
        other = stage.begin("other")
        other.patch(TABLE, ITEMS, 2, a=1)
        other.send_commit()
        world.run_until(lambda: other.txid.encode() in world.logs["dbtl.table"][-1])
    elif way == "paused":
        old.pause()
    new = usurp(stage, old)
    if way == "paused":
        old.resume()
    writer = stage.begin("writer")
    writer.turn_to(TABLE, new)
    writer.patch(TABLE, ITEMS, 1, a=9)
    assert writer.commit() == "COMMITTED"
    reader = stage.begin("reader")
    row = reader.get(TABLE, ITEMS, 1)
    assert row is not None
    assert row["a"] == 0
    reader.send_commit()
    wait(stage)
    assert not reader.is_answered
    reader.turn_to(TABLE, new)
    world.release(tails.pop())
    assert reader.outcome() == "READ_CONFLICT"


def test_a_strict_reader_survives_a_change_of_leaders(stage: Stage) -> None:
    """What it read at the old leader is validated by the new one."""
    reader = stage.begin("reader")
    reader.get(TABLE, ITEMS, 1)
    new = usurp(stage, stage.cluster.dbtms[TABLE])
    reader.turn_to(TABLE, new)
    assert reader.commit() == "COMMITTED"
