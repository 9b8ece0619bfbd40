"""The invariants of protocol.md section 13, on what a run has left behind.

Nothing here asks a machine or the fold that the roles share: logs are read by the checker's own reading, and compared with
what the chronicle of the run holds. What leaves no trace (I9, I10, I12) is looked at while it happens: `tests.sim.watch`.

    I1  one outcome per txid              I5  Csn order in every DBTL          I9   nothing below the low watermark
    I2  acknowledged is in the fold       I6  globals whole, once, nowhere else I10  cursor and epoch never go back
    I3  refused is not                    I7  database = replay at the cursor  I11  no effect of a fenced epoch
    I4  Lsn and Csn dense                 I8  reads exact at their position    I12  tables bounded
"""

from collections.abc import Iterator, Mapping

from grit.checker.check import Histories, judge_logs
from grit.checker.difference import judge_position, judge_rows
from grit.checker.replay import Images
from grit.checker.report import Finding
from grit.core.ids import Collection, Key, Lsn, Realm, TxnId
from grit.core.ordering import ordered
from grit.core.outcome import State
from grit.core.predicate import EVERYTHING, matches
from grit.core.queries import FindRows, GetRows, Query
from grit.core.values import decode_record
from grit.store.memory import MemoryStore
from tests.sim.chronicle import Chronicle, Shown
from tests.sim.histories import states_of

INVARIANT_OF = {"W0": "I4", "W1": "I5", "W2": "I6", "W3": "I1", "W4": "I7", "W6": "I7", "W9": "I11"}
"""Which invariant a finding of the checker breaks."""
Rows = tuple[tuple[bytes, bytes], ...]


def find_broken(chronicle: Chronicle, histories: Histories, stores: Mapping[Realm, MemoryStore]) -> list[str]:
    """Return every invariant that does not hold, and where, one a line; empty when all do."""
    findings = [_line(finding) for finding in judge_logs(histories, is_quiesced=True).findings]
    return [
        *chronicle.slips,
        *findings,
        *_broken_outcomes(chronicle, histories),
        *_broken_databases(histories, stores),
        *_broken_reads(chronicle, histories),
    ]


def committed_in(histories: Histories) -> frozenset[TxnId]:
    """Return whoever has committed, by the logs."""
    local = (t.entry.txid for h in histories.realms.values() for t in h.transactions if not t.entry.csn)
    return frozenset(local) | {decision.entry.txid for decision in histories.gtl.committed()}


def _line(finding: Finding) -> str:
    return f"{INVARIANT_OF[finding.property]}: {finding.text()}"


def _broken_outcomes(chronicle: Chronicle, histories: Histories) -> Iterator[str]:
    """I1 to I3: what anybody was ever told, against the logs."""
    committed = committed_in(histories)
    told: dict[TxnId, State] = {}
    for said in chronicle.said:
        outcome = said.outcome
        if outcome.state not in (State.COMMITTED, State.ABORTED):
            continue
        if told.setdefault(outcome.txid, outcome.state) != outcome.state:
            yield f"I1: {outcome.txid} was told as {told[outcome.txid]}, and as {outcome.state} by {said.speaker}"
        if outcome.state == State.COMMITTED and outcome.txid not in committed:
            yield f"I2: {said.speaker} acknowledged {outcome.txid}, which is in no log"
        if outcome.state == State.ABORTED and outcome.txid in committed:
            yield f"I3: {said.speaker} refused {outcome.txid} ({outcome.code}), which is committed"
    for txid in chronicle.refused:
        if txid in committed:
            yield f"I3: a client was told that {txid} has no effect, and it is committed"


def _broken_databases(histories: Histories, stores: Mapping[Realm, MemoryStore]) -> Iterator[str]:
    """I7: rows against the replay of the log up to the cursor."""
    for realm, store in sorted(stores.items()):
        history, cursor = histories.realms[realm], store.cursor_now()
        if cursor is None:
            yield f"I7: the database of realm {realm} has no cursor"
            continue
        wrong = judge_position(history, cursor)
        if wrong is not None:
            yield _line(wrong)
            continue
        names = sorted(store._rows)
        answers = store.read_now([FindRows(name, EVERYTHING) for name in names]).rows
        rows = {(name, key): row for name, found in zip(names, answers, strict=True) for key, row in found}
        findings, _ = judge_rows(history, history.marks[cursor.offset], rows)
        yield from map(_line, findings)


def _broken_reads(chronicle: Chronicle, histories: Histories) -> Iterator[str]:
    """I8: what was shown at a position is what the log makes of the realm up to there, and since `exact_from`."""
    states = {realm: states_of(history) for realm, history in histories.realms.items()}
    for shown in chronicle.shown:
        for lsn in sorted({shown.answer.exact_from, shown.answer.position}):
            broken = _broken_read(shown, lsn, states[shown.realm])
            if broken:
                yield broken


def _broken_read(shown: Shown, lsn: Lsn, states: list[Images]) -> str:
    if lsn >= len(states):
        return f"I8: a read of realm {shown.realm} was answered at Lsn {lsn}, its log ends at {len(states) - 1}"
    for query, rows in zip(shown.queries, shown.answer.rows, strict=True):
        expected = _evaluate(query, states[lsn])
        if rows != expected:
            return f"I8: realm {shown.realm} at Lsn {lsn}: {query} was answered with {rows}, the log says {expected}"
    return ""


def _evaluate(query: Query, state: Images) -> Rows:
    if isinstance(query, GetRows):
        found = ((key, state.get((query.collection, key))) for key in query.keys)
        return tuple((key, image) for key, image in found if image is not None)
    there = _records(query.collection, state)
    rows = [(key, row) for key, image in there.items() if matches(query.where, row := decode_record(image))]
    return tuple((key, there[key]) for key, _ in ordered(rows, query.order_by)[: query.limit])


def _records(collection: Collection, state: Images) -> dict[Key, bytes]:
    return {key: image for (name, key), image in state.items() if name == collection and image is not None}
