"""A GTM writes checkpoints of the GTL, and one that begins at them knows what everybody knows."""

from grit.core.fold import GtlFold
from grit.core.ids import Offset
from grit.core.outcome import State
from grit.core.records import Checkpoint, encode_log_record
from grit.core.states import Parts, split_state
from grit.core.steps import GTL, AppendUnknown, Halt, LogBegan, LogFolded, Tick
from gtm.config import GtmConfig
from tests.sim.beginning import newest_checkpoint
from tests.unit.gtm.rig import A, B, Rig, txn

CONFIG = GtmConfig(checkpoint_records=5)


def busy(transactions: int) -> Rig:
    """Return a leader that has committed so many transactions, the last with a key."""
    rig = Rig(CONFIG)
    rig.serve(A, B)
    for number in range(1, transactions + 1):
        is_last = number == transactions
        rig.submit(txn(number), A, B, key="pay" if is_last else "", result=b"paid" if is_last else b"")
        rig.vote(A, B)
        rig.settle()
    return rig


def test_a_leader_writes_the_true_state_of_every_fifth_offset() -> None:
    rig = busy(8)
    found = [record for record in rig.log if isinstance(record, Checkpoint)]
    assert [record.at for record in found] == [5, 10]
    fold = GtlFold()
    for record in rig.log[:10]:
        fold.apply(fold.offset, record)
    assert Parts().take(found[1]) == fold.dump()


def test_a_leader_whose_checkpoint_is_of_unknown_fate_leads_on() -> None:
    rig = busy(2)
    rig.step(AppendUnknown(GTL, 0))
    rig.settle()
    assert rig.machine.is_serving
    assert rig.machine.fold.epoch == 1


def test_the_next_leader_begins_at_the_newest_and_remembers_outcomes_and_keys() -> None:
    rig = busy(12)
    after = Rig(CONFIG, log=rig.log, name="g2")
    begin = newest_checkpoint(GTL, [encode_log_record(record) for record in rig.log], None)
    assert begin is not None
    after._folded = begin[0]
    after.step(Tick())
    after.step(LogBegan(GTL, begin[1]))
    after.settle()
    assert (after.machine.is_serving, after.machine.fold.next_csn) == (True, 13)
    assert after.outcome(after.ask_status(txn(1))).state == State.COMMITTED
    kept = after.outcome(after.ask_key_status("pay"))
    assert (kept.txid, kept.result) == (txn(12), b"paid")


def test_a_false_checkpoint_of_a_known_offset_halts() -> None:
    rig = busy(8)
    (effect,) = rig.step(LogFolded(GTL, ((Offset(len(rig.log)), split_state(Offset(10), b"false")[0]),)))
    assert isinstance(effect, Halt)
    assert "the checkpoint of offset 10 is" in str(effect.error)
