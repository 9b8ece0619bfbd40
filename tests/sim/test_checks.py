"""The checks of the simulator are checked themselves: each planted fault is found, under the name of what it breaks."""

import copy
from collections.abc import Callable
from contextlib import suppress
from unittest.mock import patch

import msgspec
import pytest
from msgspec.structs import replace

import dbtm.voting
from dbtm.certify import Certifier
from grit.core.ids import Csn, Epoch, Lsn, Millis, Offset, TxnId, make_txn_id
from grit.core.operations import NumberResult, RowResult
from grit.core.outcome import Outcome, State
from grit.core.records import DbtlRecord, Entries, Entry, Through, decode_dbtl_record, encode_log_record
from grit.store.memory import MemoryStore
from tests.sim.certificate import find_uncertified
from tests.sim.chronicle import Said
from tests.sim.cluster import Cluster
from tests.sim.histories import read_logs
from tests.sim.invariants import committed_in, find_broken
from tests.sim.mutations import _apply_without_compare
from tests.sim.plan import draw
from tests.sim.programs import CATALOGUE, ITEMS, TABLE
from tests.sim.swarm import Swarm
from tests.sim.verdict import final_rows

LOG = "dbtl.table"


class Left:
    """What a run leaves behind, to be forged."""

    def __init__(self, cluster: Cluster) -> None:
        self.logs = {name: list(payloads) for name, payloads in cluster.world.logs.items()}
        self.chronicle = copy.deepcopy(cluster.world.chronicle)
        self.stores = copy.deepcopy(cluster.stores)
        self.attempts = [attempt for client in (cluster.setup, *cluster.clients) for attempt in client.attempts]

    def broken(self) -> list[str]:
        histories = read_logs(self.logs, sorted(self.stores))
        final = final_rows(self.stores, CATALOGUE)
        found = find_broken(self.chronicle, histories, self.stores)
        return [*found, *find_uncertified(self.attempts, self.chronicle, histories, CATALOGUE, final)]

    def committed(self) -> TxnId:
        return min(committed_in(read_logs(self.logs, sorted(self.stores))))

    def rewrite(self, change: Callable[[Entries], DbtlRecord | None], *, which: Callable[[Entries], bool]) -> None:
        """Change the first record of the table's log that `which` picks; None takes it out."""
        for offset, payload in enumerate(self.logs[LOG]):
            record = decode_dbtl_record(payload, log=LOG, offset=Offset(offset))
            if isinstance(record, Entries) and record.entries and which(record):
                changed = change(record)
                self.logs[LOG][offset : offset + 1] = [encode_log_record(changed)] if changed else []
                return
        raise AssertionError("the run holds no such record: choose another seed")


@pytest.fixture(scope="module")
def cluster() -> Cluster:
    ran = Cluster(3, clients=5, transactions=6)
    ran.run()
    return ran


@pytest.fixture
def left(cluster: Cluster) -> Left:
    return Left(cluster)


def _has_global(record: Entries) -> bool:
    return any(entry.csn for entry in record.entries)


def _edit(record: Entries, edit: Callable[[Entry], Entry]) -> Entries:
    return msgspec.structs.replace(record, entries=tuple(edit(entry) for entry in record.entries))


def _tell_twice(left: Left) -> None:
    left.chronicle.said.append(Said(0, "forger", Outcome(left.committed(), State.COMMITTED)))
    left.chronicle.said.append(Said(0, "forger", Outcome(left.committed(), State.ABORTED)))


def _acknowledge_nothing(left: Left) -> None:
    nobody = make_txn_id(Millis(1), 1)
    left.chronicle.said.append(Said(0, "forger", Outcome(nobody, State.COMMITTED)))


def _refuse_committed(left: Left) -> None:
    left.chronicle.refused.append(left.committed())


def _commit_twice(left: Left) -> None:
    last = read_logs(left.logs, sorted(left.stores)).realms[TABLE]
    local = next(t.entry for t in last.transactions if not t.entry.csn)
    end = last.end
    again = Entries(end.epoch, Lsn(end.lsn + 1), Millis(0), Through(end.through, Offset(0)), (local,))
    left.logs[LOG].append(encode_log_record(again))


def _lose_a_record(left: Left) -> None:
    left.rewrite(lambda _: None, which=lambda record: record.first_lsn > 1)


def _turn_csn_around(left: Left) -> None:
    left.rewrite(lambda record: _edit(record, lambda e: msgspec.structs.replace(e, csn=Csn(9_999))), which=_has_global)


def _alter_a_part(left: Left) -> None:
    left.rewrite(
        lambda record: _edit(record, lambda e: msgspec.structs.replace(e, part=e.part + b"x") if e.csn else e),
        which=_has_global,
    )


