"""`grit realm checkpoint`: the database of a realm as one file, at one position of its log."""

from pathlib import Path

import click

from grit.checker.check import judge_state
from grit.checker.digest import digest_of_rows
from grit.checker.sources import all_rows
from grit.cli.config_option import config_option, read_config
from grit.cli.log_files import run_looking
from grit.cli.realm_base import read_history
from grit.cli.realm_rebuild import expect_embedded, finding_lines
from grit.config.model import Config
from grit.core.catalog import RealmDef
from grit.core.errors import ConfigError
from grit.store.checkpoint import stored_rows, write_checkpoint
from grit.store.open import open_reader
from grit.store.sql.sqlite import database_path

GOOD, FINDING = 0, 1


@click.command("checkpoint")
@click.argument("realm")
@config_option
@click.option("--to", "to", type=click.Path(path_type=Path), help="The file; default: beside the database.")
def realm_checkpoint(realm: str, config_path: Path, *, to: Path | None) -> int:
    """Write all records of the database of REALM, and the position in its log that they belong to, into one file.

    They are of one moment, also while the player runs, and are held to the log first: what is wrong is no checkpoint. Exit
    status: 0 written, 1 the database is not what its log says, 3 usage or environment.
    """
    config = read_config(config_path)
    return run_looking(_write(config, expect_embedded(config, realm), to))


async def _write(config: Config, realm: RealmDef, to: Path | None) -> int:
    names = sorted(realm.collections)
    reader = open_reader(realm, {})
    try:
        answer = await all_rows(reader, realm)
    finally:
        await reader.close()
    cursor = answer.after
    if cursor is None:
        raise ConfigError(
            f"realm {realm.name}: nothing was applied to its database yet: its player makes the first position"
        )
    state = judge_state(await read_history(config, realm), answer, names)
    if state.findings or state.gap:
        click.echo("\n".join([*finding_lines(state.findings), *filter(None, [state.gap])]))
        click.echo(
            f"no checkpoint: the database of realm {realm.name} is not what its log says; `grit realm rebuild` repairs it"
        )
        return FINDING
    path = to or _beside(database_path(realm), cursor.offset)
    rows = stored_rows(names, answer)
    write_checkpoint(path, realm.name, cursor, rows)
    click.echo(
        f"{path}: offset {cursor.offset:,}, Lsn {cursor.lsn:,}, {len(rows):,} records, hash {digest_of_rows(names, answer)}"
    )
    return GOOD


def _beside(database: Path, offset: int) -> Path:
    return database.with_name(f"{database.name}.checkpoint-{offset}")
