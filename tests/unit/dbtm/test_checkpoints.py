"""A DBTM that begins at checkpoints knows what one knows that has folded everything."""

from typing import Any

import pytest

from grit.core.errors import LogError
from grit.core.fold import DbtlFold, GtlFold
from grit.core.ids import Csn, Offset
from grit.core.limits import Limits
from grit.core.messages import OutcomeAnswered
from grit.core.parts import KeyRead
from grit.core.records import Checkpoint
from grit.core.states import Parts, split_state
from grit.core.steps import DBTL, GTL, AppendUnknown, LogFolded
from grit.core.values import encode_record
from tests.unit.dbtm.rig import HOME, ITEM, SHOP, Rig, key, part, put, txn

LIMITS = Limits(checkpoint_records=5)


def busy(transactions: int) -> Rig:
    """Return a leader that writes a checkpoint every five records, and has committed so many locals."""
    rig = Rig(limits=LIMITS)
    rig.serve()
    for number in range(1, transactions + 1):
        rig.committed(number, put(number % 7, n=number % 100))
    return rig


def checkpoint_gtl(rig: Rig, at: int) -> None:
    """Append a true checkpoint of the GTL."""
    fold = GtlFold()
    for record in rig.logs[GTL][:at]:
        fold.apply(fold.offset, record)
    rig.logs[GTL] += split_state(Offset(at), fold.dump())


def after(rig: Rig, name: str) -> Rig:
    """Return the next leader, which begins at checkpoints."""
    following = Rig(logs=rig.logs, store=rig.store, name=name, limits=LIMITS, begins=True)
    following.serve()
    return following


def checkpoints(rig: Rig) -> list[Checkpoint]:
    return [record for record in rig.logs[DBTL] if isinstance(record, Checkpoint)]


def test_a_leader_writes_the_true_state_of_every_fifth_offset() -> None:
    rig = busy(20)
    assert [record.at for record in checkpoints(rig)] == [5, 10, 15, 20, 25]
    fold = DbtlFold("dbtl.shop", SHOP)
    for record in rig.logs[DBTL][:15]:
        fold.apply(fold.offset, record)
    assert Parts().take(checkpoints(rig)[2]) == fold.dump()


def test_a_leader_whose_checkpoint_is_of_unknown_fate_leads_on() -> None:
    rig = busy(3)
    rig.commit(4, put(1, n=1))
    rig.land()
    rig.fold(DBTL)
    (lost,) = [append for append in rig.appends if isinstance(append.record, Checkpoint)]
    rig.appends.remove(lost)
    rig.step(AppendUnknown(DBTL, lost.token))
    rig.settle()
    assert (rig.machine.phase, rig.machine.epoch) == ("serving", 1)
    assert rig.committed(5, put(2, n=2)) == 5


@pytest.mark.parametrize("applied", [3, 11, 20])
def test_the_next_leader_begins_at_or_below_the_cursor_and_reads_what_everybody_reads(applied: int) -> None:
    rig = busy(20)
    play(rig, applied)
    next_one = after(rig, "d2")
    cursor = next_one.store.cursor_now()
    assert cursor is not None
    assert cursor.offset - 5 <= next_one.began[DBTL] <= cursor.offset
    assert next_one.describe()["lsn"] == 20
    items = {image.key: image.after for _, entry in next_one.entries() for image in entry.images}
    for number in range(7):
        row = next_one.get(number)
        assert row is not None
        assert encode_record(row) == items[key(number)]
    assert next_one.committed(21, put(1, n=5)) == 21
    assert next_one.get(1) == {"id": 1, "n": 5}


def play(rig: Rig, upto: int) -> None:
    """Apply up to an Lsn, one by one, as the cursor of a player moves."""
    whole, folded = rig.logs[DBTL], 0
    fold = DbtlFold("dbtl.shop", SHOP)
    while fold.tail < upto:
        fold.apply(fold.offset, whole[fold.offset])
        folded += 1
    rig.logs[DBTL] = whole[:folded]
    rig.play()
    rig.logs[DBTL] = whole


def test_without_a_cursor_it_begins_at_the_start() -> None:
    assert after(busy(20), "d2").began[DBTL] == 0


def test_outcomes_from_before_the_checkpoint_are_known() -> None:
    rig = busy(20)
    rig.play()
    next_one = after(rig, "d2")
    assert next_one.began[DBTL] > 10
    next_one.status(1)
    next_one.settle()
    (answer,) = next_one.answers(OutcomeAnswered, HOME)
    assert (answer.outcome.state, answer.outcome.lsn) == ("COMMITTED", 1)


def test_who_read_below_the_checkpoint_is_too_old() -> None:
    rig = busy(20)
    rig.play()
    next_one = after(rig, "d2")
    next_one.commit(30, put(1, n=1), reads=(KeyRead(ITEM, key(2), None),), position=3)
    next_one.settle()
    assert next_one.outcome(30).code == "TOO_OLD"


def with_globals(merged: int) -> Rig:
    """Return a realm with two committed globals in the GTL, of which its log holds so many, and a checkpoint behind them."""
    rig = Rig(limits=LIMITS)
    rig.serve()
    rig.coordinate()
    pairs = [(number, part(put(number, n=number))) for number in (1, 2)]
    rig.voted(1, *pairs)
    rig.decree(1, *pairs[:merged])
    rig.settle()
    rig.decree(1 + merged, *pairs[merged:], prev=merged)
    return rig


@pytest.mark.parametrize("merged", [0, 1])
def test_the_merge_takes_what_the_log_lacks_though_a_newer_checkpoint_of_the_gtl_lies_behind_it(merged: int) -> None:
    rig = with_globals(merged)
    checkpoint_gtl(rig, 2)
    checkpoint_gtl(rig, len(rig.logs[GTL]) - 1)
    next_one = after(rig, "d2")
    assert next_one.txids() == [txn(1), txn(2)]
    assert [entry.csn for _, entry in next_one.entries()] == [Csn(1), Csn(2)]
    assert next_one.began[GTL] <= len(rig.logs[GTL])


def test_a_standby_that_folds_a_false_checkpoint_of_an_offset_that_it_knows_stops() -> None:
    rig = busy(20)
    false = split_state(Offset(25), b"false")[0]
    rig.logs[DBTL].append(false)
    offset = Offset(len(rig.logs[DBTL]) - 1)
    with pytest.raises(LogError, match="the checkpoint of offset 25 is .* they do not fold alike"):
        rig.step(LogFolded(DBTL, ((offset, false),)))


def facts(machine: Any) -> tuple[bytes, bytes]:
    return machine._ledger.fold.dump(), machine._voting.gtl.dump()


def test_both_folds_end_the_same_from_a_checkpoint_and_from_the_start() -> None:
    rig = busy(20)
    checkpoint_gtl(rig, 2)
    rig.play()
    from_start, from_checkpoint = (
        Rig(logs=rig.logs, store=rig.store, name="d9", limits=LIMITS, begins=begins) for begins in (False, True)
    )
    for one in (from_start, from_checkpoint):
        one.step_to_claim()
    assert from_checkpoint.began[DBTL] > 0
    assert from_checkpoint.began[GTL] > 0
    assert facts(from_checkpoint.machine) == facts(from_start.machine)
