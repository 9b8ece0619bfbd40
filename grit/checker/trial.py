"""Trials of a rule: on which beginning of the serial order does it fail first?"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from grit.checker.replay import Images, replay
from grit.checker.report import Finding
from grit.checker.rules import Broken, Named, Rule
from grit.checker.serial import Step
from grit.core.ids import Realm

if TYPE_CHECKING:
    from grit.checker.tables import Tables


class Trial:
    """The beginnings of a serial order, each as filled tables."""

    def __init__(self, tables: "Tables", steps: Sequence[Step]) -> None:
        self._tables = tables
        self._steps = steps

    def fill(self, length: int, wanted: frozenset[Named]) -> int:
        """Fill the tables with the state after the first `length` transactions; return the number of rows."""
        states: dict[Realm, Images] = {realm: {} for realm, _ in wanted}
        for step in self._steps[:length]:
            for realm, share in step.shares:
                if realm in states:
                    replay([share], states[realm])
        return self._tables.fill(states, wanted)

    def explain(self, rule: Rule, broken: Broken, wanted: frozenset[Named]) -> Finding:
        """Return the finding of a broken rule, with the transaction that broke it."""
        step = self._first_broken(rule, wanted)
        count = f"{broken.count} row{'s' if broken.count > 1 else ''}"
        found = "; ".join(broken.rows) + ("; ..." if broken.count > len(broken.rows) else "")
        return Finding(
            rule.id,
            "rule broken",
            f"{rule.title}: {count}. {_blame(step, wanted) if step else 'It does not hold for empty tables either'}",
            csn=step.csn or step.behind if step else 0,
            txid=step.txid if step else "",
            expected=f"no row from the query at {rule.place}",
            found=found,
        )

    def _first_broken(self, rule: Rule, wanted: frozenset[Named]) -> Step | None:
        """Return a transaction before which the rule holds and after which it does not; by bisection."""
        holds, fails = -1, len(self._steps)
        while fails - holds > 1:
            middle = (holds + fails) // 2
            self.fill(middle, wanted)
            if self._tables.broken_by(rule):
                fails = middle
            else:
                holds = middle
        return self._steps[fails - 1] if fails else None


def _blame(step: Step, wanted: frozenset[Named]) -> str:
    """Return when a rule first failed, and what the transaction wrote of what the rule looks at."""
    origin = f" ({step.origin})" if step.origin else ""
    when = f"at Csn {step.csn:,}" if step.csn else f"in a local transaction after Csn {step.behind:,}"
    silent = sorted({realm for realm, _ in wanted} - set(step.written))
    wrote = ", ".join(step.written) or "nothing"
    return f"First failed {when}, transaction {step.txid}{origin}: it wrote {wrote}" + (
        f", not {', '.join(silent)}" if silent else ""
    )
