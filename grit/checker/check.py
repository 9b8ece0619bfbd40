"""The checks: `check_log` (W0-W4, W9), `check_state` (W6), and `check_app` for the rules of the application."""

from collections.abc import Mapping, Sequence

import msgspec

from grit.checker.agreement import compare_logs
from grit.checker.dbtl import RealmHistory, read_dbtl
from grit.checker.difference import judge_position, judge_rows
from grit.checker.gtl import GlobalHistory, read_gtl
from grit.checker.replay import Base, found_before, judge_images
from grit.checker.report import Finding, Report, in_order
from grit.checker.rules import Named, Rule
from grit.checker.serial import newest_whole_csn, serial_order
from grit.checker.sources import Sources, all_rows, copy_dbtl, copy_gtl
from grit.checker.tables import Tables, realms_named_in
from grit.checker.trial import Trial
from grit.core.catalog import RealmDef
from grit.core.errors import ConfigError, StoreRefused
from grit.core.ids import Collection, Realm
from grit.core.queries import StoreAnswer


class Histories(msgspec.Struct, frozen=True):
    """All logs of a deployment, read."""

    gtl: GlobalHistory
    realms: Mapping[Realm, RealmHistory]

    @property
    def transactions(self) -> int:
        """How many transactions committed, each global counted once."""
        local = sum(not t.entry.csn for history in self.realms.values() for t in history.transactions)
        return local + len(self.gtl.committed())

    def gaps(self) -> list[str]:
        """Return what of the logs could not be read or compared."""
        logs = [(self.gtl.log, self.gtl.is_whole), *((h.log, h.is_whole) for h in self.realms.values())]
        damaged = [f"log {log} beyond its damage" for log, is_whole in logs if not is_whole]
        named = {part.realm for decision in self.gtl.committed() for part in decision.entry.parts}
        unknown = sorted(named - self.realms.keys())
        return damaged + [f"realm {realm}: the global log names it, the configuration does not" for realm in unknown]


async def read_histories(sources: Sources, *, is_quiesced: bool) -> Histories:
    """Read every log; the GTL last, so that it holds whatever the others refer to.

    Raises:
        LogUnavailable: A log cannot be reached.
    """
    copies = {realm: await copy_dbtl(sources, realm) for realm in sorted(sources.realms)}
    gtl = read_gtl(await copy_gtl(sources), is_quiesced=is_quiesced)
    realms = {
        realm: read_dbtl(copy, realm, gtl_log_id=gtl.log_id, is_quiesced=is_quiesced) for realm, copy in copies.items()
    }
    return Histories(gtl, realms)


async def check_log(sources: Sources, *, is_quiesced: bool = False) -> Report:
    """Are the logs well formed, and do they agree on every transaction (W0-W4, W9)?

    Args:
        sources: The deployment.
        is_quiesced: Nothing is in progress: what is committed must be in every log. Else the last transactions may be
            on their way, and leaders have some seconds to react.

    Raises:
        LogUnavailable: A log cannot be reached.
    """
    return judge_logs(await read_histories(sources, is_quiesced=is_quiesced), is_quiesced=is_quiesced)


def judge_logs(histories: Histories, *, is_quiesced: bool) -> Report:
    """Return the report of `check_log` on logs that have been read."""
    agreement = compare_logs(histories.gtl, histories.realms, is_quiesced=is_quiesced)
    findings = [*histories.gtl.findings, *agreement.findings]
    for history in histories.realms.values():
        findings += [*history.findings, *judge_images(history)]
    waiting = f"{agreement.in_progress} parts of committed transactions are on their way into their realm's log"
    return Report(
        "log",
        histories.transactions,
        in_order(findings),
        tuple(histories.gaps()),
        (waiting,) if agreement.in_progress else (),
        _coverage(histories),
    )


async def check_state(sources: Sources) -> Report:
    """Is every database, at the position that it says, the replay of its log to there (W6)?

    May be asked while the system runs.

    Raises:
        LogUnavailable: A log cannot be reached.
        StoreUnavailable: A database cannot be reached.
    """
    states = [await _check_realm(sources, sources.realms[realm]) for realm in sorted(sources.realms)]
    transactions, rows = sum(state.transactions for state in states), sum(state.rows for state in states)
    return Report(
        "state",
        transactions,
        in_order([finding for state in states for finding in state.findings]),
        tuple(state.gap for state in states if state.gap),
        tuple(state.note for state in states if state.note),
        {"transactions": transactions, "rows": rows},
    )


class _RealmState(msgspec.Struct, frozen=True):
    """What one database gave."""

    findings: tuple[Finding, ...] = ()
    gap: str = ""
    note: str = ""
    transactions: int = 0
    rows: int = 0


async def _check_realm(sources: Sources, realm: RealmDef) -> _RealmState:
    """Check one database. Its rows are read before its log, so that the log holds all that is in them."""
    reader = await sources.open_reader(realm)
    try:
        answer = await all_rows(reader, realm)
    except StoreRefused as error:
        message = f"the database of realm {realm.name} is not as the catalogue describes it: {error}"
        return _RealmState((Finding("W6", "refused", message),))
    finally:
        await reader.close()
    history = read_dbtl(await copy_dbtl(sources, realm.name), realm.name)
    return judge_state(history, answer, sorted(realm.collections))


def judge_state(
    history: RealmHistory, answer: StoreAnswer, names: Sequence[Collection], base: Base | None = None
) -> _RealmState:
    """Hold the rows of a database, read at one position, to its log.

    Args:
        history: Its log; read after the rows, so that it holds all that is in them.
        answer: All rows, of one collection after the other.
        names: The collections, in that order.
        base: What they were at a position of the history; None: the history tells all that it can.
    """
    cursor = answer.after
    if cursor is not None and cursor.offset >= history.begin + len(history.marks) and not history.is_whole:
        return _RealmState(gap=f"the database of realm {history.realm}: its position lies behind the damage of its log")
    wrong = judge_position(history, cursor) if cursor is not None else None
    if wrong is not None:
        return _RealmState((wrong,))
    mark = history.mark_at(cursor.offset if cursor is not None else 0)
    if mark is None:
        message = f"nothing was applied, and the log was cut at offset {history.begin}: build the database anew"
        return _RealmState((Finding("W6", "wrong position", message, log=history.log),))
    rows = {(name, key): row for name, found in zip(names, answer.rows, strict=True) for key, row in found}
    findings, older = judge_rows(history, mark, rows, base)
    note = f"realm {history.realm}: {older} rows are older than the log and untouched since: nothing to compare"
    return _RealmState(tuple(findings), note=note if older else "", transactions=mark.lsn, rows=len(rows))


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
        trial = Trial(tables, steps)
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
        if history.begin or found_before(history)
    ]


def _coverage(histories: Histories) -> dict[str, int]:
    return {
        "logs": 1 + len(histories.realms),
        "records": sum(len(history.marks) - 1 for history in histories.realms.values()),
        "decisions": histories.gtl.last_csn,
        "local": sum(not t.entry.csn for history in histories.realms.values() for t in history.transactions),
    }
