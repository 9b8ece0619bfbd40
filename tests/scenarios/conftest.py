"""A cluster that is up and holds items, docs and nodes 1 and 2, each with a = 0 and (but nodes) n = 3."""

import pytest

from grit.core.operations import SessionToken
from tests.scenarios.hand import Hand
from tests.sim.cluster import Cluster


class Stage:
    """Where scenarios play: the cluster, and hands by name."""

    def __init__(self, seed: int) -> None:
        self.cluster = Cluster(seed, clients=0, transactions=0)
        self.cluster.load()
        self.cluster.settle()
        self.world = self.cluster.world

    def begin(self, name: str, *, age: int = 0, key: str = "") -> Hand:
        """Begin a transaction at a home of its own."""
        return Hand(self.cluster, name, age=age, key=key)

    def begin_snapshot(self, name: str, past: SessionToken | None = None, *, read_only: bool = True) -> Hand:
        """Begin one that reads a snapshot, at a home of its own."""
        return Hand(self.cluster, name, read_only=read_only, snapshot=True, past=past)


@pytest.fixture(params=range(5))
def stage(request: pytest.FixtureRequest) -> Stage:
    """Play each scenario under several orders of what it leaves open."""
    return Stage(request.param)
