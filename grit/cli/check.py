"""`grit check`: the consistency checker on a deployment."""

from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from grit.checker.check import check_app, check_log, check_state
from grit.checker.report import Report
from grit.checker.rules import parse_rules
from grit.checker.sources import Sources
from grit.cli.config_option import DEFAULT_CONFIG, read_config
from grit.cli.log_files import open_existing, run_looking
from grit.config.model import Config
from grit.config.text_file import read_text_file
from grit.core.catalog import RealmDef
from grit.core.errors import ConfigError
from grit.store.open import MEMORY, open_reader

if TYPE_CHECKING:
    from grit.log.port import Log
    from grit.store.port import StoreReader

_RULES_BYTES_MAX = 1 << 20

_Command = Callable[[Any], Any]
_config: _Command = click.argument(
    "config_path", metavar="[CONFIG]", type=click.Path(path_type=Path), default=Path(DEFAULT_CONFIG)
)
_output: _Command = click.option(
    "-o", "--output", type=click.Choice(["text", "json"]), default="text", show_default=True, help="How to print."
)


@click.group()
def check() -> None:
    """Check a deployment: its logs, its databases, or the rules of the application.

    Exit status: 0 valid, 1 a finding, 2 not everything could be judged, 3 usage or environment. The last line of text
    is VALID, INVALID or UNKNOWN, and how many transactions and findings there are.
    """


@check.command("log")
@_config
@click.option("--quiesced", is_flag=True, help="Nothing is in progress: whatever committed must be in every log.")
@_output
def log_command(config_path: Path, *, quiesced: bool, output: str) -> int:
    """Are the logs well formed, and do they agree on every transaction?"""
    return _report(check_log(sources_of(read_config(config_path)), is_quiesced=quiesced), output)


@check.command("state")
@_config
@_output
def state_command(config_path: Path, *, output: str) -> int:
    """Is every database what its log says, row by row? May be asked while the system runs."""
    return _report(check_state(sources_of(read_config(config_path))), output)


@check.command("app")
@click.argument("rules_path", metavar="RULES", type=click.Path(path_type=Path))
@_config
@click.option("--at", type=click.IntRange(min=0), metavar="CSN", help="Look at the state at this Csn, not the newest.")
@_output
def app_command(rules_path: Path, config_path: Path, *, at: int | None, output: str) -> int:
    """Do the rules in RULES hold? Each is an SQL query over realm.collection that must return no row."""
    text = read_text_file(rules_path, bytes_max=_RULES_BYTES_MAX, too_large="these are no rules")
    rules = parse_rules(text, str(rules_path))
    return _report(check_app(rules, sources_of(read_config(config_path)), at=at), output)


def _report(work: Coroutine[Any, Any, Report], output: str) -> int:
    """Run a check, print its report, return the exit status."""
    report = run_looking(work)
    click.echo(report.json() if output == "json" else report.text())
    return report.exit_status


def sources_of(config: Config) -> Sources:
    """Return the logs and databases of a deployment, as a check opens them."""

    async def open_log(name: str) -> "Log":
        return await open_existing(config, name)

    async def open_store(realm: RealmDef) -> "StoreReader":
        if realm.engine == MEMORY:
            raise ConfigError(
                f"{config.source}: the database of realm {realm.name} is in the memory of a process: "
                "it cannot be checked from outside"
            )
        return open_reader(realm, {})

    return Sources(config.realms, open_log, open_store)
