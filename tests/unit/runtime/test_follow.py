"""The follower of a log: order, reads to the end, failures of appends, and a log that goes away."""

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

import pytest

from grit.core.errors import LogError
from grit.core.ids import Epoch, Offset, Realm
from grit.core.records import Fence, Genesis, GtlRecord, decode_gtl_record, encode_log_record
from grit.core.steps import GTL, Append, AppendRefused, AppendUnknown, LogCaughtUp, LogFolded
from grit.log.memory import MemoryLog
from grit.log.port import AppendUnknown as UnknownError
from grit.log.port import LogUnavailable
from grit.runtime.fatal import FATAL
from grit.runtime.follow import LogEvent, LogFollower

LIMIT_S = 10


class WeakLog(MemoryLog):
    """A log in memory that fails as it is told.

    Attributes:
        reads_to_fail: So many of the next reads find the log away.
        append_error: What the next appends raise.
        is_mute: Nothing new is ever noticed by waiting.
    """

    def __init__(self) -> None:
        super().__init__("gtl")
        self.reads_to_fail = 0
        self.append_error: Exception | None = None
        self.is_mute = False

    async def append(self, payload: bytes) -> Offset:
        """Append, or fail as told."""
        if self.append_error is not None:
            raise self.append_error
        return await super().append(payload)

    async def read(self, start: Offset, *, bytes_max: int = 1 << 20) -> Sequence[tuple[Offset, bytes]]:
        """Read, or fail as told."""
        if self.reads_to_fail:
            self.reads_to_fail -= 1
            raise LogUnavailable("no route")
        return await super().read(start, bytes_max=bytes_max)

    async def wait(self, start: Offset, *, timeout_ms: int) -> bool:
        """Wait, in vain if mute."""
        if self.is_mute:
            await asyncio.Event().wait()
        return await super().wait(start, timeout_ms=timeout_ms)


class Listener:
    """Collects events, and waits for what they amount to."""

    def __init__(self) -> None:
        self.events: list[LogEvent] = []
        self._came = asyncio.Event()

    def post(self, event: LogEvent) -> None:
        """Take one event."""
        self.events.append(event)
        self._came.set()

    @property
    def records(self) -> list[tuple[Offset, object]]:
        """All records so far."""
        return [row for event in self.events if isinstance(event, LogFolded) for row in event.records]

    async def until(self, is_true: Callable[[], bool]) -> None:
        """Wait until `is_true`, looking after every event."""
        async with asyncio.timeout(LIMIT_S):
            while not is_true():
                self._came.clear()
                await self._came.wait()


@asynccontextmanager
async def following(
    log: MemoryLog, *, poll_ms: int = 0, cut: Callable[[str], None] | None = None
) -> AsyncIterator[tuple[LogFollower, Listener]]:
    listener = Listener()
    chance = random.Random(1)
    follower = LogFollower(log, GTL, decode_gtl_record, listener.post, poll_ms=poll_ms, chance=chance, cut=cut)
    follower.start()
    try:
        yield follower, listener
    finally:
        await follower.close()


def fence(epoch: int) -> GtlRecord:
    return Fence(Realm("a"), Epoch(epoch))


async def fill(log: MemoryLog, count: int) -> None:
    for epoch in range(1, count + 1):
        await log.append(encode_log_record(fence(epoch)))


async def test_every_record_is_reported_once_in_order_from_the_first() -> None:
    log = MemoryLog("gtl")
    await fill(log, 3)
    async with following(log) as (follower, listener):
        await listener.until(lambda: len(listener.records) == 3)
        for epoch in range(4, 7):
            follower.append(Append(GTL, epoch, fence(epoch)))
        await listener.until(lambda: len(listener.records) == 6)
        assert listener.records == [(epoch - 1, fence(epoch)) for epoch in range(1, 7)]
        assert follower.offset == 6


