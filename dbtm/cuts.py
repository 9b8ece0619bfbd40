"""Cuts: which Csns a position of this realm stands for, so that several realms can be read on one (protocol.md section 8).

    Lsn      7      8      9     10     11     12 = tail
    Csn      -     31      -     34      -      -        through 40
    position 7: ..30 | 8 and 9: 31..33 | 10, 11 and 12: 34..40

A cut is a Csn c. The realm shows it at every position between its last entry with a Csn of at most c and its first with a
greater one; behind its newest global that ends at the Csn through which the realm has everything.
"""

from bisect import bisect_right
from collections.abc import Iterable

from grit.core.ids import Csn, Lsn
from grit.core.records import Entry


class Cuts:
    """The globals of a realm by Lsn and by Csn, which grow together.

    Args:
        floor: The tail where this replica began to fold; what lies below is known only by how far it goes.
        csn: Up to where the realm had every global there.
        globals_max: So many are remembered at least.

    Attributes:
        floor: Nothing is remembered of positions below it.
        csn: The newest global's; 0 = there was none.
    """

    def __init__(self, floor: Lsn, csn: Csn, globals_max: int) -> None:
        self.floor = floor
        self.csn = csn
        self._floor_csn = csn
        self._globals_max = globals_max
        self._lsns: list[Lsn] = []
        self._csns: list[Csn] = []

    def note(self, entries: Iterable[tuple[Lsn, Entry]]) -> None:
        """Take what has become durable."""
        for lsn, entry in entries:
            if entry.csn:
                self._lsns.append(lsn)
                self._csns.append(entry.csn)
                self.csn = entry.csn
        if len(self._lsns) > 2 * self._globals_max:
            self.forget(self._lsns[-self._globals_max])

    def forget(self, floor: Lsn) -> None:
        """Forget what lies below `floor`."""
        if floor <= self.floor:
            return
        self._floor_csn = self.csn_at(floor)
        self.floor = floor
        gone = bisect_right(self._lsns, floor)
        del self._lsns[:gone], self._csns[:gone]

    def csn_at(self, position: Lsn) -> Csn:
        """Return the least Csn for which a position, at or above the floor, stands."""
        at = bisect_right(self._lsns, position)
        return self._csns[at - 1] if at else self._floor_csn

    def last_csn_at(self, position: Lsn, through: Csn) -> Csn:
        """Return the greatest Csn for which a position stands; `through`: up to where the realm has every global."""
        at = bisect_right(self._lsns, position)
        return Csn(self._csns[at] - 1) if at < len(self._csns) else max(through, self.csn)

    def lsn_of(self, csn: Csn) -> Lsn:
        """Return where the newest global up to a Csn stands; the floor when that is not remembered."""
        at = bisect_right(self._csns, csn)
        return self._lsns[at - 1] if at else self.floor

    def newest_position(self, csn: Csn, tail: Lsn) -> Lsn:
        """Return the newest position that shows nothing above a Csn; below the floor when that is not remembered."""
        if self._floor_csn > csn:
            return Lsn(self.floor - 1)
        at = bisect_right(self._csns, csn)
        return Lsn(self._lsns[at] - 1) if at < len(self._lsns) else tail
