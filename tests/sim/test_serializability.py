"""Random transactions of a few clients over three realms: every invariant, a certificate, and an exact oracle (verdict.py)."""

import pytest

from grit.core.limits import Limits
from tests.sim.cluster import Cluster
from tests.sim.faulty import FaultyCluster

HASTY = Limits(pending_refuse_ms=100, pending_fold_ms=10)
"""DBTMs that free themselves from a GTM that has hardly begun to decide."""
TIGHT = Limits(pending_refuse_ms=100, open_requests=2, pending_parts=1, aborts_remembered=50)
"""And whose tables are full most of the time."""


def test_every_answer_is_explained_by_a_serial_order_that_agrees_with_real_time(sim_seed: int) -> None:
    Cluster(sim_seed, clients=2 + sim_seed % 4, transactions=3).run()


def test_killing_and_restarting_any_process_at_any_moment_loses_nothing(sim_seed: int) -> None:
    Cluster(sim_seed, clients=2 + sim_seed % 3, transactions=3, restarts=1 + sim_seed % 3).run()


def test_killing_pausing_and_cutting_off_any_replica_costs_time_and_nothing_else(sim_seed: int) -> None:
    FaultyCluster(sim_seed, clients=2 + sim_seed % 3, transactions=3).run()


def test_participants_that_free_themselves_at_once_and_full_tables_cost_time_and_nothing_else(sim_seed: int) -> None:
    limits = TIGHT if sim_seed % 2 else HASTY
    FaultyCluster(sim_seed, clients=2 + sim_seed % 3, transactions=3, limits=limits).run()


@pytest.mark.parametrize("seed", range(4))
def test_a_long_run_under_faults_is_certified(seed: int) -> None:
    """Of 320 transactions no oracle could try the orders: the instants at which they took place are the order."""
    FaultyCluster(seed, clients=8, transactions=40).run()
