"""What a leader that is over had under way counts for nobody (protocol.md sections 2, 3 and 7)."""

from tests.scenarios.conftest import Stage
from tests.scenarios.hand import Hand
from tests.sim.programs import DOCS, DOCUMENT, ITEMS, TABLE


def _voted_and_late(stage: Stage) -> Hand:
    """A transaction that reads item 1 and writes document 1; all votes are in, and the append of its commit is late."""
    txn = stage.begin("late")
    txn.get(TABLE, ITEMS, 1)
    txn.patch(DOCUMENT, DOCS, 1, a=7)
    stage.world.hold(f"{stage.cluster.gtm.name}.append")
    txn.send_commit()
    stage.world.run_until(lambda: stage.cluster.gtm.machine.describe()["in_flight"] == 1)
    return txn


def _overwrite_item(stage: Stage) -> None:
    local = stage.begin("local")
    local.patch(TABLE, ITEMS, 1, a=5)
    assert local.commit() == "COMMITTED"


def test_a_vote_under_a_fence_that_has_been_passed_does_not_count(stage: Stage) -> None:
    """A new DBTM leader knows nothing of the vote that the old one gave, and lets the read be overwritten."""
    late = _voted_and_late(stage)
    stage.cluster.restart_dbtm(TABLE)
    stage.world.run_until(lambda: stage.cluster.dbtms[TABLE].machine.phase == "serving")
    _overwrite_item(stage)
    stage.world.release(f"{stage.cluster.gtm.name}.append")
    assert late.outcome() == "FENCED"
    stage.cluster.settle()
    assert stage.begin("later").get(DOCUMENT, DOCS, 1, ("a",)) == {"a": 0}


def test_a_commit_of_a_zombie_gtm_does_not_count(stage: Stage) -> None:
    """A new GTM epoch frees what the old one had pending, so the read may be overwritten before the zombie appends."""
    late = _voted_and_late(stage)
    zombie = stage.cluster.replace_gtm()
    stage.world.run_until(lambda: stage.cluster.gtm.machine.is_serving)
    pending = stage.cluster.dbtms[TABLE].machine
    stage.world.run_until(lambda: pending.describe()["pending"] == 0)
    _overwrite_item(stage)
    stage.world.release(f"{zombie.name}.append")
    assert late.outcome() in ("FENCED", "REFUSED")
    stage.cluster.settle()
    assert stage.begin("later").get(DOCUMENT, DOCS, 1, ("a",)) == {"a": 0}
