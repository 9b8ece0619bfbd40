"""Real processes: how they start, stop, and what is left when one of them is killed under load."""

import asyncio
import signal
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path

import pytest

import grit.client
from grit.client import GritError, Transaction, TxnAborted, Unavailable
from grit.core.errors import Code
from sample_services.demo.deployment import free_ports
from tests.e2e.deployment import ENDS_ITS_PROCESSES, LIMIT_S, Deployment, Process
from tests.e2e.deployment import grit as run_grit
from tests.e2e.load import Load, patiently

pytestmark = [pytest.mark.xdist_group("processes"), ENDS_ITS_PROCESSES]
SOME = 25
"""So many transactions before and after something happens."""


async def under_load(deployment: Deployment, disturb: Callable[[Load], Awaitable[None]]) -> Load:
    """Commit, let something happen, commit on; then everything must be as the clients were told."""
    async with grit.client.connect(deployment.sidecar, service="load") as db:
        async with Load(db) as load:
            await load.more(SOME)
            await disturb(load)
            await load.more(SOME)
        await asyncio.to_thread(deployment.expect_valid)
        await load.expect_true(db)
    return load


@pytest.mark.parametrize("victim", ["gtm", "dbtm orders", "player orders", "sidecar"])
async def test_killing_and_restarting_any_process_loses_nothing(processes: Deployment, victim: str) -> None:
    async def kill(load: Load) -> None:
        process = processes.processes[victim]
        await asyncio.to_thread(process.kill)
        process.start()

    await under_load(processes, kill)


async def test_any_process_that_is_told_to_stop_ends_well_and_loses_nothing(processes: Deployment) -> None:
    async def stop_each(load: Load) -> None:
        for name in ("gtm", "dbtm orders", "player orders", "sidecar"):
            process = processes.processes[name]
            assert await asyncio.to_thread(process.stop) == 0, process.output
            assert "Traceback" not in process.output
            process.start()
            await load.more(1)

    await under_load(processes, stop_each)


async def test_a_sidecar_killed_with_open_transactions_takes_only_them_along(
    processes: Deployment, tmp_path: Path
) -> None:
    other = tmp_path / "grit.yaml"
    (port,) = free_ports(1)
    address = f"127.0.0.1:{port}"
    text = processes.config.read_text().replace(processes.sidecar, address)
    other.write_text(text.replace("path: var/log", f"path: {processes.folder}/var/log"))
    second = Process(["serve", "sidecar", "-c", other], tmp_path / "sidecar.out")
    second.start()
    try:
        second.until_said("announcer")
        async with grit.client.connect(address) as db, grit.client.connect(processes.sidecar) as others:
            is_open, is_back = asyncio.Barrier(4), asyncio.Event()
            orphans = [asyncio.create_task(orphan(db, number, is_open, is_back)) for number in range(3)]
            await is_open.wait()
            second.kill()
            async with Load(others) as load:
                await load.more(SOME)
            second.start()
            is_back.set()
            ends = await asyncio.gather(*orphans, return_exceptions=True)
            assert [type(end) for end in ends] == [TxnAborted] * 3, ends
            await asyncio.to_thread(processes.expect_valid)
            for collection in ("carts.carts", "social.Customer"):
                assert await patiently(others, orphans_in(collection)) == [None] * 3
    finally:
        second.kill()


def orphans_in(collection: str) -> Callable[[Transaction], Awaitable[list[object]]]:
    async def look(txn: Transaction) -> list[object]:
        return list(await txn.get_many(collection, [f"orphan-{number}" for number in range(3)]))

    return look


async def orphan(db: grit.client.Client, number: int, is_open: asyncio.Barrier, is_back: asyncio.Event) -> None:
    """Write into two realms, and commit once the home has come back."""
    async with db.transaction() as txn:
        await txn.put("carts.carts", {"customer": f"orphan-{number}", "items": []})
        await txn.put("social.Customer", {"customer": f"orphan-{number}"})
        assert await txn.get("orders.stock", "orphan") is None
        await is_open.wait()
        await is_back.wait()


