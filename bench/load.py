"""The load of M0, as a process of its own: clients that send `Transact` with three blind puts, one after the other.

The rival `none` answers the same call on the same wire, so both are asked by the same program.
"""

import asyncio
import itertools
import json
import random
import time
from collections.abc import Sequence

import click

from bench.figure import percentile
from grit.client import Client, GritError, connect
from grit.core.ids import Collection, Realm
from grit.core.operations import Put
from grit.runtime.run import run
from sample_services.demo.processes import cpu_s_of

READY_S_MAX = 60.0
PAUSE_S = 0.05
STOCK = (Realm("orders"), Collection("stock"))
CARTS = (Realm("carts"), Collection("carts"))
SOCIAL = (Realm("social"), Collection("Customer"))


def three_puts(number: int, value: int) -> list[Put]:
    """Return one blind put for each realm of the built-in catalogue."""
    name = f"n{number}"
    return [
        Put(*STOCK, {"product": name, "on_hand": value, "sold": 0}),
        Put(*CARTS, {"customer": name, "items": [{"product": name, "qty": value}], "status": "open"}),
        Put(*SOCIAL, {"customer": name, "name": f"Customer {value}"}),
    ]


class Load:
    """A closed loop: each client sends the next as soon as the last has committed.

    Args:
        address: Of the sidecar, or of the rival.
        clients: Each with a connection of its own.
        keys: Records are chosen uniformly from so many in each realm.
    """

    def __init__(self, address: str, clients: int, keys: int) -> None:
        self._clients = [connect(address, service="bench") for _ in range(clients)]
        self._keys = keys
        self._latencies_ms: list[float] = []
        self._failures: dict[str, int] = {}
        self._is_over = False

    async def until_ready(self) -> None:
        """Return when the first transaction has committed.

        Raises:
            TimeoutError: None does.
        """
        async with asyncio.timeout(READY_S_MAX):
            while True:
                try:
                    await self._clients[0].transact(three_puts(0, 0), max_attempts=1)
                    return
                except GritError:
                    await asyncio.sleep(PAUSE_S)

    async def measure(self, warm_up_s: float, load_s: float, pids: Sequence[int]) -> dict[str, object]:
        """Run the load; return counts, latencies and the CPU seconds that processes used meanwhile."""
        workers = [asyncio.create_task(self._work(client, at)) for at, client in enumerate(self._clients)]
        await asyncio.sleep(warm_up_s)
        self._latencies_ms.clear()
        self._failures.clear()
        began, cpu = time.perf_counter(), [_cpu(pid) for pid in pids]
        own = time.process_time()
        print("measuring", flush=True)
        await asyncio.sleep(load_s)
        took, own = time.perf_counter() - began, time.process_time() - own
        used = [{key: now[key] - then[key] for key in now} for then, now in zip(cpu, map(_cpu, pids), strict=True)]
        ordered = sorted(self._latencies_ms)
        failures = dict(self._failures)
        self._is_over = True
        await asyncio.gather(*workers)
        await self.close()
        return {
            "seconds": took,
            "commits": len(ordered),
            "failures": failures,
            "p50_ms": percentile(ordered, 0.5),
            "p95_ms": percentile(ordered, 0.95),
            "p99_ms": percentile(ordered, 0.99),
            "cpu_s": used,
            "own_cpu_s": own,
        }

    async def close(self) -> None:
        """End the connections."""
        for client in self._clients:
            await client.close()

    async def _work(self, client: Client, seed: int) -> None:
        chance = random.Random(seed)
        for value in itertools.count():
            if self._is_over:
                return
            began = time.perf_counter()
            try:
                await client.transact(three_puts(chance.randrange(self._keys), value))
            except GritError as error:
                self._failures[error.code.value] = self._failures.get(error.code.value, 0) + 1
            else:
                self._latencies_ms.append(1000 * (time.perf_counter() - began))


def _cpu(pid: int) -> dict[str, float]:
    return {"all": cpu_s_of(pid), "main": cpu_s_of(pid, pid)}


@click.command()
@click.argument("address")
@click.option("--clients", default=1, show_default=True)
@click.option("--keys", default=10_000, show_default=True)
@click.option("--warm-up", default=1.0, show_default=True, help="Seconds.")
@click.option("--seconds", default=4.0, show_default=True)
@click.option("--pid", "pids", multiple=True, type=int, help="Processes whose CPU time is of interest.")
def main(address: str, clients: int, keys: int, warm_up: float, seconds: float, pids: tuple[int, ...]) -> None:
    """Send Transact with three blind puts to ADDRESS; print one line of JSON at the end."""

    async def measure() -> dict[str, object]:
        load = Load(address, clients, keys)
        await load.until_ready()
        return await load.measure(warm_up, seconds, pids)

    click.echo(json.dumps(run(measure())))


if __name__ == "__main__":
    main()
