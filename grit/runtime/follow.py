"""A log and a machine: the tail comes in as events, appends and reads to the end go out as effects.

The follower begins at a checkpoint, or at offset 0, and reports every record from there in order, once. While the log cannot be reached it tries again
for ever, with growing pauses: what has been reported stands, and the machine decides what silence means. A damaged or
foreign log is fatal to the process, as is every other LogError.
"""

import asyncio
import random
from collections.abc import Callable
from typing import Protocol

import structlog

from grit.core.ids import Offset
from grit.core.records import Commits, DbtlRecord, Entries, GtlRecord, encode_log_record
from grit.core.steps import Append, AppendRefused, AppendUnknown, LogBegan, LogCaughtUp, LogFolded
from grit.log.port import AppendUnknown as UnknownError
from grit.log.port import Log, LogCut, LogUnavailable
from grit.runtime.begin import find_begin
from grit.runtime.failpoints import failpoint
from grit.runtime.fatal import spawn
from grit.runtime.links.redial import Backoff

WAIT_MS = 1_000
"""One wait for something new; it ends at once when there is something, so this only bounds what is lost at a stop."""
BACKOFF_MS_MIN, BACKOFF_MS_MAX = 20, 1_000
CLOSE_MS = 1_000
"""How long `close` lets appends under way finish; what is cut off then is in the log, or is not."""

LogEvent = LogBegan | LogFolded | LogCaughtUp | AppendUnknown | AppendRefused


class Decode(Protocol):
    """`decode_gtl_record` or `decode_dbtl_record`."""

    def __call__(self, payload: bytes, *, log: str, offset: Offset) -> GtlRecord | DbtlRecord:
        """Return the record; raise LogError when it is none."""
        ...


def record_name(record: GtlRecord | DbtlRecord) -> str:
    """Return the kind of a record, for failpoints; one of a leader that carries nothing is a renewal."""
    is_empty = isinstance(record, Commits | Entries) and not record.entries
    return "Renewal" if is_empty else type(record).__name__


