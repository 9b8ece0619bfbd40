"""How far long work is: a bar on a terminal, a line for every tenth elsewhere. On standard error: results go to the other one."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import click

Advance = Callable[[int], None]
"""Told how much is done, of the total."""


@contextmanager
def progress(what: str, total: int) -> Iterator[Advance]:
    """Show the progress of `what` as long as the block runs."""
    if sys.stderr.isatty():
        with _bar(what, total) as advance:
            yield advance
    else:
        yield _lines(what, total)


@contextmanager
def _bar(what: str, total: int) -> Iterator[Advance]:
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(what, total=total)
        yield lambda done: bar.update(task, completed=done)


def _lines(what: str, total: int) -> Advance:
    told = [0]

    def advance(done: int) -> None:
        tenth = 10 * done // total if total else 10
        if tenth > told[0]:
            told[0] = tenth
            click.echo(f"{what}: {done:,} of {total:,} ({10 * tenth} %)", err=True)

    return advance
