"""A database that somebody damaged is built anew, with real processes before and after: nothing acknowledged is missing."""

import asyncio
import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path

import pytest

import grit.client
from tests.e2e.deployment import ENDS_ITS_PROCESSES, Deployment
from tests.e2e.deployment import grit as run_grit
from tests.e2e.load import Load

pytestmark = [pytest.mark.xdist_group("processes"), ENDS_ITS_PROCESSES]
SOME = 25
USERS = ("player orders", "dbtm orders")


def damage(deployment: Deployment) -> None:
    """Delete rows past GRIT, and write one."""
    with closing(sqlite3.connect(deployment.folder / "var" / "orders.db")) as database, database:
        database.execute("DELETE FROM orders")
        database.execute("UPDATE stock SET sold = 0")


def rebuild(deployment: Deployment, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return run_grit("realm", "rebuild", "orders", "--yes", "-c", deployment.config, *arguments)


def repaired(deployment: Deployment, *arguments: str | Path) -> str:
    """Stop who uses the database, damage it, rebuild it, start them again; return what the rebuild said."""
    for user in USERS:
        assert deployment.processes[user].stop() == 0
    damage(deployment)
    done = rebuild(deployment, *arguments)
    assert done.returncode == 0, done.stdout + done.stderr
    deployment.serve(*USERS)
    deployment.until_serving()
    return done.stdout


async def test_a_damaged_database_is_rebuilt_and_holds_everything_that_was_acknowledged(processes: Deployment) -> None:
    async with grit.client.connect(processes.sidecar) as db:
        async with Load(db) as load:
            await load.more(SOME)
            refused = await asyncio.to_thread(rebuild, processes)
            assert (refused.returncode, refused.stderr.count("\n")) == (3, 1), refused
            assert "orders.db is in use" in refused.stderr
        await asyncio.to_thread(processes.until_applied)
        said = await asyncio.to_thread(repaired, processes)
        assert "W6 missing" in said
        async with Load(db) as more:
            await more.more(SOME)
        await asyncio.to_thread(processes.expect_valid)
        await load.expect_true(db)
        await more.expect_true(db)


async def test_a_checkpoint_made_under_load_and_the_log_after_it_rebuild_a_database(processes: Deployment) -> None:
    async with grit.client.connect(processes.sidecar) as db:
        async with Load(db) as load:
            await load.more(SOME)
            done = await asyncio.to_thread(run_grit, "realm", "checkpoint", "orders", "-c", processes.config)
            assert done.returncode == 0, done.stdout + done.stderr
            await load.more(SOME)
        await asyncio.to_thread(processes.until_applied)
        said = await asyncio.to_thread(repaired, processes, "--from", done.stdout.partition(": ")[0])
        assert "W6 missing" in said
        await asyncio.to_thread(processes.expect_valid)
        await load.expect_true(db)
