"""The clock of a sidecar: its own, but never behind what it was told (protocol.md, section 2)."""

from collections.abc import Callable

from grit.core.ids import Millis
from grit.runtime.loop import wall_clock


class Clock:
    """max(own clock, largest `now` seen). A home that is behind would begin transactions that are already too old."""

    def __init__(self, wall: Callable[[], Millis] = wall_clock) -> None:
        self._wall = wall
        self._seen = Millis(0)
        self._last = self._passed = wall()

    def now(self) -> Millis:
        """Return milliseconds since 1970 UTC."""
        return max(self._wall(), self._seen)

    def passed(self) -> Millis:
        """Return what deadlines go by: it runs on while `now` waits for the wall, and when that jumps back.

        Only differences mean anything.
        """
        wall = self._wall()
        self._passed = Millis(self._passed + max(0, wall - self._last))
        self._last = wall
        return self._passed

    def see(self, now: Millis) -> None:
        """Take the time that an answer carried."""
        self._seen = max(self._seen, now)
