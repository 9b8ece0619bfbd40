"""`grit serve`: one or more roles of a deployment in this process."""

from pathlib import Path

import click

from grit.cli.config_option import config_option, read_config
from grit.cli.role_names import parse_roles
from grit.cli.roles import run_roles


@click.command()
@click.argument("roles", nargs=-1, required=True, metavar="ROLE...")
@config_option
@click.option("--trace-file", type=click.Path(path_type=Path), help="Append finished spans to this file.")
@click.option("--metrics-port", type=click.IntRange(1, 65_535), help="Serve /metrics and /healthz here, on loopback.")
def serve(roles: tuple[str, ...], config_path: Path, trace_file: Path | None, metrics_port: int | None) -> int:
    """Run roles: gtm, dbtm REALM, player REALM, sidecar; several in one process, such as `gtm dbtm orders`.

    SIGTERM drains: what is under way is finished, nothing new is taken.
    """
    config = read_config(config_path)
    names = parse_roles(roles, config.realms)
    return run_roles(config, names, trace_file=trace_file, metrics_port=metrics_port)
