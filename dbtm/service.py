"""The DBTM's shell: the common one on its DBTL and the GTL, which reads the database too."""

import asyncio
from collections.abc import Callable
from typing import Any

import structlog

from dbtm.effects import ReadStore, Restart, StoreFailed, StoreRead
from dbtm.machine import DbtmMachine
from grit.core.errors import StoreRefused
from grit.core.messages import Message
from grit.core.records import decode_dbtl_record, decode_gtl_record
from grit.core.steps import DBTL, GTL, Trace
from grit.log.port import Log
from grit.runtime.fatal import report_fatal, spawn
from grit.runtime.links.port import LinkCallbacks
from grit.runtime.loop import Loop
from grit.runtime.shell import FollowedLog, Shell, Stand
from grit.store.port import StoreReader, StoreUnavailable

GTL_POLL_MS = 200
"""The GTL is followed loosely: outcomes are pushed, the log is read when they are not, and for what it says besides."""


class Dbtm:
    """One DBTM.

    Args:
        dbtl, gtl: The logs; not closed here.
        reader: The database; not closed here.
        make_machine: A new machine, which folds the logs from their start.
        trace: Takes finished spans.
        stand: See `Shell`.
    """

    def __init__(
        self,
        dbtl: Log,
        gtl: Log,
        reader: StoreReader,
        make_machine: Callable[[], DbtmMachine],
        *,
        trace: Callable[[Trace], None],
        stand: Stand | None = None,
    ) -> None:
        logs = {
            DBTL: FollowedLog(dbtl, decode_dbtl_record),
            GTL: FollowedLog(gtl, decode_gtl_record, poll_ms=GTL_POLL_MS),
        }
        self._shell = Shell(
            "dbtm", logs, make_machine, trace=trace, perform_own=self._perform, stand=stand, cut=self._restart
        )
        self._reader = reader
        self._reads: set[asyncio.Task[None]] = set()
        self._lines = structlog.get_logger("grit.dbtm")

    def start(self) -> None:
        """Begin: from here on the machine works towards leading its realm."""
        self._shell.start()

    async def drain(self) -> None:
        """Take nothing new; return when what is in flight is durable and the leadership is given back."""
        await self._shell.drain()

    async def close(self) -> None:
        """Stop; what was handed to the logs stands."""
        await self._shell.close()
        for read in self._reads:
            read.cancel()
        await asyncio.gather(*self._reads, return_exceptions=True)

    @property
    def callbacks(self) -> LinkCallbacks[Message]:
        """What the links of this process call."""
        return self._shell.callbacks

    def describe(self) -> dict[str, Any]:
        """Return how this DBTM is."""
        return self._shell.describe()

    def _perform(self, effect: ReadStore | Restart) -> None:
        if isinstance(effect, ReadStore):
            task = spawn(self._look(self._shell.loop, effect), name=f"read {effect.id}")
            self._reads.add(task)
            task.add_done_callback(self._reads.discard)
        else:
            self._restart(effect.reason)

    def _restart(self, reason: str) -> None:
        """Begin anew: the database went back, or the GTL, which is followed loosely, was cut above where this DBTM was."""
        self._lines.warning("restarting", reason=reason)
        self._shell.restart(reason)

    async def _look(self, loop: Loop[Any, Any], effect: ReadStore) -> None:
        try:
            loop.post(StoreRead(effect.id, await self._reader.read(effect.queries)))
        except StoreUnavailable as error:
            loop.post(StoreFailed(effect.id, str(error)))
        except StoreRefused as error:
            report_fatal(error, place="a read of the database")