async def test_sigterm_lets_an_open_transaction_finish_and_begins_no_other(own: Deployment) -> None:
    await asyncio.to_thread(own.start_dev)
    process = own.processes["dev"]
    connect = grit.client.connect
    is_committed = True
    async with connect(own.sidecar) as db, connect(own.sidecar) as other:
        try:
            async with db.transaction() as txn:
                await txn.put("carts.carts", {"customer": "late", "items": []})
                await txn.put("orders.stock", {"product": "late", "on_hand": 1, "sold": 0})
                assert await txn.get("carts.carts", "late") is not None
                process.signal(signal.SIGTERM)
                assert (await refused(other)).code in {Code.SHUTTING_DOWN, Code.NO_LEADER}
        except (TxnAborted, Unavailable):  # a busy machine was not done in the time that a drain has
            is_committed = False
    assert await asyncio.to_thread(process.wait) == 0
    assert "Traceback" not in process.output
    await asyncio.to_thread(own.start_dev)
    async with connect(own.sidecar) as db:
        for collection in ("carts.carts", "orders.stock"):
            row = await patiently(db, partial(Transaction.get, collection=collection, key="late"))
            assert (row is not None) is is_committed
    await asyncio.to_thread(own.expect_valid)


async def refused(db: grit.client.Client) -> GritError:
    """Begin transactions until one is refused; return why."""
    async with asyncio.timeout(20):
        while True:
            try:
                async with db.transaction():
                    pass
            except Unavailable as error:
                return error


async def test_sigterm_under_load_loses_nothing(own: Deployment) -> None:
    await asyncio.to_thread(own.start_dev)

    async def restart(load: Load) -> None:
        assert await asyncio.to_thread(own.processes["dev"].stop) == 0
        assert "Traceback" not in own.processes["dev"].output
        await asyncio.to_thread(own.start_dev)

    await under_load(own, restart)


def test_every_role_has_its_own_spelling(own: Deployment) -> None:
    own.serve("dbtm carts player carts dbtm social player social", "sidecar")
    own.run("gtm", ["-c", own.config], module="gtm")
    own.run("dbtm orders", ["orders", "-c", own.config], module="dbtm")
    own.run("player orders", ["orders", "-c", own.config], module="log_players")
    own.until_serving()
    done = run_grit("status", "-c", own.config)
    assert (done.returncode, done.stderr) == (0, "")
    for process in own.processes.values():
        assert process.stop() == 0
    assert not any("Traceback" in process.output for process in own.processes.values())


def test_dev_on_the_built_in_catalogue_says_where_it_listens_once_it_serves(own: Deployment) -> None:
    process = own.run("dev", ["dev", "--dir", own.folder / "built-in", "--listen", "127.0.0.1:0"])
    process.until_said("ready after")
    (line,) = (line for line in process.output.splitlines() if line.startswith("ready after"))
    own.sidecar = line.split("sidecar at ")[1].split(",")[0]
    done = run_grit("status", "--sidecar", own.sidecar)
    assert done.returncode == 0, done.stderr
    assert process.stop() == 0


def test_status_of_a_deployment_that_misses_a_role_is_a_finding(processes: Deployment) -> None:
    gtm = processes.processes["gtm"]
    gtm.kill()
    done = run_grit("status", "-c", processes.config)
    gtm.start()
    processes.until_serving()
    assert done.returncode == 1, done.stdout
    assert "unreachable" in done.stdout


async def test_a_transaction_can_be_followed_from_the_client_to_the_databases(processes: Deployment) -> None:
    async def write(txn: Transaction) -> Transaction:
        await txn.put("carts.carts", {"customer": "followed", "items": ["x"]})
        await txn.put("social.Customer", {"customer": "followed"})
        return txn

    async with grit.client.connect(processes.sidecar) as db:
        txn = await patiently(db, write)
    shown: list[str | Path] = ["txn", "show", txn.txid, "-c", processes.config]
    async with asyncio.timeout(LIMIT_S):
        while (done := await asyncio.to_thread(run_grit, *shown)).stdout.count(", applied: ") < 2:
            assert done.returncode == 0, done.stderr
    assert "COMMITTED at Csn" in done.stdout
    dumped = await asyncio.to_thread(run_grit, "log", "dump", "dbtl.carts", "-c", processes.config)
    assert dumped.returncode == 0, dumped.stderr
    assert txn.txid in dumped.stdout
