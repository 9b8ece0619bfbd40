"""`grit realm rebuild`: the database of a realm anew from its log, and in the place of the old one."""

import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import click

from grit.checker.report import Finding
from grit.cli.config_option import config_option, read_config
from grit.cli.log_files import run_looking
from grit.cli.rebuilding import Built, Comparison, State, build
from grit.config.model import Config
from grit.core.catalog import RealmDef
from grit.core.errors import ConfigError
from grit.core.spelling import unknown_name
from grit.store.hold import owned
from grit.store.open import MEMORY
from grit.store.sql.sqlite import database_path
from grit.store.swap import remove_database, swap_in

GOOD, FINDING = 0, 1
FINDINGS_SHOWN = 5


@click.command("rebuild")
@click.argument("realm")
@config_option
@click.option(
    "--from", "checkpoint", type=click.Path(path_type=Path), help="A checkpoint of the database to begin with."
)
@click.option("--yes", is_flag=True, help="Do not ask before the new database takes the place of the old one.")
def realm_rebuild(realm: str, config_path: Path, *, checkpoint: Path | None, yes: bool) -> int:
    """Build the database of REALM anew from its log, compare it with the old one, and put it in its place.

    With --from it begins with a checkpoint, which `grit realm checkpoint` writes, and plays the log after it: a log that was
    cut needs that.

    Stop the player and every DBTM of the realm first. The old database is kept under a name that is printed. Exit status: 0
    done, 1 the new database is not what the log says, or the old one is not and was left in place; 3 usage or environment.
    """
    config = read_config(config_path)
    definition = expect_embedded(config, realm)
    if not yes and not sys.stdin.isatty():
        raise click.UsageError("there is nobody to ask here whether to swap the databases: give --yes")
    live = database_path(definition)
    with owned(definition.name, live):
        built = run_looking(build(config, definition, live, is_there=live.exists(), checkpoint=checkpoint))
        click.echo("\n".join(_lines(built, live)))
        return _swap(definition, built, live, is_asked=not yes)


def expect_embedded(config: Config, name: str) -> RealmDef:
    """Return a realm whose database is a file.

    Raises:
        ConfigError: There is no such realm, or it is in the memory of a process.
    """
    realms = {str(realm): definition for realm, definition in config.realms.items()}
    if name not in realms:
        raise ConfigError(f'{config.source}: there is no realm "{name}"{unknown_name(name, realms)}')
    if realms[name].engine == MEMORY:
        raise ConfigError(f"{config.source}: the database of realm {name} is in the memory of a process")
    return realms[name]


def _swap(realm: RealmDef, built: Built, live: Path, *, is_asked: bool) -> int:
    if not built.is_right:
        click.echo(f"{live} was left as it is; the new database is {built.path}")
        return FINDING
    if is_asked and not click.confirm(f"Put the new database in the place of {live}?"):
        remove_database(built.path)
        click.echo(f"{live} was left as it is")
        return FINDING if built.comparison.findings else GOOD
    aside = swap_in(realm.name, built.path, live, time=f"{datetime.now(UTC):%Y%m%dT%H%M%S.%fZ}")
    click.echo(f"{live} is the new database" + (f"; the old one is {aside}" if aside else ""))
    return GOOD


def _lines(built: Built, live: Path) -> Iterator[str]:
    """Yield what is to be said of a new database before the swap."""
    yield f"new database: {_state(built.state)}"
    yield f"replay of the log by the checker: hash {built.expected}: {'equal' if built.is_right else 'DIFFERENT'}"
    yield from finding_lines(built.findings)
    yield from _comparison(built.comparison, live)


def _comparison(comparison: Comparison, live: Path) -> Iterator[str]:
    if comparison.old is None or comparison.new is None:
        yield f"not compared with {live}: {comparison.unasked}"
        return
    yield f"old database: {_state(comparison.old)}"
    yield f"new database there: {_state(comparison.new)}: {'equal' if comparison.is_equal else 'DIFFERENT'}"
    yield from finding_lines(comparison.findings)


def finding_lines(findings: tuple[Finding, ...]) -> Iterator[str]:
    """Yield the first findings, and how many more there are."""
    yield from (finding.text() for finding in findings[:FINDINGS_SHOWN])
    if len(findings) > FINDINGS_SHOWN:
        yield f"and {len(findings) - FINDINGS_SHOWN} more"


def _state(state: State) -> str:
    return f"Lsn {state.lsn:,}, {state.rows:,} records, hash {state.digest}"
