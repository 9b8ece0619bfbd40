"""`python -m sample_services.load`: customers for a shop that runs, such as that of `python -m sample_services.demo --keep`."""

import asyncio
from pathlib import Path

import click
import grpc
import uvloop
from rich.console import Console

from sample_services.load.clients import run_load
from sample_services.load.history import opened_history
from sample_services.load.progress import Progress, Sight
from sample_services.load.shopping import Skew, populate, shopping
from sample_services.load.tally import Tally
from sample_services.pb.v1.shop_pb2_grpc import ShopStub

LOOK_S = 0.5


@click.command()
@click.option("--shop", required=True, help="host:port of the shop; it has the population of the demo.")
@click.option("--checkouts", default=1_000, show_default=True, type=click.IntRange(1), help="How many shall commit.")
@click.option("--clients", default=16, show_default=True, type=click.IntRange(1, 1_000), help="At work at once.")
@click.option("--seed", default=2, show_default=True, help="Decides what customers do; another one for each run.")
@click.option("--history", type=click.Path(path_type=Path), help="Write what the clients did here, JSON lines.")
def load(*, shop: str, checkouts: int, clients: int, seed: int, history: Path | None) -> None:
    """Run customers against a shop until enough checkouts committed."""
    uvloop.run(_run(shop, checkouts, clients, seed, history))


async def _run(shop: str, checkouts: int, clients: int, seed: int, path: Path | None) -> None:
    tally, steps = Tally(), shopping(seed, populate(seed), Skew(), are_carts_full=False)
    with opened_history(path) as history, Progress(Console(), tally, checkouts) as progress:
        watching = asyncio.create_task(_watch(progress))
        try:
            async with grpc.aio.insecure_channel(shop) as channel:
                await run_load(ShopStub(channel), steps, tally, history, checkouts=checkouts, clients=clients)
        finally:
            watching.cancel()
        progress.say(progress.line(Sight()))


async def _watch(progress: Progress) -> None:
    while True:
        progress.show(Sight())
        await asyncio.sleep(LOOK_S)


if __name__ == "__main__":
    load()
