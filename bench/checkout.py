"""The demo's checkouts, without its accident: six services and twelve roles, each a process; 16 clients, skewed.

Uses the demo's own deployment, population and load, and has the result checked as the demo does.
"""

import time
from collections import Counter
from collections.abc import Iterator, Mapping

import grpc

from bench.figure import Figure, Target
from bench.settings import Settings
from grit.runtime.run import run as run_loop
from sample_services.demo.deployment import Deployment
from sample_services.demo.population import load_population
from sample_services.demo.story import guarded, running
from sample_services.demo.verdict import check_all
from sample_services.demo.watch import Lookout
from sample_services.load.clients import run_load
from sample_services.load.history import NoHistory
from sample_services.load.shopping import Skew, Step, populate, shopping
from sample_services.load.tally import Tally
from sample_services.pb.v1.shop_pb2_grpc import ShopStub

CLIENTS, SEED = 16, 1


def run(settings: Settings) -> list[Figure]:
    """Measure checkouts at 16 clients."""
    return run_loop(_measure(settings))


async def _measure(settings: Settings) -> list[Figure]:
    checkouts = settings.pick(400, 4_000)
    deployment = Deployment(settings.new_folder("checkout"))
    lookout = Lookout(deployment)
    steps, warm_up, tally = shopping(SEED, populate(SEED), Skew()), Tally(), Tally()
    async with running(deployment):
        await guarded(deployment, load_population(deployment, populate(SEED)))
        await guarded(deployment, _sell(deployment, steps, warm_up, checkouts // 4))
        before = {process.name: process.cpu_s() for process in deployment.processes}
        aborts_before = (await lookout.look()).aborts
        took_s = await guarded(deployment, _sell(deployment, steps, tally, checkouts))
        used = {process.name: process.cpu_s() - before[process.name] for process in deployment.processes}
        causes = Counter((await lookout.look()).aborts)
        causes.subtract(aborts_before)
        await guarded(deployment, lookout.until_applied())
        figures = [*_load_figures(tally, took_s, causes), *_cpu_figures(used, sum(tally.committed.values()))]
        tally.orders |= warm_up.orders
        checks = await check_all(deployment, tally)
    findings = sum(one.violations for one in checks)
    return [*figures, Figure("findings of grit check", findings, "findings", Target("=", 0))]


async def _sell(deployment: Deployment, steps: Iterator[Step], tally: Tally, checkouts: int) -> float:
    """Run the load; return the seconds that it took."""
    async with grpc.aio.insecure_channel(deployment.service_address("shop")) as channel:
        await channel.channel_ready()
        began = time.monotonic()
        await run_load(ShopStub(channel), steps, tally, NoHistory(), checkouts=checkouts, clients=CLIENTS)
        return time.monotonic() - began


def _load_figures(tally: Tally, took_s: float, causes: Mapping[str, int]) -> list[Figure]:
    commits = sum(tally.committed.values())
    figures = [
        Figure("checkouts", tally.checkouts / took_s, "1/s", None, f"refused by the shop: {dict(tally.refused)}"),
        Figure("transactions", commits / took_s, "1/s", None, f"given up: {dict(tally.aborted)}"),
        Figure("p50 of a checkout", tally.percentile_ms(0.5), "ms"),
        Figure("p99 of a checkout", tally.percentile_ms(0.99), "ms"),
        Figure("retries per commit", tally.retries / max(1, commits), "x"),
    ]
    return figures + [
        Figure(f"attempts ended by {code}", 1000 * count / max(1, commits), "per 1,000 commits")
        for code, count in sorted(causes.items())
        if count
    ]


def _cpu_figures(used: Mapping[str, float], commits: int) -> list[Figure]:
    figures = [Figure(f"CPU of {name}", 1e6 * seconds / commits, "us/commit") for name, seconds in used.items()]
    return [*figures, Figure("CPU of all", 1e6 * sum(used.values()) / commits, "us/commit")]
