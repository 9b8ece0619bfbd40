"""`check_app`: do the rules of the application hold, and since which transaction do they not?"""

from collections.abc import Sequence

from grit.checker.check import read_histories
from grit.checker.dbtl import RealmHistory
from grit.checker.replay import Images, found_before, replay
from grit.checker.report import Finding, Report
from grit.checker.rules import Rule
from grit.checker.serial import Step, newest_whole_csn, serial_order
from grit.checker.sources import Sources
from grit.checker.tables import Broken, Named, Tables, realms_named_in
from grit.core.errors import ConfigError
from grit.core.ids import Realm


async def check_app(rules: Sequence[Rule], sources: Sources, *, at: int | None = None) -> Report:
    """Hold the rules to the state at a Csn, replayed from the logs; bisect those that are broken.

    Args:
        rules: Each a query that must return no row.
        sources: The deployment; its databases are not asked.
        at: The Csn; None: the newest at which every realm is complete.

    Raises:
        ConfigError: A rule is no query over the catalogue's collections, or `at` lies in the future.
        LogUnavailable: A log cannot be reached.
    """
    histories = await read_histories(sources, is_quiesced=False)
    newest = newest_whole_csn(histories.gtl, histories.realms)
    if at is not None and not 0 <= at <= newest:
        raise ConfigError(f"--at {at}: the newest Csn at which every realm is complete is {newest}")
    csn = newest if at is None else at
    steps = serial_order(histories.realms, csn)
    with Tables(realms_named_in(rules, sources.realms)) as tables:
        trial = _Trial(tables, steps)
        wanted = {rule.id: tables.collections_of(rule) for rule in rules}
        rows = trial.fill(len(steps), frozenset[Named]().union(*wanted.values()))
        broken = [(rule, found) for rule in rules if (found := tables.broken_by(rule))]
        findings = [trial.explain(rule, found, wanted[rule.id]) for rule, found in broken]
    coverage = {"rules": len(rules), "rows": rows, "csn": csn}
    notes = (f"state at Csn {csn}",)
    named = {realm for collections in wanted.values() for realm, _ in collections}
    gaps = (*histories.gaps(), *_older_data([histories.realms[realm] for realm in sorted(named)]))
    return Report("app", len(steps), tuple(findings), gaps, notes, coverage)


def _older_data(histories: Sequence[RealmHistory]) -> list[str]:
    return [
        f"realm {history.realm}: what was in its database before its log began, and was not written since"
        for history in histories
        if found_before(history)
    ]


class _Trial:
    """The beginnings of a serial order, each as filled tables."""

    def __init__(self, tables: Tables, steps: Sequence[Step]) -> None:
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
