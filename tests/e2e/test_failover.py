"""A standby takes over from a leader that is killed, paused or told to stop: it costs seconds, and nothing else."""

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

import grit.client as grit
from tests.e2e.deployment import Deployment
from tests.e2e.load import Load
from tests.e2e.pausing import pause_between_appends

REST = "dbtm carts player carts dbtm social player social player orders"
LEADERS = ("gtm", "dbtm orders")


@pytest.fixture
def doubled(tmp_path: Path) -> Iterator[Deployment]:
    """A deployment in which the GTM and one DBTM have a standby; the first replicas lead."""
    deployment = Deployment(tmp_path / "doubled")
    deployment.add_standbys(deployment.gtm, deployment.dbtm_orders)
    try:
        deployment.serve(*LEADERS, REST, "sidecar")
        deployment.until_serving()
        deployment.serve(*(f"{leader}/2" for leader in LEADERS))
        yield deployment
    finally:
        deployment.stop()


@pytest.mark.parametrize("victim", LEADERS)
async def test_a_standby_takes_over_from_a_leader_that_is_killed(doubled: Deployment, victim: str) -> None:
    async with grit.connect(doubled.sidecar) as db:
        async with Load(db) as load:
            await load.more(50)
            doubled.processes[victim].kill()
            await load.more(50)
        doubled.serve(victim)
        doubled.until_serving()
        await load.expect_true(db)
    doubled.expect_valid()


@pytest.mark.parametrize("victim", LEADERS)
async def test_a_leader_that_is_told_to_stop_hands_over(doubled: Deployment, victim: str) -> None:
    async with grit.connect(doubled.sidecar) as db:
        async with Load(db) as load:
            await load.more(50)
            assert doubled.processes[victim].stop() == 0
            await load.more(50)
        doubled.serve(victim)
        doubled.until_serving()
        await load.expect_true(db)
    doubled.expect_valid()


@pytest.mark.parametrize("victim", LEADERS)
async def test_a_leader_that_was_paused_comes_back_as_a_zombie_and_harms_nobody(
    doubled: Deployment, victim: str
) -> None:
    async with grit.connect(doubled.sidecar) as db:
        async with Load(db) as load:
            await load.more(50)
            pause_between_appends(doubled, victim)
            await load.more(50)
            doubled.processes[victim].signal(signal.SIGCONT)
            await load.more(50)
        await load.expect_true(db)
    doubled.expect_valid()
