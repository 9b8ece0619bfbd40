"""The run, from empty folder to verdict."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Coroutine, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import grpc
from rich.console import Console

from sample_services.demo.deployment import Deployment, led_names
from sample_services.demo.population import load_population
from sample_services.demo.verdict import Figures, check_all, show_figures, show_next_steps, show_verdict
from sample_services.demo.watch import Lookout
from sample_services.load.clients import run_load
from sample_services.load.history import History, opened_history
from sample_services.load.progress import Progress, lags_text
from sample_services.load.shopping import Skew, Step, populate, shopping
from sample_services.load.tally import Tally
from sample_services.pb.v1.shop_pb2_grpc import ShopStub

VICTIMS = ("player stock", "gtm", "dbtm orders")
AWAY_S = 2.0
"""Who was killed stays away for so long: of a player the services do not notice, the lag of its realm shows it."""
TAKEN_OVER_S_MAX = 30.0
LOOK_S = 0.5
SET_UP_S_MAX = 60.0
APPLIED_S_MAX = 30.0
LOAD_S_LEAST, CHECKOUT_S_MAX = 120.0, 0.5
Result = TypeVar("Result")


@dataclass(frozen=True)
class Plan:
    """What is asked for."""

    checkouts: int = 2_000
    clients: int = 16
    seed: int = 1
    victims: tuple[str, ...] = VICTIMS
    is_kept: bool = False
    trace_file: Path | None = None
    history: Path | None = None


async def tell_story(plan: Plan, folder: Path, console: Console) -> int:
    """Run everything in an empty folder; return how many violations there are, lost orders included.

    Raises:
        Died: A process ended by itself; the message has the end of its log.
        TimeoutError: What must end by itself did not.
    """
    deployment = Deployment(folder, plan.trace_file, has_standbys=True)
    tally = Tally()
    async with running(deployment):
        await guarded(deployment, _set_up(plan, deployment, console))
        with opened_history(plan.history) as history:
            figures = await guarded(deployment, _sell(plan, deployment, console, tally, history))
        await guarded(deployment, _until_applied(deployment, console))
        checks = await check_all(deployment, tally)
        show_figures(console, tally, figures)
        violations = show_verdict(console, checks)
        show_next_steps(console, deployment, tally)
        if plan.is_kept:
            console.print(
                f"everything runs on, the shop at {deployment.service_address('shop')}; Ctrl-C stops", highlight=False
            )
            with contextlib.suppress(asyncio.CancelledError):  # no failure here, but what the user was told to do
                await guarded(deployment, asyncio.Event().wait())
    return violations


async def _set_up(plan: Plan, deployment: Deployment, console: Console) -> None:
    began, population = time.monotonic(), populate(plan.seed)
    async with limited(SET_UP_S_MAX, "starting and loading"):
        await load_population(deployment, population)
        await _stand_by(deployment)
    console.print(
        f"set up in {time.monotonic() - began:.1f} s: {len(deployment.roles)} roles of GRIT and"
        f" {len(deployment.services)} services, each a process, and one that stands by for every leader;"
        f" {len(population.customers)} customers, {len(population.items)} products",
        highlight=False,
        soft_wrap=True,
    )


async def _stand_by(deployment: Deployment) -> None:
    """Start the standbys: now that the others serve, those lead."""
    assert deployment.standbys is not None
    await deployment.standbys.start()
    await Lookout(deployment).until_standing_by()


async def _until_applied(deployment: Deployment, console: Console) -> None:
    began = time.monotonic()
    async with limited(APPLIED_S_MAX, "applying the logs to the databases"):
        await Lookout(deployment).until_applied()
    console.print(f"every database has all of its log after another {time.monotonic() - began:.1f} s", highlight=False)


@asynccontextmanager
async def limited(seconds: float, what: str) -> AsyncIterator[None]:
    """End what takes too long.

    Raises:
        TimeoutError: Says what.
    """
    try:
        async with asyncio.timeout(seconds):
            yield
    except TimeoutError as error:
        raise TimeoutError(f"{what} took more than {seconds:.0f} s; see the logs") from error


@asynccontextmanager
async def running(deployment: Deployment) -> AsyncIterator[None]:
    """Start every process but the standbys; at the end, however it comes, stop them all, and who is needed longer later."""
    try:
        for process in [*deployment.roles.values(), *deployment.services.values()]:
            await process.start()
        yield
    finally:
        await asyncio.gather(*(process.stop() for process in deployment.services.values()))
        if deployment.standbys is not None:
            await deployment.standbys.stop()
        await asyncio.gather(*(process.stop() for process in deployment.roles.values()))


async def guarded(deployment: Deployment, work: Coroutine[Any, Any, Result]) -> Result:
    """Return what `work` returns, unless a process ends meanwhile.

    Raises:
        Died: One did.
    """
    task = asyncio.create_task(work)
    try:
        ends: list[asyncio.Future[Any]] = [task, deployment.death]
        await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        if deployment.death.done():
            raise deployment.death.result()
        return task.result()
    finally:
        task.cancel()
        await asyncio.wait({task})


async def _sell(plan: Plan, deployment: Deployment, console: Console, tally: Tally, history: History) -> Figures:
    """Run the load, with the kills evenly spread over it."""
    population = populate(plan.seed)
    victims = {name: asyncio.Event() for name in plan.victims}
    stretch = plan.checkouts / (len(victims) + 1)
    moments = {int(stretch * number): event for number, event in enumerate(victims.values(), 1)}
    steps = _noting(shopping(plan.seed, population, Skew()), moments)
    before = {process.name: process.cpu_s() for process in deployment.processes}
    began = time.monotonic()
    with Progress(console, tally, plan.checkouts) as progress:
        lookout = Lookout(deployment)
        watching = asyncio.create_task(_watch(lookout, progress))
        killing = asyncio.create_task(_kill_each(victims, deployment, lookout, progress))
        try:
            async with grpc.aio.insecure_channel(deployment.service_address("shop")) as channel:
                await channel.channel_ready()
                began = time.monotonic()
                shop = ShopStub(channel)
                async with limited(LOAD_S_LEAST + plan.checkouts * CHECKOUT_S_MAX, "the load"):
                    await run_load(shop, steps, tally, history, checkouts=plan.checkouts, clients=plan.clients)
            load_s = time.monotonic() - began
            await killing
        finally:
            for task in (watching, killing):
                task.cancel()
            await asyncio.wait({watching, killing})
    used = {process.name: process.cpu_s() - before[process.name] for process in deployment.processes}
    return Figures(load_s, progress.course.by_second()[: round(load_s)], used, (await lookout.look()).aborts)


def _noting(steps: Iterator[Step], moments: Mapping[int, asyncio.Event]) -> Iterator[Step]:
    """Pass steps on; set each event when so many have been taken."""
    for taken, step in enumerate(steps):
        if taken in moments:
            moments[taken].set()
        yield step


async def _watch(lookout: Lookout, progress: Progress) -> None:
    while True:
        progress.show(await lookout.look())
        await asyncio.sleep(LOOK_S)


async def _kill_each(
    victims: Mapping[str, asyncio.Event], deployment: Deployment, lookout: Lookout, progress: Progress
) -> None:
    """Kill one after the other, each when its moment has come."""
    for victim, moment in victims.items():
        await moment.wait()
        if victim in led_names():
            await _kill_leader(victim, deployment, lookout, progress)
        else:
            await _kill_and_restart(victim, deployment, lookout, progress)


async def _kill_and_restart(victim: str, deployment: Deployment, lookout: Lookout, progress: Progress) -> None:
    await deployment.process(victim).kill()
    progress.say(f"{victim}: killed (SIGKILL)")
    await asyncio.sleep(AWAY_S)
    sight = await lookout.look()
    await deployment.process(victim).start()
    progress.say(f"{victim}: started again; databases are behind by {lags_text(sight.lags)}")


async def _kill_leader(role: str, deployment: Deployment, lookout: Lookout, progress: Progress) -> None:
    """Kill the process that leads; start it again, as a standby, once another leads and the rate is felt again."""
    leader = await _leader_of(role, lookout)
    rate, began = progress.course.rate(), time.monotonic()
    await deployment.process(leader).kill()
    progress.say(f"{role}: its leader killed (SIGKILL), at {rate:.0f} checkouts/s")
    successor = await _leader_of(role, lookout)
    progress.say(f"{role}: the standby leads, {time.monotonic() - began:.1f} s later ({successor})")
    await asyncio.sleep(AWAY_S)
    await deployment.process(leader).start()
    progress.say(f"{role}: started again, as standby; {progress.course.rate():.0f} checkouts/s")


async def _leader_of(role: str, lookout: Lookout) -> str:
    """Return the process that leads, as soon as one does."""
    async with limited(TAKEN_OVER_S_MAX, f"a take-over of {role}"):
        return await lookout.leader(role)
