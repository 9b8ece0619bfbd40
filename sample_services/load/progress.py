"""What is shown while a load runs: a table that stays in place on a terminal, a line every few seconds elsewhere."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Self

from rich.console import Console
from rich.live import Live
from rich.table import Table

from sample_services.load.course import Course
from sample_services.load.tally import Tally

LINE_S = 3.0


@dataclass(frozen=True)
class Sight:
    """What the roles tell at one moment.

    Attributes:
        lags: Realm -> transactions in its log that its database does not have yet; None: nobody answers.
        aborts: Code -> attempts that ended without effect.
    """

    lags: Mapping[str, int | None] = field(default_factory=dict)
    aborts: Mapping[str, int] = field(default_factory=dict)


class Progress:
    """Shows a load. To be used with `with`.

    Args:
        console: Where.
        tally: Counts, as they grow.
        wanted: How many checkouts there will be.

    Attributes:
        course: Of the checkouts.
    """

    def __init__(self, console: Console, tally: Tally, wanted: int) -> None:
        self._console = console
        self._tally = tally
        self._wanted = wanted
        self.course = Course()
        self._live = Live(console=console, refresh_per_second=4, transient=True) if console.is_terminal else None
        self._began = self._told = time.monotonic()

    def __enter__(self) -> Self:
        if self._live:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live:
            self._live.stop()

    def say(self, text: str) -> None:
        """Tell of an event."""
        self._console.print(
            f"[{time.monotonic() - self._began:5.1f} s] {text}", markup=False, highlight=False, soft_wrap=True
        )

    def show(self, sight: Sight) -> None:
        """Show how it is now."""
        now = time.monotonic()
        self.course.take(now - self._began, self._tally.checkouts)
        if self._live:
            self._live.update(self._table(sight, now - self._began))
        elif now - self._told >= LINE_S:
            self._told = now
            self.say(self.line(sight))

    def line(self, sight: Sight) -> str:
        """Return how it is now, in one line."""
        tally, elapsed_s = self._tally, time.monotonic() - self._began
        return (
            f"{tally.checkouts:,} of {self._wanted:,} checkouts,"
            f" {self.course.rate():.0f}/s now, {tally.checkouts / max(elapsed_s, 0.001):.0f}/s in all,"
            f" p50 {tally.percentile_ms(0.5):.0f} ms, p99 {tally.percentile_ms(0.99):.0f} ms; retries {tally.retries};"
            f" aborted {_counts(sight.aborts or self._tally.aborted)}; lag {lags_text(sight.lags)}"
        )

    def _table(self, sight: Sight, elapsed_s: float) -> Table:
        tally = self._tally
        table = Table(show_header=False, title=f"{tally.checkouts:,} of {self._wanted:,} checkouts, {elapsed_s:.0f} s")
        table.add_row("committed", _counts(tally.committed))
        whole = tally.checkouts / max(elapsed_s, 0.001)
        table.add_row("rate", f"{self.course.rate():.0f} checkouts/s now, {whole:.0f}/s in all")
        table.add_row("latency", f"p50 {tally.percentile_ms(0.5):.0f} ms, p99 {tally.percentile_ms(0.99):.0f} ms")
        table.add_row("retries", f"{tally.retries:,}")
        table.add_row("aborted, by cause", _counts(sight.aborts or tally.aborted))
        table.add_row("refused by the shop", _counts(tally.refused))
        table.add_row("lag of each realm", lags_text(sight.lags))
        return table


def _counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {count:,}" for name, count in sorted(counts.items()) if count) or "none"


def lags_text(lags: Mapping[str, int | None]) -> str:
    """Return the lag of each realm, in one line."""
    return ", ".join(f"{realm} {'?' if lag is None else lag}" for realm, lag in lags.items()) or "?"
