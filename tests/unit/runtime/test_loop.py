"""The loop between a machine and the world."""

import asyncio
from typing import Any

import pytest

from grit.core.ids import Millis
from grit.runtime.fatal import FATAL
from grit.runtime.loop import Loop, wall_clock


class Recorder:
    """A machine whose events are effects: it does what it is told, and writes down what happened."""

    def __init__(self, follow_up: dict[str, str] | None = None) -> None:
        self.seen: list[str] = []
        self.follow_up = follow_up or {}
        self.loop = Loop(self.step, self.perform, clock=lambda: Millis(1_000))

    def step(self, now: Millis, event: str) -> list[str]:
        self.seen.append(f"step {event} at {now}")
        return [] if event == "tick" else [f"{event}.1", f"{event}.2"]

    def perform(self, effect: str) -> None:
        self.seen.append(effect)
        if effect in self.follow_up:
            self.loop.post(self.follow_up[effect])


class FatalErrors:
    """What reaches the exception handler of the event loop."""

    def __init__(self) -> None:
        self.contexts: list[dict[str, Any]] = []
        self.first: asyncio.Future[BaseException] = asyncio.get_running_loop().create_future()
        asyncio.get_running_loop().set_exception_handler(self._take)

    def _take(self, _: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        self.contexts.append(context)
        if not self.first.done():
            self.first.set_result(context["exception"])


async def test_effects_are_carried_out_in_order_before_post_returns() -> None:
    machine = Recorder()
    machine.loop.post("a")
    assert machine.seen == ["step a at 1000", "a.1", "a.2"]


async def test_an_event_posted_by_an_effect_waits_until_the_step_is_complete() -> None:
    machine = Recorder(follow_up={"a.1": "b", "b.1": "c"})
    machine.loop.post("a")
    assert machine.seen == [
        "step a at 1000", "a.1", "a.2", "step b at 1000", "b.1", "b.2", "step c at 1000", "c.1", "c.2",
    ]  # fmt: skip


async def test_a_failing_effect_is_reported_raised_and_the_last_thing_that_happens() -> None:
    errors = FatalErrors()
    done: list[str] = []

    def perform(effect: str) -> None:
        done.append(effect)
        loop.post("queued behind the failure")
        raise KeyError(effect)

    loop = Loop[str, str](lambda _now, event: [event, "never"], perform)
    with pytest.raises(KeyError):
        loop.post("a")
    loop.post("b")
    assert done == ["a"]
    assert loop.is_closed
    assert [(repr(c["exception"]), c[FATAL], c["message"]) for c in errors.contexts] == [
        ("KeyError('a')", True, "step of str")
    ]


async def test_a_failing_step_performs_nothing() -> None:
    errors = FatalErrors()

    def step(now: Millis, event: str) -> list[str]:
        raise AssertionError("a bug")

    done: list[str] = []
    with pytest.raises(AssertionError):
        Loop[str, str](step, done.append).post("a")
    assert done == []
    assert isinstance(await errors.first, AssertionError)


async def test_a_ticker_posts_until_the_loop_is_closed() -> None:
    machine = Recorder()
    ticks = 0
    enough = asyncio.Event()

    def make_tick() -> str:
        nonlocal ticks
        ticks += 1
        if ticks == 3:
            enough.set()
        return "tick"

    task = machine.loop.ticker(1, make_tick)
    async with asyncio.timeout(5):
        await enough.wait()
        machine.loop.close()
        await asyncio.wait([task])
    assert task.cancelled()
    assert machine.seen == ["step tick at 1000"] * ticks


async def test_a_failing_tick_is_fatal() -> None:
    errors = FatalErrors()

    def make_tick() -> str:
        raise ValueError("no tick")

    Recorder().loop.ticker(1, make_tick)
    async with asyncio.timeout(5):
        assert str(await errors.first) == "no tick"


async def test_a_closed_loop_drops_events() -> None:
    machine = Recorder()
    machine.loop.close()
    machine.loop.post("a")
    assert machine.seen == []


async def test_the_wall_clock_counts_milliseconds_since_1970() -> None:
    assert 1_700_000_000_000 < wall_clock() < 10_000_000_000_000
