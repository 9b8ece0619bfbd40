"""`python -m bench`: runs benchmarks one after the other, and writes down what they found."""

import importlib
import shlex
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import click

from bench.figure import Figure, number_text
from bench.results import Result, now_text, this_machine, write_page, write_result
from bench.settings import Settings

BENCHMARKS = {
    "certify": "certification alone, the whole step of a DBTM, growth with the keys, memory of a history",
    "floor": "what the machine gives: gRPC round trips, appends to the embedded log",
    "m0": "one Transact of three blind puts in three realms, beside three uncoordinated commits",
    "reads": "strict and snapshot read-only transactions beside read-write ones",
    "players": "rows a second into each embedded store, beside the bare driver",
    "failover": "from the kill of a leader, or its planned stop, until goodput is back; what was lost",
    "elected": "the same kills, where an elector by file locks says which replica tries first",
    "standbys": "CPU and memory of a leader and of its hot standby, idle and under load",
    "starts": "seconds until a GTM, a DBTM, and all roles serve, against the length of the logs, with and without a checkpoint",
    "cli": "grit --help, and grit dev to its first commit",
    "checkout": "the marketplace's checkouts at 16 clients",
}
"""Name, which is that of its module, and what it measures."""


@click.command()
@click.argument("names", nargs=-1, metavar="[NAME]...")
@click.option("--quick", is_flag=True, help="The reduced run: all of it in under 5 minutes.")
@click.option("--list", "is_list", is_flag=True, help="List the benchmarks.")
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("bench/results"),
    show_default=True,
    help="Where results go: a JSON file a run, and the page README.md.",
)
@click.option(
    "--strict",
    is_flag=True,
    help="Exit status 1 when a count is not what it must be: anything lost, any finding. Times and rates are only reported.",
)
def main(names: tuple[str, ...], out: Path, *, quick: bool, is_list: bool, strict: bool) -> None:
    """Run benchmarks: all, or those NAMEd."""
    if is_list:
        for name, text in BENCHMARKS.items():
            click.echo(f"{name:10} {text}")
        return
    unknown = sorted(set(names) - set(BENCHMARKS))
    if unknown:
        raise click.UsageError(f"no benchmark {', '.join(unknown)}; there are {', '.join(BENCHMARKS)}")
    figures = [figure for name in names or BENCHMARKS for figure in _run(name, out, quick=quick)]
    wrong = [f"{one.name}: {number_text(one.value)}" for one in figures if one.is_wrong]
    if strict and wrong:
        click.echo(f"must not be: {'; '.join(wrong)}", err=True)
        sys.exit(1)


def _run(name: str, out: Path, *, quick: bool) -> Sequence[Figure]:
    click.echo(f"{name}: {BENCHMARKS[name]}")
    machine, began = this_machine(), now_text()
    with tempfile.TemporaryDirectory(prefix=f"grit-bench-{name}-") as folder:
        settings = Settings(Path(folder), is_quick=quick)
        figures: Sequence[Figure] = importlib.import_module(f"bench.{name}").run(settings)
    command = shlex.join(["python", "-m", "bench", name, *(["--quick"] if quick else [])])
    measured = {"quick": quick, "load_s": settings.load_s, "warm_up_s": settings.warm_up_s}
    path = write_result(Result(name, began, command, machine, measured, figures), out)
    write_page(out)
    for figure in figures:
        target = "" if figure.target is None else f"  target {figure.target}: {figure.verdict}"
        click.echo(f"  {figure.name:52} {number_text(figure.value):>10} {figure.unit}{target}")
    click.echo(f"  -> {path}")
    return figures


if __name__ == "__main__":
    sys.exit(main())
