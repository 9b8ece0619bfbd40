"""A log in one SQLite file, to which several processes of one machine append at the same time.

Two threads per log do what blocks, one for appends and one for reads, so that a slow disk never stops the
event loop and a long read never stops an append.

Group commit: while one batch is being committed the next one gathers; batches take their turn in order.

    append --> gathering batch --(its turn)--> one transaction, one fsync --> offsets

What was appended through a handle is kept for a while, so that the tails of the same process read it without going
to the file. What others append is seen by a glance at the file's time and size, a few microseconds, and now
and then by a look into the file, because a clock that ticks in milliseconds can hide a change.
"""

import asyncio
import sqlite3
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Self

from grit.core.errors import LogError
from grit.core.ids import Offset
from grit.log.log_file import LogFile
from grit.log.port import LogUnavailable
from grit.log.tail import Tail

BATCH_BYTES_MAX = 4 << 20
"""A batch that has grown to this many bytes takes no more payloads."""
LOOK_MS_MIN, LOOK_MS_MAX, LOOK_GROWTH = 1.0, 20.0, 1.5
"""The pauses between two glances for what other processes append; at the longest one the file is looked into."""
CUT_ROWS_MAX = 10_000
CUT_BYTES_MAX = 16 << 20
"""Rows that one transaction of a cut deletes, and about how many bytes: appends wait for no more."""


class _Batch:
    """Payloads that go into one transaction, and the task that yields the offset of the first."""

    def __init__(self) -> None:
        self.payloads: list[bytes] = []
        self.size = 0
        self.is_gathering = True
        self.committed: asyncio.Task[Offset]


