"""Read a log from its start, or the first checkpoint of one that was cut, to its end of now: bounded memory."""

import sys
from collections.abc import AsyncGenerator, Callable

import click

from grit.cli.log_files import GTL, open_existing
from grit.cli.record_facts import RecordFacts, dbtl_facts, gtl_facts
from grit.config.model import Config
from grit.core.fold import DbtlFold, GtlFold
from grit.core.ids import Offset, Realm
from grit.core.records import decode_dbtl_record, decode_gtl_record
from grit.log.port import Log
from grit.runtime.begin import Begin, find_first


async def walk(config: Config, name: str) -> AsyncGenerator[RecordFacts, None]:
    """Yield every record of a log of the deployment, in order; what is appended meanwhile is left out.

    Raises:
        ConfigError, LogError, LogUnavailable: The log is not there, damaged, foreign, or out of reach.
    """
    log = await open_existing(config, name)
    try:
        decode = decode_gtl_record if name == GTL else decode_dbtl_record
        begin = await find_first(log, decode)
        folder = _gtl_folder(name, begin) if name == GTL else _dbtl_folder(name, begin)
        async for offset, payload in payloads(log, begin.at if begin else Offset(0), await log.end()):
            yield folder(offset, payload)
    finally:
        await log.close()


def _gtl_folder(name: str, begin: Begin | None) -> Callable[[Offset, bytes], RecordFacts]:
    fold = GtlFold(name)
    if begin is not None:
        fold.load(begin.state)
    return lambda offset, payload: gtl_facts(fold, offset, decode_gtl_record(payload, log=name, offset=offset))


def _dbtl_folder(name: str, begin: Begin | None) -> Callable[[Offset, bytes], RecordFacts]:
    fold = DbtlFold(name, Realm(name.removeprefix("dbtl.")))
    if begin is not None:
        fold.load(begin.state)
    return lambda offset, payload: dbtl_facts(fold, offset, decode_dbtl_record(payload, log=name, offset=offset))


async def payloads(log: Log, at: Offset, end: Offset) -> AsyncGenerator[tuple[Offset, bytes], None]:
    """Yield what a log holds from `at` on, `end` excluded, and show how far it has come."""
    progress = _Progress(log.name, end)
    while at < end:
        for offset, payload in await log.read(at):
            if offset < end:
                yield offset, payload
            at = Offset(offset + 1)
        progress.show(min(at, end))
    progress.clear()


class _Progress:
    """How far a log has been read: one line that is written over, on a terminal only."""

    def __init__(self, name: str, end: int) -> None:
        self._name = name
        self._end = end
        self._is_shown = sys.stderr.isatty() and not sys.stdout.isatty()

    def show(self, at: int) -> None:
        """Show that everything below `at` has been read."""
        if self._is_shown:
            click.echo(f"\r{self._name}: {at:,} of {self._end:,}\x1b[K", nl=False, err=True)

    def clear(self) -> None:
        """Take the line away."""
        if self._is_shown:
            click.echo("\r\x1b[K", nl=False, err=True)
