"""Who leads, and for how long, when nothing is wrong and when a leader falls silent."""

from tests.sim.faulty import FaultyCluster


def _epochs(cluster: FaultyCluster) -> list[int]:
    gtm = max(node.machine.describe()["epoch"] for node in cluster.gtms)
    return [gtm, *(max(node.machine.describe()["epoch"] for node in nodes) for nodes in cluster.dbtms.values())]


def _pass(cluster: FaultyCluster, millis: int) -> None:
    end = cluster.world.now + millis
    cluster.world.run_until(lambda: cluster.world.now >= end)


def test_nobody_claims_while_the_leaders_live() -> None:
    cluster = FaultyCluster(1, clients=0, transactions=0)
    cluster.load()
    before = _epochs(cluster)
    _pass(cluster, 20_000)
    assert _epochs(cluster) == before


def test_a_standby_claims_once_when_its_leader_falls_silent() -> None:
    cluster = FaultyCluster(2, clients=0, transactions=0)
    cluster.load()
    before = _epochs(cluster)
    leader = next(node for node in cluster.gtms if node.machine.is_serving)
    leader.pause()
    _pass(cluster, 20_000)
    assert _epochs(cluster) == [before[0] + 1, *before[1:]]
    assert any(node.machine.is_serving for node in cluster.gtms if node is not leader)
