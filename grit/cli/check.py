"""`grit check`: the consistency checker on a deployment. Imports are late: `grit --help` must be fast."""

import asyncio
import os
from collections.abc import Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click

if TYPE_CHECKING:
    from grit.checker.report import Report
    from grit.checker.sources import Sources
    from grit.config.model import Config

EXIT_ENVIRONMENT = 3

_CONFIG = click.argument("config", type=click.Path(path_type=Path), default=Path("grit.yaml"))
_OUTPUT = click.option(
    "-o", "--output", type=click.Choice(["text", "json"]), default="text", show_default=True, help="How to print."
)


@click.group()
def check() -> None:
    """Check a deployment: its logs, its databases, or the rules of the application.

    Exit status: 0 valid, 1 a finding, 2 not everything could be judged, 3 usage or environment. The last line of text is
    VALID, INVALID or UNKNOWN, and how many transactions and findings there are.
    """


@check.command()
@_CONFIG
@click.option("--quiesced", is_flag=True, help="Nothing is in progress: whatever committed must be in every log.")
@_OUTPUT
def log(config: Path, quiesced: bool, output: str) -> None:  # noqa: FBT001 - click gives it by name
    """Are the logs well formed, and do they agree on every transaction?"""
    from grit.checker.check import check_log

    _report(lambda sources: check_log(sources, is_quiesced=quiesced), config, output)


@check.command()
@_CONFIG
@_OUTPUT
def state(config: Path, output: str) -> None:
    """Is every database what its log says, row by row? May be asked while the system runs."""
    from grit.checker.check import check_state

    _report(check_state, config, output)


@check.command()
@click.argument("rules", type=click.Path(path_type=Path))
@_CONFIG
@click.option(
    "--at", type=click.IntRange(min=0), metavar="CSN", help="Look at the state at this Csn, not at the newest."
)
@_OUTPUT
def app(rules: Path, config: Path, at: int | None, output: str) -> None:
    """Do the rules in RULES hold? Each is an SQL query over realm.collection that must return no row."""
    from grit.checker.check import check_app
    from grit.checker.rules import parse_rules

    def run(sources: "Sources") -> "Coroutine[Any, Any, Report]":
        return check_app(parse_rules(_read(rules), str(rules)), sources, at=at)

    _report(run, config, output)
