"""Figures: what was measured, in which unit, and what should have been reached."""

import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass

_COMPARISONS: Mapping[str, Callable[[float, float], bool]] = {
    "<=": operator.le,
    "<": operator.lt,
    ">=": operator.ge,
    ">": operator.gt,
    "=": operator.eq,
}


@dataclass(frozen=True)
class Target:
    """What a figure should reach: a comparison (`<=`, `<`, `>=`, `>`, `=`) and a bound in the figure's unit.

    Raises:
        ValueError: Another comparison.
    """

    comparison: str
    bound: float

    def __post_init__(self) -> None:
        """Check the comparison."""
        if self.comparison not in _COMPARISONS:
            raise ValueError(f"{self.comparison!r} is no comparison; there are {', '.join(_COMPARISONS)}")

    def is_met(self, value: float) -> bool:
        """Tell whether a value reaches it."""
        return _COMPARISONS[self.comparison](value, self.bound)

    def __str__(self) -> str:
        return f"{self.comparison} {number_text(self.bound)}"


@dataclass(frozen=True)
class Figure:
    """One number of one run.

    Attributes:
        name: What it is of; unique within a benchmark.
        value: In `unit`.
        unit: `1/s`, `ms`, `us`, `MiB`, `s`, `x` (a ratio), or what is counted.
        target: What it should reach; None: it is reported, no more.
        note: One line for the reader.
        samples: Each repetition, in order, when the value is the worst of several; they stand in the JSON file only.
    """

    name: str
    value: float
    unit: str
    target: Target | None = None
    note: str = ""
    samples: tuple[float, ...] = ()

    @property
    def verdict(self) -> str:
        """Return `met` or `missed`; "" without a target."""
        if self.target is None:
            return ""
        return "met" if self.target.is_met(self.value) else "missed"

    @property
    def is_wrong(self) -> bool:
        """Tell whether it is a count that only one value will do for, and has another: no matter of speed."""
        return self.target is not None and self.target.comparison == "=" and self.verdict == "missed"


def number_text(value: float) -> str:
    """Return a number with three significant digits or more, and thousands apart."""
    if value == 0 or abs(value) >= 100 or value == int(value):
        return f"{value:,.0f}"
    return f"{value:.3g}"


def percentile(ordered: list[float], share: float) -> float:
    """Return what `share` (0 to 1) of the values, in ascending order, did not exceed; 0 when there are none."""
    if not ordered:
        return 0.0
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]
