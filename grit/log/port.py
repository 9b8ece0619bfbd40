"""The port of a log: an ordered sequence of opaque payloads that many processes append to at once.

Payloads are encoded records (`grit.core.records`); the log neither reads nor judges them. Which of them
count is decided by the fold alone (protocol.md section 2).
"""

from collections.abc import Sequence
from typing import Protocol

from grit.core.errors import LogError
from grit.core.ids import Offset


class LogUnavailable(Exception):
    """The log cannot be reached or is full; *definitely* nothing was appended. The message says why."""


class AppendUnknown(Exception):
    """The append may have landed, or may land later. Only the fold tells: claim a new epoch and look."""


class LogCut(LogError):
    """What was asked for is no longer kept: the log begins above it."""


def refuse_cut(place: str, asked: int, start: int) -> LogCut:
    """Return the refusal of a read below the start of a log; `place` names the log."""
    return LogCut(
        f"{place} begins at offset {start}, what lay at offset {asked} was cut: start this process again, so that it "
        "begins at a checkpoint; a database that is as old is built anew with `grit realm rebuild`"
    )


def beyond_last(place: str, offset: int, end: int) -> LogError:
    """Return the refusal of a cut that would leave nothing, or what is not there; `place` names the log."""
    return LogError(f"{place} ends at offset {end}: it cannot be cut at {offset}, its last record must stay")


class Log(Protocol):
    """One log. Offsets are dense from 0; every reader sees the same payload at the same offset, for ever, or none."""

    @property
    def name(self) -> str:
        """Return the name of the log: `gtl`, or `dbtl.<realm>`."""
        ...

    async def append(self, payload: bytes) -> Offset:
        """Append one payload, whole or not at all, durably; return where it lies.

        Calls of one process take effect in the order in which they were made.

        Raises:
            LogUnavailable: Definitely not appended.
            AppendUnknown: It may have been.
        """
        ...

    async def read(self, start: Offset, *, bytes_max: int = 1 << 20) -> Sequence[tuple[Offset, bytes]]:
        """Return durable payloads from `start` on, in order: at least one if there is one, about `bytes_max`.

        Raises:
            LogUnavailable: Transient.
            LogCut: `start` lies below the first offset that is kept.
            LogError: Damage, or `start` lies beyond the end or before the beginning; names offset and remedy.
        """
        ...

    async def start(self) -> Offset:
        """Return the first offset that is kept: 0 until the log is cut."""
        ...

    async def cut(self, offset: Offset) -> None:
        """Give up what lies below `offset`, at most the last one. Safe to repeat; the offsets that are kept stay as they are.

        Whoever calls it has made sure that a checkpoint with this offset is durable, and that nobody needs what goes
        (protocol.md section 2). Broken off in the middle it has cut less. What a handle still has in its memory may be
        read below the start for a while.

        Raises:
            LogUnavailable: Transient; some may be cut.
            LogError: `offset` lies beyond the last record, or the log is damaged.
        """
        ...

    async def end(self) -> Offset:
        """Return the offset that the next payload will get: durable records only."""
        ...

    async def wait(self, start: Offset, *, timeout_ms: int) -> bool:
        """Return True as soon as there is something to read at `start`, False after the time-out.

        An append by this process wakes it at once; others' are seen by looking, 1 ms rising to 20 ms.
        """
        ...

    async def close(self) -> None:
        """Release files and threads. What was appended stays."""
        ...
