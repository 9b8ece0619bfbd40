"""The loop between a pure machine and the world: an event in, a step, its effects carried out in order.

    post(event) --> step(now, event) --> [effect, effect, ...] --> perform(effect) one by one
        ^                                                              |
        +------------- queued while a step is under way <--------------+

Everything happens synchronously on the thread of the event loop, so a step is never nested in another, and its
effects are complete before the next event is looked at. The loop decides nothing: the simulator drives the same
machines without it.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Iterable
from typing import Generic, TypeVar

from grit.core.ids import Millis
from grit.runtime.fatal import report_fatal, spawn

Event = TypeVar("Event")
Effect = TypeVar("Effect")


def wall_clock() -> Millis:
    """Return milliseconds since 1970 UTC by the clock of this machine; it may jump, either way."""
    return Millis(time.time_ns() // 1_000_000)


class Loop(Generic[Event, Effect]):
    """Drives one machine.

    Args:
        step: The machine: from the time and an event to effects, in order.
        perform: Carries out one effect, without blocking. Results come back as events, through `post`.
        clock: Wall clock in milliseconds; read once an event.
    """

    def __init__(
        self,
        step: Callable[[Millis, Event], Iterable[Effect]],
        perform: Callable[[Effect], None],
        clock: Callable[[], Millis] = wall_clock,
    ) -> None:
        self._step = step
        self._perform = perform
        self._clock = clock
        self._waiting: deque[Event] = deque()
        self._is_stepping = False
        self._is_closed = False
        self._tickers: list[asyncio.Task[None]] = []

    @property
    def is_closed(self) -> bool:
        """Tell whether events are dropped: after `close`, or after a step or an effect failed."""
        return self._is_closed

    def post(self, event: Event) -> None:
        """Take one event, and every event that its effects post; call it on the event loop's thread only.

        Called while a step or an effect is under way it only queues the event: first in, first out. After
        `close` or a failure the event is dropped.

        Raises:
            BaseException: Whatever the step or an effect raised. It has already been reported to the supervisor,
                and the machine, which may be half way through an event, is never stepped again.
        """
        if self._is_closed:
            return
        self._waiting.append(event)
        if self._is_stepping:
            return
        self._is_stepping = True
        try:
            while self._waiting:
                self._take(self._waiting.popleft())
        finally:
            self._is_stepping = False

    def ticker(self, period_ms: int, make_tick: Callable[[], Event]) -> asyncio.Task[None]:
        """Post `make_tick()` each `period_ms` from now on, until `close`; a late one is not made up for."""
        assert period_ms > 0
        task = spawn(self._tick(period_ms / 1000, make_tick), name=f"ticker {period_ms} ms")
        self._tickers.append(task)
        return task

    def close(self) -> None:
        """Stop the tickers and drop every event that still comes. Effects already begun are the caller's."""
        self._is_closed = True
        self._waiting.clear()
        for task in self._tickers:
            task.cancel()
        self._tickers.clear()

    def _take(self, event: Event) -> None:
        try:
            for effect in self._step(self._clock(), event):
                self._perform(effect)
        except BaseException as error:
            # The caller may be a server framework that turns exceptions into answers: tell the supervisor first.
            self.close()
            report_fatal(error, place=f"step of {type(event).__name__}")
            raise

    async def _tick(self, period_s: float, make_tick: Callable[[], Event]) -> None:
        while True:
            await asyncio.sleep(period_s)
            self.post(make_tick())