class LogFollower:
    """Follows one log for one machine.

    Args:
        log: Where it lies. The follower does not close it.
        name: What the machine calls it: `steps.GTL` or `steps.DBTL`.
        decode: Of its payloads.
        post: Takes the events: the loop's.
        poll_ms: 0: report what is new as soon as the log shows it. Else: look only so often, and whenever the machine
            asks to catch up or an append of its own has landed; for a log that is followed loosely, as the GTL by a DBTM.
        chance: For the jitter of pauses.
        role: For failpoints.
        cut: Told when the log was cut above where this follower stands, which then ends; None: that is fatal.
    """

    def __init__(
        self,
        log: Log,
        name: str,
        decode: Decode,
        post: Callable[[LogEvent], None],
        *,
        poll_ms: int = 0,
        chance: random.Random | None = None,
        role: str = "",
        cut: Callable[[str], None] | None = None,
    ) -> None:
        self._cut = cut
        self._log = log
        self._name = name
        self._decode = decode
        self._post = post
        self._poll_ms = poll_ms
        self._role = role
        self._chance = chance or random.Random()
        self._backoff = Backoff(BACKOFF_MS_MIN, BACKOFF_MS_MAX, self._chance)
        self._logger = structlog.get_logger("grit.follow")
        self._offset = Offset(0)
        self._begin_max: Offset | None = None
        self._has_begun = False
        self._failure = ""
        self._asked = self._answered = 0
        self._woken = asyncio.Event()
        self._wait: asyncio.Task[bool] | None = None
        self._appends: set[asyncio.Task[None]] = set()
        self._tail: asyncio.Task[None] | None = None

    @property
    def offset(self) -> Offset:
        """Return the offset of the next record to report."""
        return self._offset

    @property
    def failure(self) -> str:
        """Return why the log cannot be read just now, one line; empty when it can."""
        return self._failure

    def start(self, begin_max: Offset | None = None) -> None:
        """Begin to follow, at the newest checkpoint at or below `begin_max` (None: at the newest); once."""
        assert self._tail is None, "the follower was started before"
        self._begin_max = begin_max
        self._tail = spawn(self._follow(), name=f"follow {self._log.name}")

    def append(self, effect: Append) -> None:
        """Carry out an append; appends take effect in the order of these calls. Failures come back as events."""
        # A task runs up to its first suspension in the order in which it was made, so the log's `append` is called in order.
        task = spawn(self._append(effect), name=f"append to {self._log.name}")
        self._appends.add(task)
        task.add_done_callback(self._appends.discard)

    def catch_up(self) -> None:
        """Read to the end, as it is some moment after this call, and then post LogCaughtUp: one for each call."""
        self._asked += 1
        self._woken.set()

    async def close(self) -> None:
        """Stop following; let appends under way finish for a moment. Nothing is posted any more once it returns."""
        if self._appends:
            await asyncio.wait(self._appends, timeout=CLOSE_MS / 1000)
        tasks = [task for task in (self._tail, self._wait, *self._appends) if task is not None]
        for task in tasks:
            task.cancel()
        # What a cancelled read still raises is of no interest; a failure of the tail itself was reported when it happened.
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _append(self, effect: Append) -> None:
        try:
            await self._log.append(encode_log_record(effect.record))
            failpoint(f"{self._role}.after_append.{record_name(effect.record)}")
        except UnknownError as error:
            self._logger.warning("append unknown", log=self._log.name, reason=str(error))
            self._post(AppendUnknown(self._name, effect.token))
        except LogUnavailable as error:
            self._logger.warning("append refused", log=self._log.name, reason=str(error))
            self._post(AppendRefused(self._name, effect.token, str(error)))
        self._woken.set()

    async def _follow(self) -> None:
        while True:
            try:
                await self._take_turn()
            except LogCut as error:
                if self._cut is None:
                    raise
                self._cut(str(error))
                return
            except LogUnavailable as error:
                self._failure = str(error) or "unavailable"
                self._logger.warning("log unavailable", log=self._log.name, reason=self._failure)
                await asyncio.sleep(self._backoff.next_ms() / 1000)
            else:
                if self._failure:
                    self._failure = ""
                    self._backoff = Backoff(BACKOFF_MS_MIN, BACKOFF_MS_MAX, self._chance)

    async def _take_turn(self) -> None:
        """Answer who wants to be at the end; else wait for something new, and report a batch of it."""
        if not self._has_begun:
            await self._begin()
        self._woken.clear()
        asked = self._asked
        if self._answered < asked:
            # Both reads begin after the calls that they answer.
            end = await self._log.end()
            while self._offset < end:
                await self._report()
            while self._answered < asked:
                self._answered += 1
                self._post(LogCaughtUp(self._name))
        elif self._poll_ms:
            await self._sleep()
            await self._report()
        elif await self._is_something_new():
            await self._report()

    async def _begin(self) -> None:
        begin = await find_begin(self._log, self._decode, self._begin_max)
        self._has_begun = True
        if begin is not None:
            self._offset = begin.at
            self._post(LogBegan(self._name, begin.state))

    async def _report(self) -> None:
        rows = await self._log.read(self._offset)
        if not rows:
            return
        records = tuple((offset, self._decode(payload, log=self._log.name, offset=offset)) for offset, payload in rows)
        self._offset = Offset(rows[-1][0] + 1)
        self._post(LogFolded(self._name, records))

    async def _sleep(self) -> None:
        """Wait for `poll_ms`, or to be woken."""
        try:
            async with asyncio.timeout(self._poll_ms / 1000):
                await self._woken.wait()
        except TimeoutError:
            return

    async def _is_something_new(self) -> bool:
        """Wait until the log shows something new, or to be woken; tell which.

        A wait under way is kept when we are woken, not cancelled: it may be in the middle of a read in a thread.
        """
        if self._wait is None:
            self._wait = asyncio.get_running_loop().create_task(self._log.wait(self._offset, timeout_ms=WAIT_MS))
            self._wait.add_done_callback(lambda _: self._woken.set())
        if not self._wait.done():
            await self._woken.wait()
        if not self._wait.done():
            return False
        done, self._wait = self._wait, None
        return done.result()
