"""Distributions counted in plain ints: an observation costs a bisection and two additions."""

from bisect import bisect_left
from collections.abc import Mapping, Sequence

from grit.telemetry.metrics import Sample

LATENCY_MS_BOUNDS = (0.5, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 30_000)


class Histogram:
    """How many observations were at most each bound.

    Args:
        bounds: Inclusive upper bounds, rising, in the unit of what is observed.
    """

    def __init__(self, bounds: Sequence[float] = LATENCY_MS_BOUNDS) -> None:
        assert list(bounds) == sorted(set(bounds))
        self._bounds = tuple(bounds)
        self._counts = [0] * (len(bounds) + 1)
        self._sum = 0.0

    def observe(self, value: float) -> None:
        """Count one observation."""
        self._counts[bisect_left(self._bounds, value)] += 1
        self._sum += value

    def sample(self, name: str, labels: Mapping[str, str] | None = None, text: str = "") -> Sample:
        """Return what was seen so far, for `Metrics`."""
        seen, buckets = 0, []
        for bound, count in zip((*self._bounds, None), self._counts, strict=True):
            seen += count
            buckets.append(("+Inf" if bound is None else str(float(bound)), seen))
        return Sample(name, self._sum, labels or {}, "histogram", text, tuple(buckets))
