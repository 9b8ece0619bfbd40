"""Reads go on while the leader of a realm is stopped: its standby answers them."""

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

import grit.client as grit
from tests.e2e.deployment import Deployment
from tests.e2e.pausing import pause_between_appends

LEADER, STANDBY = "dbtm orders", "dbtm orders/2"
REST = "gtm dbtm carts player carts dbtm social player social player orders"
NO_ELECTION = "limits: {election_timeout_ms: 60_000}\n"
"""The standby stays what it is for as long as a test takes."""


@pytest.fixture
def doubled(tmp_path: Path) -> Iterator[Deployment]:
    """A deployment in which the DBTM of `orders` has a standby that does not take over."""
    deployment = Deployment(tmp_path / "doubled", extra=NO_ELECTION)
    deployment.add_standbys(deployment.dbtm_orders)
    try:
        deployment.serve(LEADER, REST, "sidecar")
        deployment.until_serving()
        deployment.serve(STANDBY)
        deployment.processes[STANDBY].until_said(
            "announcer"
        )  # else the leader might be stopped before anybody stands by
        yield deployment
    finally:
        deployment.processes[LEADER].signal(signal.SIGCONT)
        deployment.stop()


async def test_a_transaction_reads_at_the_standby_while_the_leader_is_stopped(doubled: Deployment) -> None:
    async with grit.connect(doubled.sidecar) as db:
        async with db.transaction() as txn:
            await txn.put("orders.stock", {"product": "pen", "on_hand": 3, "sold": 0})
        pause_between_appends(doubled, LEADER)
        async with db.transaction(read_only=True) as reader:
            assert await reader.get("orders.stock", "pen") == {"product": "pen", "on_hand": 3, "sold": 0}
            doubled.processes[LEADER].signal(signal.SIGCONT)  # it alone can confirm that this is the newest


async def test_snapshots_begin_and_end_while_the_leader_is_stopped(doubled: Deployment) -> None:
    async with grit.connect(doubled.sidecar) as db:
        session = db.session()
        async with session.transaction() as txn:
            await txn.put("orders.stock", {"product": "pen", "on_hand": 3, "sold": 0})
            await txn.put("carts.carts", {"customer": "ann", "items": ["pen"]})
        async with session.read_only(isolation="snapshot") as reader:
            assert await reader.get("carts.carts", "ann")
        pause_between_appends(doubled, LEADER)
        for staleness in (0, 1_000):
            async with session.read_only(isolation="snapshot", staleness=staleness) as reader:
                assert await reader.get("orders.stock", "pen") == {"product": "pen", "on_hand": 3, "sold": 0}
                assert await reader.get("carts.carts", "ann")
