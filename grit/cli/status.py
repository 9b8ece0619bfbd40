"""`grit status`: how a deployment is, as its sidecar sees it."""

import asyncio
import contextlib
import sys
from pathlib import Path

import click
import msgspec

from grit.cli.config_option import DEFAULT_CONFIG, read_config
from grit.cli.status_text import is_serving, status_lines
from grit.core.errors import ConfigError
from grit.runtime.run import run
from grit.wire.admin import DeploymentStatus, StatusUnanswered, ask_status

GOOD, FINDING, ENVIRONMENT = 0, 1, 3
ANSWER_MS = 5_000
WATCH_S = 1.0
_CLEAR = "\x1b[H\x1b[2J"


@click.command()
@click.option("-c", "--config", "config_path", type=click.Path(path_type=Path), help=f"Default: {DEFAULT_CONFIG}.")
@click.option("--sidecar", metavar="HOST:PORT", help="Ask this one, not that of the configuration.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
@click.option("--watch", is_flag=True, help="Again every second, until Ctrl-C.")
def status(config_path: Path | None, *, sidecar: str | None, as_json: bool, watch: bool) -> int:
    """Show roles, leaders, epochs, positions, lag, what is pending, and why transactions ended without effect.

    Exit status: 0 every role serves, 1 one does not, 3 the sidecar cannot be reached.
    """
    if sidecar is not None and config_path is not None:
        raise click.UsageError("give --sidecar or --config, not both")
    address = sidecar or read_config(config_path or Path(DEFAULT_CONFIG)).sidecar.listen
    if watch:
        return _watch(address, as_json=as_json)
    return run(_show(address, as_json=as_json))


def _watch(address: str, *, as_json: bool) -> int:
    """Show it again and again, also through a restart of the sidecar; Ctrl-C is how that ends well."""

    async def show_for_ever() -> None:
        while True:
            try:
                seen[0] = await _show(address, as_json=as_json, clear=not as_json and sys.stdout.isatty())
            except ConfigError as error:
                seen[0] = ENVIRONMENT
                click.echo(str(error), err=True)
            await asyncio.sleep(WATCH_S)

    seen = [GOOD]
    with contextlib.suppress(KeyboardInterrupt):
        run(show_for_ever())
    return seen[0]


async def _show(address: str, *, as_json: bool, clear: bool = False) -> int:
    deployment = await _asked(address)
    text = msgspec.json.encode(deployment).decode() if as_json else "\n".join(status_lines(deployment))
    click.echo(f"{_CLEAR}{text}" if clear else text)
    return GOOD if is_serving(deployment) else FINDING


async def _asked(address: str) -> DeploymentStatus:
    try:
        return await ask_status(address, timeout_ms=ANSWER_MS)
    except StatusUnanswered as error:
        raise ConfigError(f"the sidecar at {address} does not answer: {error}") from error
