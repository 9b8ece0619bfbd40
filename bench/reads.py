"""Transactions that read one record in each of two realms: strict, on a snapshot, and with a write of both, in one run.

Each role is a process of its own; the clients run here, one after the other kind on the same deployment, in rounds, so that what
the machine does meanwhile falls on all of them.
"""

import asyncio
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack

from bench.deployment import own_processes
from bench.figure import Figure, percentile
from bench.load import CARTS, STOCK, Load
from bench.processes import running
from bench.settings import Settings
from grit.client import Client, GritError, connect
from grit.core.operations import Put
from grit.runtime.run import run as run_loop
from sample_services.demo.processes import cpu_s_of

CLIENTS = (1, 16)
KEYS, BATCH = 2_000, 100
ROUNDS = 4
Body = Callable[[Client, str], Awaitable[None]]


async def _read_write(db: Client, name: str) -> None:
    async with db.transaction() as txn:
        stock, _ = await asyncio.gather(txn.get("orders.stock", name), txn.get("carts.carts", name))
        await txn.patch("orders.stock", name, {"sold": stock["sold"] + 1})
        await txn.patch("carts.carts", name, {"status": "sold"})


async def _strict(db: Client, name: str) -> None:
    async with db.read_only() as txn:
        await asyncio.gather(txn.get("orders.stock", name), txn.get("carts.carts", name))


async def _snapshot(db: Client, name: str) -> None:
    async with db.read_only(isolation="snapshot") as txn:
        await asyncio.gather(txn.get("orders.stock", name), txn.get("carts.carts", name))


async def _bounded(db: Client, name: str) -> None:
    async with db.read_only(staleness=1_000) as txn:
        await asyncio.gather(txn.get("orders.stock", name), txn.get("carts.carts", name))


KINDS: Mapping[str, Body] = {
    "read-write": _read_write,
    "strict read-only": _strict,
    "snapshot": _snapshot,
    "snapshot, at most 1 s old": _bounded,
}


class Measured:
    """What one kind of transaction has done at one number of clients."""

    def __init__(self) -> None:
        self.latencies_ms: list[float] = []
        self.failures: Counter[str] = Counter()
        self.took_s = 0.0
        self.cpu_s = 0.0


def run(settings: Settings) -> list[Figure]:
    """Measure every kind with one and with many clients."""
    folder = settings.new_folder("reads")
    _, sidecar, commands = own_processes(folder)
    with running(commands, folder) as processes:
        return run_loop(_measure(settings, sidecar, [one.pid for one in processes.values()]))


async def _measure(settings: Settings, sidecar: str, pids: list[int]) -> list[Figure]:
    await _populate(sidecar)
    figures: list[Figure] = []
    for clients in CLIENTS:
        measured = {kind: Measured() for kind in KINDS}
        async with AsyncExitStack() as stack:
            connections = [await stack.enter_async_context(connect(sidecar, service="bench")) for _ in range(clients)]
            for body in KINDS.values():
                await _work(connections, body, settings.warm_up_s / ROUNDS, Measured())
            for _ in range(ROUNDS):
                for kind, body in KINDS.items():
                    before = sum(map(cpu_s_of, pids))
                    await _work(connections, body, settings.load_s / ROUNDS, measured[kind])
                    measured[kind].cpu_s += sum(map(cpu_s_of, pids)) - before
        figures += _figures(clients, measured)
    return figures


async def _populate(sidecar: str) -> None:
    """Write the records that are read."""
    load = Load(sidecar, 1, 1)
    await load.until_ready()
    await load.close()
    async with connect(sidecar, service="bench") as db:
        for first in range(0, KEYS, BATCH):
            names = [f"n{number}" for number in range(first, first + BATCH)]
            stock = [Put(*STOCK, {"product": name, "on_hand": 0, "sold": 0}) for name in names]
            carts = [Put(*CARTS, {"customer": name, "items": [], "status": "open"}) for name in names]
            await db.transact([*stock, *carts])


async def _work(connections: list[Client], body: Body, load_s: float, measured: Measured) -> None:
    """Let every client do one after the other for so long."""
    began = time.perf_counter()
    await asyncio.gather(
        *(_client(db, body, began + load_s, random.Random(i), measured) for i, db in enumerate(connections))
    )
    measured.took_s += time.perf_counter() - began


async def _client(db: Client, body: Body, until: float, chance: random.Random, measured: Measured) -> None:
    while (began := time.perf_counter()) < until:
        try:
            await body(db, f"n{chance.randrange(KEYS)}")
        except GritError as error:
            measured.failures[error.code.value] += 1
        else:
            measured.latencies_ms.append(1000 * (time.perf_counter() - began))


def _figures(clients: int, measured: Mapping[str, Measured]) -> list[Figure]:
    figures: list[Figure] = []
    rates: dict[str, float] = {}
    for kind, one in measured.items():
        at = f"{kind}, {clients} client{'s' if clients > 1 else ''}"
        ended, ordered = max(1, len(one.latencies_ms)), sorted(one.latencies_ms)
        rates[kind] = len(ordered) / one.took_s
        failures = ", ".join(f"{code} {count}" for code, count in sorted(one.failures.items())) or "none"
        figures.append(Figure(at, rates[kind], "1/s", None, f"attempts that aborted: {failures}"))
        figures += [Figure(f"{at}, p{p}", percentile(ordered, p / 100), "ms") for p in (50, 99)]
        figures.append(Figure(f"{at}, CPU of all roles", 1e6 * one.cpu_s / ended, "us/transaction"))
    of = f"{clients} client{'s' if clients > 1 else ''}"
    figures += [
        Figure(f"{kind} / read-write, {of}", rate / rates["read-write"], "x")
        for kind, rate in rates.items()
        if kind != "read-write" and rates["read-write"]
    ]
    return figures
