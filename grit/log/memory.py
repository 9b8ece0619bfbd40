"""A log in the memory of one process: for tests, and for clusters that need not outlive their process."""

import asyncio
from collections.abc import Sequence

from grit.core.errors import LogError
from grit.core.ids import Offset
from grit.log.port import beyond_last, refuse_cut


class MemoryLog:
    """A log shared by everybody who holds the object; "durable" means until the process ends.

    Its only failure is the reader's: `start` outside of the log. To be used from one event loop.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._payloads: list[bytes] = []
        self._start = 0
        self._appended = asyncio.Event()

    @property
    def name(self) -> str:
        """Return the name of the log: `gtl`, or `dbtl.<realm>`."""
        return self._name

    async def append(self, payload: bytes) -> Offset:
        """Append one payload; it is visible to every holder before this returns."""
        offset = await self.end()
        self._payloads.append(payload)
        self._appended.set()
        self._appended = asyncio.Event()
        return offset

    async def read(self, start: Offset, *, bytes_max: int = 1 << 20) -> Sequence[tuple[Offset, bytes]]:
        """Return payloads from `start` on, in order, at most `bytes_max` but at least one if there is one.

        Raises:
            LogCut: `start` lies below the first offset that is kept.
            LogError: `start` lies beyond the end or before the beginning.
        """
        end = await self.end()
        if start < 0:
            raise LogError(f"log {self._name}: offset {start} lies before the beginning; offsets begin at 0")
        if start < self._start:
            raise refuse_cut(f"log {self._name}", start, self._start)
        if start > end:
            raise LogError(
                f"log {self._name} is shorter than offset {start}: it ends at {end}; "
                "a log in memory ends with its process: start its readers afresh, too"
            )
        rows: list[tuple[Offset, bytes]] = []
        size = 0
        for offset in range(start, end):
            payload = self._payloads[offset - self._start]
            size += len(payload)
            if rows and size > bytes_max:
                break
            rows.append((Offset(offset), payload))
        return rows

    async def start(self) -> Offset:
        """Return the first offset that is kept."""
        return Offset(self._start)

    async def cut(self, offset: Offset) -> None:
        """Give up what lies below `offset`.

        Raises:
            LogError: `offset` lies beyond the last record.
        """
        if offset >= await self.end():
            raise beyond_last(f"log {self._name}", offset, await self.end())
        del self._payloads[: max(0, offset - self._start)]
        self._start = max(self._start, offset)

    async def end(self) -> Offset:
        """Return the offset that the next payload will get."""
        return Offset(self._start + len(self._payloads))

    async def wait(self, start: Offset, *, timeout_ms: int) -> bool:
        """Return True as soon as there is something to read at `start`, False after the time-out."""
        try:
            async with asyncio.timeout(timeout_ms / 1000):
                while self._start + len(self._payloads) <= start:
                    await self._appended.wait()
        except TimeoutError:
            return False
        return True

    async def close(self) -> None:
        """Do nothing: other holders go on."""
