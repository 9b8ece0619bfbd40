"""Goodput around an accident, of the moments at which transactions were acknowledged. Pure.

Moments are seconds of one monotonic clock, ascending.
"""

import math
from bisect import bisect_left
from collections.abc import Sequence
from itertools import pairwise

WINDOW_S = 0.5
SHARE = 0.9


def rate_between(moments: Sequence[float], begin: float, end: float) -> float:
    """Return how many a second there were in [begin, end)."""
    return (bisect_left(moments, end) - bisect_left(moments, begin)) / (end - begin)


def recovered_after_s(moments: Sequence[float], accident: float, rate: float) -> float | None:
    """Return the seconds from an accident until goodput was back; None: it is not, as far as the moments go.

    It is back with the first acknowledgement after the accident from which on a window of half a second holds 90 % of
    what it held before. Windows begin at acknowledgements, so none begins in the silence.

    Args:
        moments: Of acknowledgements.
        accident: When it happened.
        rate: The goodput before, a second.
    """
    wanted = max(1, math.ceil(SHARE * rate * WINDOW_S))
    for at in range(bisect_left(moments, accident), len(moments) - wanted + 1):
        if moments[at + wanted - 1] < moments[at] + WINDOW_S:
            return moments[at] - accident
    return None


def longest_silence_s(moments: Sequence[float], begin: float, end: float) -> float:
    """Return the longest time without an acknowledgement in [begin, end]."""
    inside = moments[bisect_left(moments, begin) : bisect_left(moments, end)]
    return max(later - earlier for earlier, later in pairwise([begin, *inside, end]))
