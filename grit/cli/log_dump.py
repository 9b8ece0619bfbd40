"""`grit log dump`: every record of the logs, readable."""

from contextlib import aclosing
from pathlib import Path

import click
import msgspec

from grit.cli.config_option import config_option, read_config
from grit.cli.log_files import log_names, run_looking
from grit.cli.log_walk import walk
from grit.cli.record_facts import RecordFacts
from grit.cli.record_text import record_lines
from grit.config.model import Config
from grit.core.errors import ConfigError
from grit.core.spelling import unknown_name


@click.command("dump")
@click.argument("logs", nargs=-1, metavar="[LOG]...")
@config_option
@click.option("--from", "first", type=click.IntRange(min=0), default=0, metavar="OFFSET", help="The first to print.")
@click.option("--to", "last", type=click.IntRange(min=0), metavar="OFFSET", help="The last to print.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
def log_dump(logs: tuple[str, ...], config_path: Path, *, first: int, last: int | None, as_json: bool) -> None:
    """Print the records of LOG (gtl, dbtl.REALM; none: all), decoded, and which of them are void.

    It may be asked while the system runs. What is void is void for everybody: the content of the log decides it.
    """
    config = read_config(config_path)
    names = _expect_names(logs, log_names(config))
    run_looking(_dump(config, names, first, last, as_json=as_json))


async def _dump(config: Config, names: list[str], first: int, last: int | None, *, as_json: bool) -> None:
    for name in names:
        # From its start, whatever is printed: the fold needs all that came before.
        async with aclosing(walk(config, name)) as records:
            async for record in records:
                if last is not None and record.offset > last:
                    break
                if record.offset >= first:
                    _print(record, as_json=as_json)


def _print(record: RecordFacts, *, as_json: bool) -> None:
    if as_json:
        click.echo(msgspec.json.encode(record).decode())
    else:
        click.echo("\n".join(record_lines(record)))


def _expect_names(asked: tuple[str, ...], known: list[str]) -> list[str]:
    for name in asked:
        if name not in known:
            raise ConfigError(f'there is no log "{name}"{unknown_name(name, known)}')
    return list(asked) or known
