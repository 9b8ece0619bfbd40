"""The simulator by hand and in CI: `make sim SEED=k`, `make sim SEEDS=n`, `make sim SECONDS=s`.

One seed shows its plan, its journal and what came of it. Many seeds run on all cores; the first that fails is made as
small as it gets and written to tests/scenarios/.
"""

import itertools
import os
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import click

from tests.sim.mutations import MUTATIONS
from tests.sim.plan import draw
from tests.sim.scenario import write_found
from tests.sim.shrink import failure_of, shrink
from tests.sim.spelling import spell_plan
from tests.sim.swarm import Swarm

CHUNK = 50
"""Seeds that a worker takes at once."""
FAILURE_WIDTH = 150


@click.command()
@click.option("--seed", type=int, help="Show this seed.")
@click.option("--first", type=int, default=0, show_default=True, help="The first of many seeds.")
@click.option("--seeds", type=int, default=500, show_default=True, help="Run so many.")
@click.option("--seconds", type=float, help="Run as many as there is time for instead.")
@click.option("--jobs", type=int, default=os.cpu_count() or 1, show_default=True, help="Processes.")
@click.option("--without", default="", help="Take out the one rule of docs/protocol/mutations.md that contains this.")
def main(seed: int | None, first: int, seeds: int, seconds: float | None, jobs: int, without: str) -> None:
    """Run whole clusters in virtual time, and judge them."""
    rule, remove = _removal(without)
    if seed is not None:
        with remove():
            failed = _show(seed)
        sys.exit(_report(seed, rule) if failed else 0)
    end = first + seeds if seconds is None else sys.maxsize
    chunks = (
        range(at, min(at + CHUNK, end))
        for at in itertools.takewhile(lambda at: at < end, itertools.count(first, CHUNK))
    )
    sys.exit(_run_many(chunks, first, seconds, jobs, rule))


def _removal(without: str) -> tuple[str, Callable[[], AbstractContextManager[Any]]]:
    if not without:
        return "", nullcontext
    found = [mutation for mutation in MUTATIONS if without in mutation.rule]
    if len(found) != 1:
        raise click.BadParameter(f"{len(found)} rules contain {without!r}; docs/protocol/mutations.md lists them")
    return found[0].rule, found[0].remove


def _show(seed: int) -> bool:
    """Tell everything about one seed; return whether it failed."""
    plan = draw(seed)
    click.echo(spell_plan(plan))
    cluster = Swarm(plan)
    failure = ""
    try:
        cluster.run()
    except Exception as error:  # noqa: BLE001 - whatever it is, it is what came of this seed
        failure = f"{type(error).__name__}: {error}".splitlines()[0]
    for line in cluster.world.journal.read():
        click.echo(line)
    click.echo(cluster.world.journal.named(failure) or f"seed {seed}: everything is as it must be")
    return bool(failure)


def _run_many(chunks: Iterator[range], first: int, seconds: float | None, jobs: int, rule: str) -> int:
    began = time.monotonic()
    count = 0
    with ProcessPoolExecutor(jobs) as pool:
        running = [pool.submit(_run_chunk, chunk, rule) for chunk in itertools.islice(chunks, 2 * jobs)]
        while running:
            failed, done = running.pop(0).result()
            count += done
            if failed is not None:
                pool.shutdown(cancel_futures=True)
                return _report(failed, rule)
            if seconds is None or time.monotonic() - began < seconds:
                running += [pool.submit(_run_chunk, chunk, rule) for chunk in itertools.islice(chunks, 1)]
    took = time.monotonic() - began
    click.echo(
        f"{count:,} runs from seed {first} on, all as they must be: {took:.0f} s, {count / took * 60:,.0f} a minute"
    )
    return 0


def _run_chunk(seeds: range, rule: str) -> tuple[int | None, int]:
    """Return the first seed that failed, and how many ran."""
    with _removal(rule)[1]():
        for done, seed in enumerate(seeds, 1):
            if failure_of(draw(seed)):
                return seed, done
    return None, len(seeds)


def _report(seed: int, rule: str) -> int:
    """Make a seed that fails smaller, and write it down."""
    with _removal(rule)[1]():
        click.echo(f"seed {seed} fails, `make sim SEED={seed}` shows it: {failure_of(draw(seed))[:FAILURE_WIDTH]}")
        click.echo("making it smaller ...")
        small = shrink(draw(seed))
        failure = failure_of(small)[:FAILURE_WIDTH]
    path = write_found(small, f"found-{seed}", f"Found by seed {seed}: {failure}", rule)
    click.echo(f"{path}, to be read, named and kept:\n\n{path.read_text(encoding='utf-8')}")
    return 1


if __name__ == "__main__":
    main()