async def test_caught_up_comes_after_all_that_was_there_when_it_was_asked_for() -> None:
    log = WeakLog()
    log.is_mute = True
    async with following(log) as (follower, listener):
        await fill(log, 3)
        follower.catch_up()
        await listener.until(lambda: LogCaughtUp(GTL) in listener.events)
        assert len(listener.records) == 3
        assert listener.events[-1] == LogCaughtUp(GTL)


async def test_every_request_to_catch_up_is_answered() -> None:
    async with following(MemoryLog("gtl")) as (follower, listener):
        follower.catch_up()
        follower.catch_up()
        await listener.until(lambda: listener.events == [LogCaughtUp(GTL)] * 2)


async def test_a_log_that_is_away_is_tried_again_until_it_is_back() -> None:
    log = WeakLog()
    log.reads_to_fail = 3
    await fill(log, 1)
    async with following(log) as (follower, listener):
        follower.catch_up()
        await listener.until(lambda: LogCaughtUp(GTL) in listener.events)
        assert listener.events == [LogFolded(GTL, ((Offset(0), fence(1)),)), LogCaughtUp(GTL)]
        assert log.reads_to_fail == 0


async def test_a_refused_append_and_an_unknown_one_are_told_apart() -> None:
    log = WeakLog()
    async with following(log) as (follower, listener):
        log.append_error = LogUnavailable("disk full")
        follower.append(Append(GTL, 1, fence(1)))
        await listener.until(lambda: listener.events == [AppendRefused(GTL, 1, "disk full")])
        log.append_error = UnknownError("time-out")
        follower.append(Append(GTL, 2, fence(1)))
        await listener.until(lambda: listener.events[1:] == [AppendUnknown(GTL, 2)])


async def test_a_loosely_followed_log_is_looked_at_when_asked_for_and_after_an_own_append() -> None:
    log = WeakLog()
    log.is_mute = True
    async with following(log, poll_ms=60_000) as (follower, listener):
        await fill(log, 1)
        follower.catch_up()
        await listener.until(lambda: len(listener.records) == 1)
        follower.append(Append(GTL, 1, fence(2)))
        await listener.until(lambda: len(listener.records) == 2)


async def test_a_loosely_followed_log_is_looked_at_each_period() -> None:
    log = WeakLog()
    log.is_mute = True
    async with following(log, poll_ms=5) as (_, listener):
        await fill(log, 1)
        await listener.until(lambda: len(listener.records) == 1)


async def test_a_record_that_is_none_is_fatal_and_names_log_and_offset() -> None:
    log = MemoryLog("gtl")
    await log.append(encode_log_record(Genesis("x", Realm(""), 1)))
    await log.append(b"\x63not ours")
    failed: asyncio.Future[BaseException] = asyncio.get_running_loop().create_future()

    def take(_: asyncio.AbstractEventLoop, context: dict[str, object]) -> None:
        error = context["exception"]
        assert context.get(FATAL)
        assert isinstance(error, BaseException)
        failed.set_result(error)

    asyncio.get_running_loop().set_exception_handler(take)
    async with following(log):
        async with asyncio.timeout(LIMIT_S):
            error = await failed
    with pytest.raises(LogError, match="gtl, offset 1: record format 99"):
        raise error


async def test_close_lets_an_append_under_way_finish() -> None:
    log = MemoryLog("gtl")
    async with following(log) as (follower, _):
        follower.append(Append(GTL, 1, fence(1)))
    assert await log.end() == 1


async def test_a_follower_below_whose_place_the_log_is_cut_says_so_and_ends() -> None:
    log = WeakLog()
    log.is_mute = True
    told: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    async with following(log, poll_ms=60_000, cut=told.set_result) as (follower, listener):
        follower.catch_up()
        await listener.until(lambda: LogCaughtUp(GTL) in listener.events)
        await fill(log, 5)
        await log.cut(Offset(3))
        follower.catch_up()
        async with asyncio.timeout(LIMIT_S):
            assert "log gtl begins at offset 3, what lay at offset 0 was cut" in await told
