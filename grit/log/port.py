"""The port of a log: an ordered sequence of opaque payloads that many processes append to at once.

Payloads are encoded records (`grit.core.records`); the log neither reads nor judges them. Which of them
count is decided by the fold alone (protocol.md section 2).
"""

from collections.abc import Sequence
from typing import Protocol

from grit.core.ids import Offset


class LogUnavailable(Exception):
    """The log cannot be reached or is full; *definitely* nothing was appended. The message says why."""


class AppendUnknown(Exception):
    """The append may have landed, or may land later. Only the fold tells: claim a new epoch and look."""


class Log(Protocol):
    """One log. Offsets are dense from 0; every reader sees the same payload at the same offset, for ever."""

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
            LogError: Damage, or `start` lies beyond the end or before the beginning; names offset and remedy.
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
