"""How a count grew in the course of time: the rate of the last seconds, and of each second. Pure."""

from bisect import bisect_left
from collections.abc import Sequence
from itertools import pairwise

WINDOW_S = 2.0
_BARS = "▁▂▃▄▅▆▇█"


class Course:
    """Takes a count now and then; between two takings it counts as growing evenly.

    Moments are seconds since the beginning, ascending.
    """

    def __init__(self) -> None:
        self._moments = [0.0]
        self._counts = [0.0]

    def take(self, at: float, count: int) -> None:
        """The count is this now."""
        self._moments.append(at)
        self._counts.append(count)

    def rate(self) -> float:
        """Return by how much it grew in a second, during the last two."""
        end = self._moments[-1]
        begin = max(0.0, end - WINDOW_S)
        return (self._count_at(end) - self._count_at(begin)) / (end - begin) if end > begin else 0.0

    def by_second(self) -> list[float]:
        """Return by how much it grew in each whole second."""
        marks = [self._count_at(second) for second in range(int(self._moments[-1]) + 1)]
        return [later - earlier for earlier, later in pairwise(marks)]

    def _count_at(self, moment: float) -> float:
        after = bisect_left(self._moments, moment)
        if self._moments[after] == moment or after == 0:
            return self._counts[after]
        (begin, end), (low, high) = self._moments[after - 1 : after + 1], self._counts[after - 1 : after + 1]
        return low + (high - low) * (moment - begin) / (end - begin)


def bars(values: Sequence[float]) -> str:
    """Draw a bar for each value, a dot for nothing; the highest is the full one."""
    top = max(values, default=0.0)
    return "".join(_BARS[min(len(_BARS) - 1, int(value / top * len(_BARS)))] if value >= 1 else "." for value in values)
