"""One handle on a log for several roles of a process: an append by one wakes the tails of all."""

from collections.abc import Sequence

from grit.core.ids import Offset
from grit.log.port import Log


class SharedLog:
    """A `Log` that is closed when the last of its holders has closed it."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self._holders = 0

    def hold(self) -> "SharedLog":
        """Count one more holder; return the log for it."""
        self._holders += 1
        return self

    @property
    def name(self) -> str:
        """Return the name of the log."""
        return self._log.name

    async def append(self, payload: bytes) -> Offset:
        """See `Log.append`."""
        return await self._log.append(payload)

    async def read(self, start: Offset, *, bytes_max: int = 1 << 20) -> Sequence[tuple[Offset, bytes]]:
        """See `Log.read`."""
        return await self._log.read(start, bytes_max=bytes_max)

    async def start(self) -> Offset:
        """See `Log.start`."""
        return await self._log.start()

    async def cut(self, offset: Offset) -> None:
        """See `Log.cut`."""
        await self._log.cut(offset)

    async def end(self) -> Offset:
        """See `Log.end`."""
        return await self._log.end()

    async def wait(self, start: Offset, *, timeout_ms: int) -> bool:
        """See `Log.wait`."""
        return await self._log.wait(start, timeout_ms=timeout_ms)

    async def close(self) -> None:
        """Give up one hold; each holder closes once."""
        self._holders -= 1
        if self._holders == 0:
            await self._log.close()
