"""A clock that ran ahead must not lock the others out: what time it is, and how much has passed, are two questions."""

import pytest

from tests.sim.client import ClientNode
from tests.sim.plan import HOUR_MS, Plan
from tests.sim.programs import TABLE
from tests.sim.script import program
from tests.sim.swarm import Swarm


def _pass(swarm: Swarm, millis: int) -> None:
    end = swarm.world.now + millis
    swarm.world.run_until(lambda: swarm.world.now >= end)


def _led_an_hour_ahead(schedule: int) -> Swarm:
    """The leader of a realm writes an hour ahead of everybody, and dies."""
    swarm = Swarm(Plan(schedule))
    swarm.load()
    slot = next(f"dbtm.table/{i}" for i, node in enumerate(swarm.dbtms[TABLE]) if node.machine.phase == "serving")
    node = swarm.node(slot)
    node.ahead_ms = HOUR_MS
    _pass(swarm, 2_000)
    swarm.befall("kill", slot)
    return swarm


@pytest.mark.parametrize("schedule", range(5))
def test_whoever_follows_a_leader_whose_clock_ran_ahead_takes_over_as_soon_as_ever(schedule: int) -> None:
    swarm = _led_an_hour_ahead(schedule)
    _pass(swarm, 10_000)
    assert any(node.machine.phase == "serving" for node in swarm.dbtms[TABLE])


@pytest.mark.parametrize("schedule", range(5))
def test_a_realm_whose_log_is_an_hour_ahead_still_commits(schedule: int) -> None:
    swarm = _led_an_hour_ahead(schedule)
    _pass(swarm, 10_000)
    client = ClientNode(
        swarm.world, "client0", [program(["begin", "get table.items 1", 'commit patch table.items 1 {"a":1}'])]
    )
    swarm.clients.append(client)
    swarm.join()
    _pass(swarm, 10_000)
    assert [attempt.error for attempt in client.attempts] == [""]
