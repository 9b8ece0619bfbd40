"""`grit dev`: a whole deployment in one process."""

import asyncio
import time
from dataclasses import replace
from pathlib import Path

import click

from grit.cli.config_option import read_config
from grit.cli.role_names import every_role
from grit.cli.roles import Process, run_roles
from grit.config.builtin import BUILTIN_REALMS, builtin_config
from grit.runtime.links.address import parse_address

DIRECTORY = Path("grit-dev")
LOOK_S = 0.01


@click.command()
@click.argument("config_path", metavar="[CONFIG]", required=False, type=click.Path(path_type=Path))
@click.option(
    "--dir",
    "directory",
    type=click.Path(path_type=Path),
    default=DIRECTORY,
    show_default=True,
    help="Data of the built-in catalogue.",
)
@click.option("--listen", metavar="HOST:PORT", help="Of the sidecar; port 0 takes a free one, which is printed.")
@click.option("--trace-file", type=click.Path(path_type=Path), help="Append finished spans to this file.")
@click.option("--metrics-port", type=click.IntRange(1, 65_535), help="Serve /metrics and /healthz here, on loopback.")
def dev(
    config_path: Path | None,
    *,
    directory: Path,
    listen: str | None,
    trace_file: Path | None,
    metrics_port: int | None,
) -> int:
    """Run every role in this process, on the built-in catalogue or that of CONFIG.

    The built-in catalogue has three realms: orders (relational), carts (document), social (graph). Its data stays
    under --dir. Ctrl-C stops.
    """
    began = time.monotonic()
    if config_path is None:
        config = builtin_config(directory)
        click.echo(BUILTIN_REALMS)
    else:
        config = read_config(config_path)
    if listen is not None:
        parse_address(listen)
        config = replace(config, sidecar=replace(config.sidecar, listen=listen))

    def look(process: Process) -> None:
        if process.is_serving():
            _announce(process, time.monotonic() - began)
        else:
            asyncio.get_running_loop().call_later(LOOK_S, look, process)

    return run_roles(config, every_role(config.realms), trace_file=trace_file, metrics_port=metrics_port, started=look)


def _announce(process: Process, took_s: float) -> None:
    realms = ", ".join(process.config.realms)
    click.echo(f"ready after {took_s:.1f} s: sidecar at {process.sidecar_address()}, realms {realms}; Ctrl-C stops")
