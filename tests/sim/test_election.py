"""Who leads, and for how long, when nothing is wrong and when a leader falls silent."""

import pytest

from tests.sim.plan import Plan
from tests.sim.script import program
from tests.sim.swarm import Swarm


def _epochs(cluster: Swarm) -> list[int]:
    gtm = max(node.machine.describe()["epoch"] for node in cluster.gtms)
    return [gtm, *(max(node.machine.describe()["epoch"] for node in nodes) for nodes in cluster.dbtms.values())]


def _pass(cluster: Swarm, millis: int) -> None:
    end = cluster.world.now + millis
    cluster.world.run_until(lambda: cluster.world.now >= end)


def test_nobody_claims_while_the_leaders_live() -> None:
    cluster = Swarm(Plan(schedule=1))
    cluster.load()
    before = _epochs(cluster)
    _pass(cluster, 20_000)
    assert _epochs(cluster) == before


def test_a_standby_claims_once_when_its_leader_falls_silent() -> None:
    cluster = Swarm(Plan(schedule=2))
    cluster.load()
    before = _epochs(cluster)
    leader = next(node for node in cluster.gtms if node.machine.is_serving)
    leader.pause()
    _pass(cluster, 20_000)
    assert _epochs(cluster) == [before[0] + 1, *before[1:]]
    assert any(node.machine.is_serving for node in cluster.gtms if node is not leader)


@pytest.mark.parametrize("schedule", range(8))
def test_a_leader_of_long_standing_that_does_not_learn_the_end_of_an_append_refuses_nothing_that_may_land(
    schedule: int,
) -> None:
    script = tuple(program(["begin", "commit add table.items 1 n -1"]) for _ in range(3))
    cluster = Swarm(Plan(schedule, scripts=(script, script)))
    cluster.load()
    _pass(cluster, 15_000)
    cluster.world.unknown_share = 0.7
    cluster.join()
    _pass(cluster, 3_000)
    cluster.finish()
