"""Electors that hang or lie, in whole clusters: whoever they name, they cost time and nothing else."""

import pytest
from msgspec.structs import replace

from grit.core.ids import Millis
from grit.core.limits import Limits
from grit.core.steps import SeatLost, SeatWon
from tests.sim.nodes import DbtmNode, GtmNode
from tests.sim.plan import draw
from tests.sim.swarm import Swarm

LIES = 0.5
"""How readily one is told, whenever time moves."""


class ElectedCluster(Swarm):
    """Every role has an elector, which hangs, or tells any replica at any moment that it holds the seat of who leads.

    Attributes:
        lies: How many were told.
    """

    has_electors = True

    def __init__(self, seed: int, *, is_lying: bool) -> None:
        self.lies = 0
        self._is_lying = is_lying
        self._healed_at = Millis(0)
        super().__init__(replace(draw(seed), replicas=2))
        self.world.on_tick(self._lie)

    def _lie(self) -> None:
        chance = self.world.chance
        if not self._is_lying or chance.random() > LIES:
            return
        self.lies += 1
        nodes: list[GtmNode | DbtmNode] = [*self.gtms, *(node for nodes in self.dbtms.values() for node in nodes)]
        node = chance.choice(nodes)
        leader = node.machine.describe()["leader"]
        node.post(SeatWon(leader) if chance.random() < 0.7 else SeatLost())

    def _heal(self) -> None:
        self._is_lying = False
        self._healed_at = self.world.now
        super()._heal()

    def _is_at_rest(self) -> bool:
        # Whoever was made to claim last has led since, if only by a renewal.
        return self.world.now >= self._healed_at + 2 * Limits().renewal_ms and super()._is_at_rest()


@pytest.mark.parametrize("seed", range(60))
def test_an_elector_that_names_anybody_at_any_time_costs_time_and_nothing_else(seed: int) -> None:
    ElectedCluster(seed, is_lying=True).run()


@pytest.mark.parametrize("seed", range(4))
def test_an_elector_that_never_speaks_costs_time_and_nothing_else(seed: int) -> None:
    ElectedCluster(seed, is_lying=False).run()


def test_lies_depose_leaders_that_live() -> None:
    cluster = ElectedCluster(1, is_lying=True)
    cluster.load()
    before = max(node.machine.describe()["epoch"] for node in cluster.gtms)
    end = cluster.world.now + 20_000
    cluster.world.run_until(lambda: cluster.world.now >= end)
    assert cluster.lies > 0
    assert max(node.machine.describe()["epoch"] for node in cluster.gtms) > before
