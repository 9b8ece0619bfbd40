"""A log that loses acknowledged records (an older copy is restored, a disk lies): noticed and refused, never silently accepted.

Everything stops, the log loses its last records, everything starts again and clients go on. Whoever cannot bring what it
holds and what the log says together must stop with one line that names the log; if nobody does, all that is asked of a run
must hold, what was acknowledged before the loss included.
"""

import random

import pytest

from grit.core.errors import LogError
from tests.sim.client import ClientNode
from tests.sim.cluster import Cluster
from tests.sim.programs import CATALOGUE, Programs
from tests.sim.verdict import expect_right

LOGS = ("gtl", *(f"dbtl.{realm}" for realm in CATALOGUE))


def _ran(seed: int) -> Cluster:
    cluster = Cluster(seed, clients=3, transactions=3)
    cluster.run()
    return cluster


def _refusal(cluster: Cluster, log: str, count: int) -> str:
    """Lose records and go on; return how that was refused, "" = it was not."""
    try:
        _lose_and_go_on(cluster, log, count)
    except LogError as refusal:
        return str(refusal)
    return ""


def _lose_and_go_on(cluster: Cluster, log: str, count: int) -> None:
    """Restart everything on a log without its last records, let another client work, and ask all that is asked of a run."""
    for node in (cluster.gtm, *cluster.dbtms.values(), *cluster.players.values(), cluster.setup, *cluster.clients):
        node.kill()
    del cluster.world.logs[log][-count:]
    programs = Programs(random.Random(cluster.world.seed))
    later = ClientNode(cluster.world, "later", [programs.transaction() for _ in range(6)])
    attempts = [attempt for client in (cluster.setup, *cluster.clients) for attempt in client.attempts]
    cluster.start_again()
    cluster.reach(later)
    cluster.world.run_until(lambda: later.is_done)
    cluster.settle()
    expect_right(cluster.world, [*attempts, *later.attempts], cluster.stores, CATALOGUE)


@pytest.mark.parametrize("log", LOGS)
@pytest.mark.parametrize("seed", range(12))
def test_a_log_that_lost_acknowledged_records_is_refused(seed: int, log: str) -> None:
    cluster = _ran(seed)
    count = random.Random(seed).randint(1, len(cluster.world.logs[log]) - 1)
    refusal = _refusal(cluster, log, count)
    assert refusal == "" or log in refusal
