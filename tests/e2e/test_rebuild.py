"""A database that somebody damaged is built anew, with real processes before and after: nothing acknowledged is missing."""

import asyncio
import re
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

import grit.client
from grit.core.ids import Offset
from grit.core.records import decode_dbtl_record
from grit.log.embedded import EmbeddedLog
from grit.runtime.begin import find_begin
from tests.e2e.deployment import ENDS_ITS_PROCESSES, ROLES, Deployment
from tests.e2e.deployment import grit as run_grit
from tests.e2e.load import Load

pytestmark = [pytest.mark.xdist_group("processes"), ENDS_ITS_PROCESSES]
SOME = 25
USERS = ("player orders", "dbtm orders")


@pytest.fixture
def short(tmp_path: Path) -> Iterator[Deployment]:
    """A deployment whose leaders write a checkpoint into their logs after a few records."""
    deployment = Deployment(tmp_path / "short", extra="limits: {checkpoint_records: 10}\n")
    try:
        deployment.serve(*ROLES)
        deployment.until_serving()
        yield deployment
    finally:
        deployment.stop()


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


async def test_a_checkpoint_made_under_load_rebuilds_a_database_whose_log_was_cut(short: Deployment) -> None:
    async with grit.client.connect(short.sidecar) as db:
        async with Load(db) as load:
            await load.more(SOME)
            await asyncio.to_thread(short.until_applied)
            done = await asyncio.to_thread(run_grit, "realm", "checkpoint", "orders", "-c", short.config)
            assert done.returncode == 0, done.stdout + done.stderr
            path, _, facts = done.stdout.partition(": ")
            (offset,) = re.findall(r"offset ([\d,]+)", facts)
            await cut_below(short, Offset(int(offset.replace(",", ""))))
            await load.more(SOME)
        await asyncio.to_thread(short.until_applied)
        said = await asyncio.to_thread(repaired, short, "--from", path)
        assert "W6 missing" in said
        async with Load(db) as more:
            await more.more(SOME)
        await asyncio.to_thread(short.expect_valid)
        await load.expect_true(db)
        await more.expect_true(db)


async def cut_below(deployment: Deployment, offset: Offset) -> None:
    """Cut the log of orders at the newest of its checkpoints at or below an offset."""
    log = await EmbeddedLog.open(deployment.folder / "var" / "log", "dbtl.orders")
    begin = await find_begin(log, decode_dbtl_record, offset)
    assert begin is not None, "no checkpoint was written"
    await log.cut(begin.at)
    assert await log.start() == begin.at > 0
    await log.close()
