"""How new is what this replica has folded? For reads that may be a little old, and no older (protocol.md section 8).

What was committed before a time t is in a log before its first record of t or later. So a fold whose log time has reached t
holds all of it. A log in which nothing happens shows no later time: then a read of it to its end, begun after the question
was asked, does as well, since whatever was acknowledged before the question is durable before that end. Both are asked of
both logs: a global is committed by the GTL, and may not be in the DBTL yet.

A replica that is not up to that waits. Leaders and standbys do the same: nobody's word is needed but the logs'.
"""

from bisect import bisect_left

import msgspec

from dbtm.effects import Effect
from dbtm.ledger import Ledger
from grit.core.fold import GtlFold
from grit.core.ids import Csn, Lsn, Millis
from grit.core.steps import DBTL, GTL, CatchUp

TIMES_MAX = 10_000
"""So many times of records are remembered of each log; of what is older the bound is stricter than need be."""


class Look(msgspec.Struct, frozen=True, gc=False):
    """A read of both logs to their ends: which reads of each, counted from the start, it is."""

    dbtl: int = 0
    gtl: int = 0


class _Times:
    """When the numbers of a log were given, by its own time: `numbers[i]` is the newest before `times[i + 1]`."""

    def __init__(self) -> None:
        self._times: list[Millis] = []
        self._numbers: list[int] = []

    def note(self, time: Millis, newest: int) -> None:
        """Take a record; times never go back."""
        if self._times and self._times[-1] == time:
            self._numbers[-1] = newest
            return
        self._times.append(time)
        self._numbers.append(newest)
        if len(self._times) > 2 * TIMES_MAX:
            del self._times[:TIMES_MAX], self._numbers[:TIMES_MAX]

    def newest_before(self, time: Millis, newest: int) -> int:
        """Return the newest number given before a time, or a later one; `newest`: of all, which is all that is known at first."""
        if not self._numbers:
            return newest
        return self._numbers[max(0, bisect_left(self._times, time) - 1)]


class Freshness:
    """Of one replica."""

    def __init__(self, ledger: Ledger, gtl: GtlFold, effects: list[Effect]) -> None:
        self._ledger = ledger
        self._gtl = gtl
        self._effects = effects
        self._asked = {DBTL: 0, GTL: 0}
        self._reached = {DBTL: 0, GTL: 0}
        self._lsns = _Times()
        self._csns = _Times()

    def note(self, log: str) -> None:
        """Take that a record of a log was folded."""
        if log == DBTL:
            self._lsns.note(self._ledger.fold.now, self._ledger.tail)
        else:
            self._csns.note(self._gtl.now, self._gtl.next_csn - 1)

    def look(self) -> Look:
        """Read both logs to their ends."""
        self._effects.extend((CatchUp(DBTL), CatchUp(GTL)))
        now = [effect.log for effect in self._effects if isinstance(effect, CatchUp)]
        return Look(self._asked[DBTL] + now.count(DBTL), self._asked[GTL] + now.count(GTL))

    def carried_out(self) -> None:
        """Take that the effects of a step leave now."""
        for effect in self._effects:
            if isinstance(effect, CatchUp):
                self._asked[effect.log] += 1

    def reached(self, log: str) -> None:
        """Take that the oldest read under way has reached the end of its log."""
        self._reached[log] += 1

    def is_reached(self, log: str, look: Look) -> bool:
        """Tell whether that look has reached the end of one log."""
        return self._reached[log] >= (look.dbtl if log == DBTL else look.gtl)

    def is_shown(self, time: Millis, look: Look) -> bool:
        """Tell whether everything that was committed before a time is folded, if what this realm lacks of globals is."""
        dbtl = self._ledger.fold.now >= time or self.is_reached(DBTL, look)
        return dbtl and (self._gtl.now >= time or self.is_reached(GTL, look))

    def lsn_before(self, time: Millis) -> Lsn:
        """Return the newest Lsn that was given before a time, or a later one."""
        return Lsn(self._lsns.newest_before(time, self._ledger.tail))

    def csn_before(self, time: Millis) -> Csn:
        """Return the newest Csn that was given before a time, or a later one."""
        return Csn(self._csns.newest_before(time, self._gtl.next_csn - 1))
