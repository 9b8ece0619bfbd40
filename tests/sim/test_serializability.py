"""Random transactions of a few clients over three realms: every invariant, a certificate, and an exact oracle (verdict.py)."""

import pytest

from tests.sim.cluster import Cluster
from tests.sim.plan import draw
from tests.sim.swarm import Swarm


def test_every_answer_is_explained_by_a_serial_order_that_agrees_with_real_time(sim_seed: int) -> None:
    Cluster(sim_seed, clients=2 + sim_seed % 4, transactions=3).run()


@pytest.mark.sim_seeds(200)
def test_killing_and_restarting_any_process_at_any_moment_loses_nothing(sim_seed: int) -> None:
    Cluster(sim_seed, clients=2 + sim_seed % 3, transactions=3, restarts=1 + sim_seed % 3).run()


@pytest.mark.sim_seeds(150)
def test_whatever_befalls_any_process_costs_time_and_nothing_else(sim_seed: int) -> None:
    Swarm(draw(sim_seed)).run()


@pytest.mark.parametrize("seed", range(4))
def test_a_long_run_under_faults_is_certified(seed: int) -> None:
    """Of 320 transactions no oracle could try the orders: the instants at which they took place are the order."""
    Swarm(draw(seed, clients=8, transactions=40)).run()