class EmbeddedLog:
    """One handle on a log; one per process is enough, several on the same file are allowed.

    To be made by `open`, and to be used from one event loop.
    """

    def __init__(self, name: str, *, appends: LogFile, reads: LogFile) -> None:
        self._name = name
        self._appends, self._reads = appends, reads
        self._append_thread = ThreadPoolExecutor(1, thread_name_prefix=f"append {name}")
        self._read_thread = ThreadPoolExecutor(1, thread_name_prefix=f"read {name}")
        self._turn = asyncio.Lock()  # first come, first served: it keeps the order of batches
        self._newest: _Batch | None = None
        self._tail = Tail()
        self._watcher: asyncio.Task[None] | None = None
        self._glimpse: tuple[int, int] | None = None
        self._looked_at = -LOOK_MS_MAX
        self._pause_ms = LOOK_MS_MIN
        self._is_closed = False

    @classmethod
    async def open(
        cls,
        folder: Path,
        name: str,
        *,
        busy_ms: int = 5_000,
        page_count_max: int | None = None,
        connection: type[sqlite3.Connection] = sqlite3.Connection,
    ) -> Self:
        """Open the log `<folder>/<name>.log.db`, made where missing; cut a torn last record.

        Args:
            folder: Made where missing.
            name: `gtl`, or `dbtl.<realm>`; a plain file name.
            busy_ms: How long an append waits for other processes before it is `LogUnavailable`.
            page_count_max: Appends that would make the file larger (pages of 4 KiB) find it full.
            connection: The class of connections; tests break commits with it.

        Raises:
            ConfigError: The folder cannot be made or written.
            LogError: The file is not a log, of an unknown format, or damaged at its end.
            LogUnavailable: Locked for longer than `busy_ms`, or full.
        """
        assert Path(name).name == name, f"{name!r} is no file name: realm names are checked with the catalogue"
        path = folder / f"{name}.log.db"
        files = [
            LogFile(path, name, busy_ms=busy_ms, page_count_max=page_count_max, connection=connection) for _ in range(2)
        ]
        log = cls(name, appends=files[0], reads=files[1])
        try:
            await asyncio.get_running_loop().run_in_executor(log._append_thread, files[0].prepare)
        except BaseException:
            await log.close()
            raise
        return log

    @property
    def name(self) -> str:
        """Return the name of the log: `gtl`, or `dbtl.<realm>`."""
        return self._name

    async def append(self, payload: bytes) -> Offset:
        """Append one payload durably; return where it lies.

        Whoever stops waiting (is cancelled) stops only that: the payload may still land. Payloads that were
        gathered share their fate; after a failure the next batch is tried all the same.

        Raises:
            LogUnavailable: Definitely not appended: full, locked for too long, read-only, closed.
            AppendUnknown: The commit broke.
            LogError: The file has become shorter, or is damaged at its end by more than a torn record.
        """
        self._check_open()
        batch = self._newest
        if batch is None or not batch.is_gathering or batch.size >= BATCH_BYTES_MAX:
            batch = self._newest = _Batch()
            batch.committed = asyncio.create_task(self._commit(batch))
        index = len(batch.payloads)
        batch.payloads.append(payload)
        batch.size += len(payload)
        first = await asyncio.shield(batch.committed)
        return Offset(first + index)

    async def _commit(self, batch: _Batch) -> Offset:
        async with self._turn:
            batch.is_gathering = False
            append = partial(self._appends.append, batch.payloads)
            first = await asyncio.get_running_loop().run_in_executor(self._append_thread, append)
        self._tail.keep((Offset(first + i), payload) for i, payload in enumerate(batch.payloads))
        self._glimpse = self._reads.glimpse()
        self._tail.see(first + len(batch.payloads))
        return first

    async def read(self, start: Offset, *, bytes_max: int = 1 << 20) -> Sequence[tuple[Offset, bytes]]:
        """Return durable payloads from `start` on, in order, at most `bytes_max` but at least one if there is one.

        Raises:
            LogUnavailable: Transient, or closed.
            LogCut: `start` lies below the first offset that is kept.
            LogError: Damage at `start` (what lies before damage can be read), or `start` lies outside of the log.
        """
        self._check_open()
        recent = self._tail.recent(start, bytes_max)
        if recent is not None:
            return recent
        read = partial(self._reads.read, start, bytes_max=bytes_max)
        return await asyncio.get_running_loop().run_in_executor(self._read_thread, read)

    async def start(self) -> Offset:
        """Return the first offset that is kept.

        Raises:
            LogUnavailable: Transient, or closed.
        """
        self._check_open()
        return await asyncio.get_running_loop().run_in_executor(self._read_thread, self._reads.start)

    async def cut(self, offset: Offset) -> None:
        """Give up what lies below `offset`; the file does not shrink, what is appended takes the place that comes free.

        Raises:
            LogUnavailable: Transient, or closed; some may be cut.
            LogError: `offset` lies beyond the last record.
        """
        self._check_open()
        cut = partial(self._appends.cut, offset, rows_max=CUT_ROWS_MAX, bytes_max=CUT_BYTES_MAX)
        while not await asyncio.get_running_loop().run_in_executor(self._append_thread, cut):
            self._check_open()
        self._tail.cut(offset)

    async def end(self) -> Offset:
        """Return the offset that the next payload will get.

        Raises:
            LogUnavailable: Transient, or closed.
            LogError: Damage at the end, or the log has become shorter.
        """
        self._check_open()
        known = self._tail.end  # taken before the look: what is appended meanwhile need not be seen by it
        end = await asyncio.get_running_loop().run_in_executor(self._read_thread, self._reads.end)
        if end < known:
            raise self._reads.shorter(known, end)
        return end

    async def wait(self, start: Offset, *, timeout_ms: int) -> bool:
        """Return True as soon as there is something to read at `start`, False after the time-out.

        An append through this handle wakes it at once; other appends are seen by glances, which all who wait share.

        Raises:
            LogUnavailable: Transient, or closed.
            LogError: As `end`.
        """
        self._check_open()
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout_ms / 1000
        if timeout_ms == 0:
            await self._look_if_due()
        while self._tail.end <= start:
            left = deadline - loop.time()
            if left <= 0:
                return False
            if self._watcher is None:
                self._watcher = loop.create_task(self._watch(), name=f"watch {self._name}")
            await self._tail.news(left)
        return True

    async def _watch(self) -> None:
        """Glance at the file as long as somebody waits."""
        try:
            while self._tail.is_awaited and not self._is_closed:
                await self._look_if_due()
                await asyncio.sleep(self._pause_ms / 1000)
        except (LogUnavailable, LogError) as error:
            self._tail.fail(error)
        finally:
            self._watcher = None

    async def _look_if_due(self) -> None:
        """Look into the file when a glance shows that it has changed, or the last look is long ago."""
        now = asyncio.get_running_loop().time()
        self._pause_ms = min(self._pause_ms * LOOK_GROWTH, LOOK_MS_MAX)
        if now - self._looked_at < LOOK_MS_MAX / 1000 and not self._has_changed():
            return
        self._looked_at = now
        end = await self.end()
        if end > self._tail.end:
            self._pause_ms = LOOK_MS_MIN
        self._tail.see(end)

    def _has_changed(self) -> bool:
        """Glance at the file; while an own append is under way it always changes, and says nothing."""
        if self._turn.locked():
            return False
        before, self._glimpse = self._glimpse, self._reads.glimpse()
        return self._glimpse != before

    async def close(self) -> None:
        """Finish the appends that were handed over, then release file and threads. Safe to call twice."""
        if self._is_closed:
            return
        self._is_closed = True
        self._tail.fail(LogUnavailable(f"log {self._name} is closed"))
        if self._watcher is not None:
            self._watcher.cancel()
        if self._newest is not None:  # the last to get its turn
            await asyncio.wait([self._newest.committed])
        for thread, file in ((self._append_thread, self._appends), (self._read_thread, self._reads)):
            await asyncio.get_running_loop().run_in_executor(thread, file.close)
            thread.shutdown()

    def _check_open(self) -> None:
        if self._is_closed:
            raise LogUnavailable(f"log {self._name} is closed")
