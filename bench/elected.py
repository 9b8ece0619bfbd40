"""Fail-over where an elector by file locks knows of a leader's death: nobody waits for silence."""

from bench.failover import measure
from bench.figure import Figure
from bench.settings import Settings


def run(settings: Settings) -> list[Figure]:
    """Kill leaders, again and again, as `bench.failover` does."""
    return measure(settings, ("kill",), has_elector=True)
