"""A standby takes over from a leader that is killed, paused or told to stop: it costs seconds, and nothing else."""

import signal
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

import grit.client as grit
from sample_services.demo.deployment import HOST, free_ports
from tests.e2e.deployment import Deployment, until
from tests.e2e.load import Load

REST = "dbtm carts player carts dbtm social player social player orders"
LEADERS = ("gtm", "dbtm orders")


@pytest.fixture
def doubled(tmp_path: Path) -> Iterator[Deployment]:
    """A deployment in which the GTM and one DBTM have a standby; the first replicas lead."""
    deployment = Deployment(tmp_path / "doubled")
    text = deployment.config.read_text(encoding="utf-8")
    for address, port in zip((deployment.gtm, deployment.dbtm_orders), free_ports(2), strict=True):
        text = text.replace(f'["{address}"]', f'["{address}", "{HOST}:{port}"]')
    deployment.config.write_text(text, encoding="utf-8")
    try:
        deployment.serve(*LEADERS, REST, "sidecar")
        deployment.until_serving()
        deployment.serve(*(f"{leader}/2" for leader in LEADERS))
        yield deployment
    finally:
        deployment.stop()


def _pause_between_appends(deployment: Deployment, victim: str) -> None:
    """Stop a process where it holds no lock: who is stopped in the middle of an append to an embedded log stops the log."""
    logs = [deployment.folder / "var" / "log" / f"{name}.log.db" for name in ("gtl", "dbtl.orders")]

    def is_between_appends() -> bool:
        deployment.processes[victim].signal(signal.SIGSTOP)
        if not any(_is_locked(log) for log in logs):
            return True
        deployment.processes[victim].signal(signal.SIGCONT)
        return False

    until(is_between_appends, lambda: f"{victim} stopped between two appends")


def _is_locked(log: Path) -> bool:
    with closing(sqlite3.connect(log, timeout=0.2, isolation_level=None)) as connection:
        try:
            connection.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError:
            return True
        connection.execute("ROLLBACK")
        return False


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
            _pause_between_appends(doubled, victim)
            await load.more(50)
            doubled.processes[victim].signal(signal.SIGCONT)
            await load.more(50)
        await load.expect_true(db)
    doubled.expect_valid()
