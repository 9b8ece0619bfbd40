"""`grit config check`."""

from pathlib import Path

import click

from grit.cli.config_option import config_option, read_config


@click.command("check")
@config_option
def config_check(config_path: Path) -> None:
    """Say whether the configuration can work, and where it cannot: file, line, column and remedy."""
    config = read_config(config_path)
    for realm in config.realms.values():
        click.echo(f"realm {realm.name} ({realm.engine}): {', '.join(realm.collections)}")
    count = sum(len(realm.collections) for realm in config.realms.values())
    click.echo(f"{config.source}: good, {len(config.realms)} realms, {count} collections, {config.log.kind} log")
