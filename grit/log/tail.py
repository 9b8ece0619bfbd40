"""What a handle knows of the end of its log: how far it reaches, the payloads near it, and who waits for more."""

import asyncio
from collections import deque
from collections.abc import Iterable
from itertools import islice

from grit.core.ids import Offset

Row = tuple[Offset, bytes]
"""A payload and where it lies."""
RECENT_BYTES_MAX = 4 << 20
"""Payloads near the end that a handle keeps for its readers."""


class Tail:
    """The end of one log, as far as it is known. To be used from one event loop.

    Attributes:
        end: The offset after the last record that was seen; never goes back.
    """

    def __init__(self) -> None:
        self.end = 0
        self._recent: deque[Row] = deque()
        self._recent_bytes = 0
        self._grown: asyncio.Future[None] | None = None

    def keep(self, rows: Iterable[Row]) -> None:
        """Keep rows near the end as one dense run; what is told twice, by an append and by a follower, once."""
        for row in rows:
            after = self._recent[-1][0] + 1 if self._recent else row[0]
            if row[0] < after:
                continue
            if row[0] > after:
                self._recent.clear()
                self._recent_bytes = 0
            self._recent.append(row)
            self._recent_bytes += len(row[1])
        while self._recent_bytes > RECENT_BYTES_MAX:
            self._recent_bytes -= len(self._recent.popleft()[1])

    def recent(self, start: Offset, bytes_max: int) -> list[Row] | None:
        """Return kept rows from `start` on, see `limited`; None: `start` is not among them."""
        if not self._recent or not self._recent[0][0] <= start <= self._recent[-1][0]:
            return None
        return limited(islice(self._recent, start - self._recent[0][0], None), bytes_max)

    def cut(self, offset: Offset) -> None:
        """Forget rows below `offset`: they were cut."""
        while self._recent and self._recent[0][0] < offset:
            self._recent_bytes -= len(self._recent.popleft()[1])

    def see(self, end: int) -> None:
        """Learn that the log reaches `end`, and wake who waits if that is news."""
        if end > self.end:
            self.end = end
            grown, self._grown = self._grown, None
            if grown is not None and not grown.done():
                grown.set_result(None)

    def fail(self, error: Exception) -> None:
        """Tell all who wait that the log cannot be looked at."""
        grown, self._grown = self._grown, None
        if grown is not None and not grown.done():
            grown.set_exception(error)
            grown.exception()  # whoever waited may have gone

    @property
    def is_awaited(self) -> bool:
        """Tell whether somebody waits for news."""
        return self._grown is not None

    async def news(self, timeout_s: float) -> None:
        """Return when there is news, or after the time-out.

        Raises:
            Exception: What `fail` was told.
        """
        grown = self._grown = self._grown or asyncio.get_running_loop().create_future()
        await asyncio.wait({grown}, timeout=timeout_s)
        if grown.done():
            grown.result()


def limited(rows: Iterable[Row], bytes_max: int) -> list[Row]:
    """Return as many of the first rows as have `bytes_max` bytes together, and at least one."""
    taken: list[Row] = []
    size = 0
    for row in rows:
        size += len(row[1])
        if taken and size > bytes_max:
            break
        taken.append(row)
    return taken
