"""Where a reader of a log begins: at a checkpoint, or at the start of a log that was never cut.

It looks from the end towards the start, so that what it reads is bounded by the distance between two checkpoints and
by what the reader lags behind, however long the log is. Payloads that are no checkpoints are not decoded.
"""

from collections.abc import AsyncIterator, Callable

import msgspec

from grit.core.errors import LogError
from grit.core.ids import Offset
from grit.core.records import Checkpoint, is_checkpoint
from grit.core.states import Parts
from grit.log.port import Log, LogCut

WINDOW = 2_000
"""Records that are looked through at once."""


class Begin(msgspec.Struct, frozen=True):
    """A reader that loads `state` goes on at `at`."""

    at: Offset
    state: bytes


async def find_begin(log: Log, decode: Callable[..., object], at_most: Offset | None = None) -> Begin | None:
    """Return the newest whole checkpoint at or below `at_most` (None: any); None: begin at offset 0.

    Args:
        log: Where to look.
        decode: `decode_gtl_record` or `decode_dbtl_record`.
        at_most: What the reader must not skip.

    Raises:
        LogUnavailable: Transient.
        LogError: The log was cut, and holds no checkpoint from which this reader could go on; says what to do.
    """
    while True:
        start = await log.start()
        try:
            return await _search(log, decode, start, at_most)
        except LogCut:
            if await log.start() == start:
                raise


async def _search(log: Log, decode: Callable[..., object], start: Offset, at_most: Offset | None) -> Begin | None:
    end = await log.end()
    limit = end if at_most is None else at_most
    if limit < start:
        raise LogError(
            f"log {log.name} begins at offset {start}, this reader has to go on at {limit}, which was cut: "
            "build the database anew with `grit realm rebuild`, or bring back a newer copy of it"
        )
    parts, upper = Parts(), end
    while upper > start and limit > 0:
        lower = Offset(max(start, upper - WINDOW))
        found: list[Begin] = []
        async for record in _checkpoints(log, decode, lower, upper):
            if start <= record.at <= limit and record.at > 0:
                state = parts.take(record)
                if state is not None:
                    found.append(Begin(record.at, state))
        if found:
            return max(found, key=lambda one: one.at)
        upper = lower
    if start:
        raise _no_checkpoint(log, start, limit)
    return None


async def find_first(log: Log, decode: Callable[..., object]) -> Begin | None:
    """Return where who wants all that is kept begins: at the first whole checkpoint of a log that was cut; None: offset 0.

    Raises:
        LogUnavailable: Transient.
        LogError: The log was cut, and holds no whole checkpoint.
    """
    start, end = await log.start(), await log.end()
    if start == 0:
        return None
    parts = Parts()
    async for record in _checkpoints(log, decode, start, end):
        state = parts.take(record) if record.at >= start else None
        if state is not None:
            return Begin(record.at, state)
    raise _no_checkpoint(log, start, end)


def _no_checkpoint(log: Log, start: Offset, limit: Offset) -> LogError:
    return LogError(
        f"log {log.name} begins at offset {start} and holds no whole checkpoint from there to {limit}: "
        "restore the log from a backup"
    )


async def _checkpoints(
    log: Log, decode: Callable[..., object], lower: Offset, upper: Offset
) -> AsyncIterator[Checkpoint]:
    """Yield the checkpoints that lie from `lower` up to `upper`, that excluded."""
    at = lower
    while at < upper:
        for offset, payload in await log.read(at):
            at = Offset(offset + 1)
            if offset < upper and is_checkpoint(payload):
                record = decode(payload, log=log.name, offset=offset)
                assert isinstance(record, Checkpoint)
                if record.at <= offset:  # else it speaks of the future, which nobody knows
                    yield record