def _invite_a_stranger(left: Left) -> None:
    """A global of other realms stands in the log of this one."""
    gtl = read_logs(left.logs, sorted(left.stores)).gtl
    stranger = next(one for one in gtl.committed() if one.part_of(TABLE) is None)
    forged = Entry(stranger.entry.txid, stranger.csn, stranger.entry.parts[0].part, ())
    left.rewrite(
        lambda record: msgspec.structs.replace(record, entries=(forged, *record.entries[1:])),
        which=lambda record: record.first_lsn > 1,
    )


def _change_a_row(left: Left) -> None:
    rows = left.stores[TABLE]._rows[ITEMS]
    key = min(rows)
    rows[key] = {**rows[key], "a": 99}


def _show_another_moment(left: Left) -> None:
    """The rows of the end are shown as those of the beginning."""
    at = max(i for i, shown in enumerate(left.chronicle.shown) if shown.answer.position and any(shown.answer.rows))
    shown = left.chronicle.shown[at]
    early = msgspec.structs.replace(shown.answer, position=Lsn(0), exact_from=Lsn(0))
    left.chronicle.shown[at] = msgspec.structs.replace(shown, answer=early)


def _write_unclaimed(left: Left) -> None:
    left.logs[LOG].append(encode_log_record(Entries(Epoch(99), Lsn(1), Millis(0), Through(Csn(0), Offset(0)), ())))


def _answer_otherwise(left: Left) -> None:
    for i, attempt in enumerate(left.attempts):
        number = next((j for j, r in enumerate(attempt.results) if isinstance(r, NumberResult | RowResult)), None)
        if number is not None and not attempt.error:
            results = (*attempt.results[:number], NumberResult(-1), *attempt.results[number + 1 :])
            left.attempts[i] = msgspec.structs.replace(attempt, results=results)
            return


def _answer_before_it_took_place(left: Left) -> None:
    first = left.attempts[0]
    left.attempts[0] = msgspec.structs.replace(first, ended=first.began)


def _forget_an_acknowledged_one(left: Left) -> None:
    left.attempts.append(msgspec.structs.replace(left.attempts[0], name=make_txn_id(Millis(1), 1), checked=0))


def _err_without_reason(left: Left) -> None:
    at = next(i for i, attempt in enumerate(left.attempts) if attempt.checked)
    left.attempts[at] = msgspec.structs.replace(left.attempts[at], error="ALREADY_EXISTS")


FORGERIES: list[tuple[str, Callable[[Left], None]]] = [
    ("I1", _tell_twice),
    ("I1", _commit_twice),
    ("I2", _acknowledge_nothing),
    ("I3", _refuse_committed),
    ("I4", _lose_a_record),
    ("I5", _turn_csn_around),
    ("I6", _alter_a_part),
    ("I6", _invite_a_stranger),
    ("I7", _change_a_row),
    ("I8", _show_another_moment),
    ("I11", _write_unclaimed),
    ("certificate", _answer_otherwise),
    ("certificate", _answer_before_it_took_place),
    ("certificate", _forget_an_acknowledged_one),
    ("certificate", _err_without_reason),
]


@pytest.mark.parametrize(("invariant", "forge"), FORGERIES, ids=[f"{name}-{f.__name__[1:]}" for name, f in FORGERIES])
def test_a_planted_fault_is_found_under_its_name(left: Left, invariant: str, forge: Callable[[Left], None]) -> None:
    assert left.broken() == []
    forge(left)
    assert any(line.startswith(f"{invariant}:") for line in left.broken()), left.broken()


def _run_until_noticed(invariant: str, make: Callable[[int], Cluster | Swarm]) -> bool:
    for seed in range(40):
        ran = make(seed)
        with suppress(Exception):  # a broken role may die of it first
            ran.run()
        if any(line.startswith(f"{invariant}:") for line in ran.world.chronicle.slips):
            return True
    return False


def test_a_certification_below_the_low_watermark_is_noticed() -> None:
    few = {"history_keys": 1, "images_records": 1}
    with patch.object(Certifier, "find_stale", lambda *_: None):
        assert _run_until_noticed("I9", lambda seed: Swarm(replace(draw(seed, clients=4), limits=few)))


def test_a_cursor_that_goes_back_is_noticed() -> None:
    with patch.object(MemoryStore, "apply_now", _apply_without_compare):
        assert _run_until_noticed("I10", lambda seed: Swarm(draw(seed, clients=3)))


def test_a_table_beyond_its_bound_is_noticed() -> None:
    tight = {"pending_parts": 1}
    with patch.object(dbtm.voting, "find_vote_backlog", lambda *_: None):
        assert _run_until_noticed("I12", lambda seed: Swarm(replace(draw(seed, clients=5), limits=tight)))
