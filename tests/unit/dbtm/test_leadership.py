"""How a DBTM comes to lead, and what it says of what was under way when it no longer does."""

import msgspec

from dbtm.effects import Restart
from grit.core.ids import Csn, Epoch, LeaderId, Lsn, Millis, Offset, Realm
from grit.core.limits import Limits
from grit.core.messages import CommitAsked, Declined, DescribeAnswered, DescribeAsked
from grit.core.parts import encode_part
from grit.core.predicate import EVERYTHING
from grit.core.queries import Cursor, FindRows, GetRows, RowWrite
from grit.core.records import DbtlRecord, DbtmEpoch, Entries, Fence, Genesis, GtmEpoch, Through
from grit.core.steps import DBTL, GTL, Append, AppendUnknown, Halt
from grit.store.memory import MemoryStore
from tests.unit.dbtm.rig import CATALOGUE, ITEM, SHOP, START, Rig, add, key, part, put, txn


def foreign(rig: Rig, epoch: int) -> None:
    """Another process claims the realm."""
    rig.logs[DBTL].append(DbtmEpoch(Epoch(epoch), LeaderId("other"), "addr-other", rig.now, "the-gtl"))


def halted(rig: Rig) -> str:
    """Return why the machine halted."""
    return next(str(effect.error) for effect in rig.effects if isinstance(effect, Halt))


def with_globals(*csns: int) -> Rig:
    """Return a machine that has merged nothing yet, and a GTL with committed globals of an older epoch of its realm."""
    rig = Rig()
    rig.serve()
    rig.coordinate()
    rig.voted(1, *((csn, part(put(csn, n=csn))) for csn in csns))
    rig.decree(1, *((csn, part(put(csn, n=csn))) for csn in csns))
    return Rig(logs=rig.logs, store=rig.store, name="d2")


# --- claiming ---------------------------------------------------------------------------------------------


def test_a_new_realm_gets_a_genesis_an_epoch_and_a_fence() -> None:
    rig = Rig()
    rig.serve()
    kinds = [type(record) for record in rig.logs[DBTL]]
    assert kinds == [Genesis, DbtmEpoch]
    assert rig.logs[GTL][-1] == Fence(SHOP, Epoch(1))


def test_the_epoch_is_claimed_only_once_the_genesis_is_folded() -> None:
    rig = Rig()
    rig.step_to_claim()
    assert [type(append.record) for append in rig.appends] == [Genesis]
    rig.refuse_append()
    rig.pass_time(300)
    rig.settle()
    assert [type(record) for record in rig.logs[DBTL]] == [Genesis, DbtmEpoch]
    assert rig.machine.phase == "serving"


def test_a_dbtm_waits_for_a_gtl_that_nobody_has_begun() -> None:
    rig = Rig(logs={DBTL: [], GTL: []})
    rig.pass_time(0)
    rig.settle()
    assert rig.machine.phase == "opening"
    rig.logs[GTL].append(Genesis("the-gtl", Realm(""), 1))
    rig.pass_time(300)
    rig.settle()
    assert rig.machine.phase == "serving"


def test_a_database_that_is_away_at_the_start_is_asked_again() -> None:
    rig = Rig()
    rig.pass_time(0)
    rig.fail_looks()
    rig.settle()
    assert rig.machine.phase == "opening"
    rig.pass_time(300)
    rig.settle()
    assert rig.machine.phase == "serving"


def test_requests_before_serving_are_declined_without_effect() -> None:
    rig = Rig()
    request = rig.commit(1, put(1))
    assert rig.declined(request).code == "NO_LEADER"
    rig.serve()
    assert rig.txids() == []


def test_a_log_that_is_shorter_than_what_the_database_applied_halts() -> None:
    rig = Rig()
    rig.serve()
    rig.committed(1, put(1))
    rig.play()
    shorter = Rig(logs={DBTL: rig.logs[DBTL][:2], GTL: rig.logs[GTL]}, store=rig.store)
    shorter.pass_time(0)
    shorter.settle()
    assert "the log lost records or is another one" in halted(shorter)
    assert not [effect for effect in shorter.effects if isinstance(effect, Append)]


def test_a_global_log_that_lost_what_this_log_knows_of_it_halts() -> None:
    rig = Rig()
    rig.serve()
    known = Entries(rig.machine.epoch, Lsn(1), rig.now, Through(Csn(7), Offset(9)), ())
    restored = Rig(logs={DBTL: [*rig.logs[DBTL], known], GTL: rig.logs[GTL]}, store=rig.store)
    restored.pass_time(0)
    restored.settle()
    assert "log gtl ends at offset" in halted(restored)
    assert "holds what lay in it up to offset 9 (Csn 7)" in halted(restored)
    assert not [effect for effect in restored.effects if isinstance(effect, Append)]


def test_a_log_that_the_database_does_not_follow_halts() -> None:
    store = MemoryStore(CATALOGUE)
    assert store.apply_now(None, [], Cursor("another-log", Offset(1), Epoch(0), Lsn(0)))
    rig = Rig(store=store, logs={DBTL: [Genesis("this-log", SHOP, 1)], GTL: [Genesis("the-gtl", Realm(""), 1)]})
    rig.pass_time(0)
    rig.settle()
    assert "follows log another-log, dbtl.shop is this-log" in halted(rig)


def test_a_realm_of_another_gtl_halts_before_it_spoils_the_log() -> None:
    rig = Rig()
    rig.serve()
    before = list(rig.logs[DBTL])
    other = Rig(logs={DBTL: rig.logs[DBTL], GTL: [Genesis("another-gtl", Realm(""), 1)]}, store=rig.store)
    other.pass_time(0)
    other.settle()
    assert "GTL the-gtl" in halted(other)
    assert rig.logs[DBTL] == before


def test_a_claim_under_another_gtl_is_void_and_stops_whoever_made_it_and_nobody_else() -> None:
    rig = Rig()
    rig.until_phase("claiming")
    rig.logs[DBTL].append(DbtmEpoch(Epoch(1), LeaderId("other"), "addr-other", rig.now, "another-gtl"))
    rig.land()  # a little too late: the log belongs to the other one
    rig.fold(DBTL)
    rig.pass_time(300)
    assert "coordinated under GTL another-gtl, this DBTM reads GTL the-gtl" in halted(rig)
    assert rig.appends == []
    other = Rig(logs={DBTL: rig.logs[DBTL], GTL: [Genesis("another-gtl", Realm(""), 1)]}, store=rig.store, name="d2")
    other.serve()


def test_a_database_that_went_back_restarts_the_machine() -> None:
    rig = Rig()
    rig.serve()
    rig.committed(1, put(1))
    rig.play()
    rig.pass_time(300)
    rig.settle()
    rig.store = MemoryStore(CATALOGUE)
    rig.ask(FindRows(ITEM, EVERYTHING))
    rig.settle()
    assert [effect for effect in rig.effects if isinstance(effect, Restart)]


# --- merging ----------------------------------------------------------------------------------------------


def test_a_new_leader_merges_the_committed_globals_in_csn_order() -> None:
    rig = with_globals(1, 2, 3)
    rig.serve()
    assert [(lsn, entry.csn, entry.txid) for lsn, entry in rig.entries()] == [(n, n, txn(n)) for n in (1, 2, 3)]
    assert rig.get(2) == {"id": 2, "n": 2}


def test_voided_entries_are_not_merged() -> None:
    rig = Rig()
    rig.serve()
    rig.coordinate()
    rig.voted(1, (1, part(put(1))))
    rig.decree(1, (1, part(put(1))), dbtm_epoch=0)
    after = Rig(logs=rig.logs, store=rig.store, name="d2")
    after.serve()
    assert after.txids() == []


def test_a_global_is_merged_once_whatever_leader_comes_next() -> None:
    rig = with_globals(1, 2)
    rig.serve()
    for name in ("d3", "d4"):
        rig = Rig(logs=rig.logs, store=rig.store, name=name)
        rig.serve()
    assert rig.txids() == [txn(1), txn(2)]


def test_a_leader_that_dies_after_a_part_of_the_merge_leaves_the_rest_to_the_next() -> None:
    rig = with_globals(1, 2, 3)
    dying = Rig(logs=rig.logs, store=rig.store, name="d2", limits=Limits(record_entries=2))
    dying.until_phase("merging")
    dying.answer()
    dying.land()
    assert isinstance(dying.logs[DBTL][-1], Entries)
    assert dying.txids() == [txn(1), txn(2)]
    after = Rig(logs=dying.logs, store=dying.store, name="d3")
    after.serve()
    assert after.txids() == [txn(1), txn(2), txn(3)]


def test_a_retry_that_was_due_before_the_merge_does_not_merge_twice() -> None:
    rig = with_globals(1, 2)
    rig.until_phase("fencing")
    rig.fold(GTL)
    rig.catch_up()  # the end was read before the fence landed: a retry is due
    rig.land()
    rig.fold(GTL)
    assert rig.machine.phase == "merging"
    rig.answer()
    rig.pass_time(1_000)
    rig.answer()
    rig.settle()
    assert rig.machine.phase == "serving"
    assert rig.txids() == [txn(1), txn(2)]


def test_a_fence_reported_unknown_after_it_was_folded_does_not_merge_twice() -> None:
    rig = with_globals(1, 2)
    rig.until_phase("merging")
    rig.answer()
    rig.step(AppendUnknown(GTL, 2))
    rig.pass_time(1_000)
    rig.answer()
    rig.settle()
    assert rig.txids() == [txn(1), txn(2)]


def test_a_second_claim_of_one_epoch_that_lands_late_does_not_merge_twice() -> None:
    rig = with_globals(1, 2)
    rig.until_phase("claiming")
    rig.lose(landed=True)
    rig.pass_time(300)
    (claim,) = rig.appends
    assert isinstance(claim.record, DbtmEpoch)
    rig.appends.clear()
    rig.logs[DBTL].append(claim.record)  # the same claim again: void
    rig.fold(DBTL, upto=len(rig.logs[DBTL]) - 1)
    rig.land()
    rig.fold(GTL)
    rig.answer()
    rig.fold(DBTL)
    rig.pass_time(1_000)
    rig.answer()
    rig.settle()
    assert rig.machine.phase == "serving"
    assert rig.txids() == [txn(1), txn(2)]


def test_through_never_goes_back_when_a_new_leader_merges() -> None:
    rig = Rig()
    rig.serve()
    rig.coordinate()
    rig.voted(1, (1, part(put(1))))
    rig.decree(1, (1, part(put(1))))
    rig.settle()
    before = rig.logs[DBTL][-1].gtl_through
    rig.voted(2, (2, part(put(2))))
    rig.decree(2, (2, part(put(2))), prev=1)
    after = Rig(logs=rig.logs, store=rig.store, name="d2")
    after.serve()
    through = after.logs[DBTL][-1].gtl_through
    assert (before.csn, through.csn) == (1, 2)
    assert through.offset >= before.offset > 0


def test_a_merge_waits_for_a_database_that_is_away() -> None:
    rig = with_patches()
    rig.until_phase("merging")
    rig.fail_looks()
    rig.pass_time(300)
    rig.settle()
    assert rig.machine.phase == "serving"
    assert rig.get(1) == {"id": 1, "n": 12}


def with_patches() -> Rig:
    """Return a machine that must look into the database to merge: the record is not in the log."""
    rig = Rig()
    row = RowWrite(ITEM, key(1), {"id": 1, "n": 5})
    assert rig.store.apply_now(None, [row], Cursor("log-d1", Offset(0), Epoch(0), Lsn(0)))
    rig.logs[DBTL].append(Genesis("log-d1", SHOP, 1))
    rig.serve()
    rig.coordinate()
    rig.voted(1, (1, part(add(1, 7))))
    rig.decree(1, (1, part(add(1, 7))))
    return Rig(logs=rig.logs, store=rig.store, name="d2")


def test_an_append_unknown_in_the_middle_of_a_merge_merges_the_rest_once() -> None:
    for landed in (True, False):
        rig = with_globals(1, 2)
        rig.until_phase("merging")
        rig.answer()
        rig.lose(landed=landed)
        rig.pass_time(300)
        rig.settle()
        rig.pass_time(300)
        rig.settle()
        assert rig.machine.phase == "serving"
        assert rig.txids() == [txn(1), txn(2)]


def test_what_a_push_said_and_the_log_did_not_take_is_merged_from_the_gtl() -> None:
    rig = Rig()
    rig.serve()
    rig.coordinate()
    rig.voted(1, (1, part(put(1, n=1))))
    rig.decree(1, (1, part(put(1, n=1))))
    rig.push((1, True, 1, 0))
    rig.lose(landed=False)
    rig.pass_time(300)
    rig.settle()
    rig.pass_time(300)
    rig.settle()
    assert rig.machine.phase == "serving"
    assert rig.txids() == [txn(1)]


# --- an append that is unknown ---------------------------------------------------------------------------


def test_a_commit_whose_record_landed_unknown_is_answered_committed() -> None:
    rig = Rig()
    rig.serve()
    rig.admit(1, put(1))
    rig.lose(landed=True)
    assert rig.outcomes(1) == []
    rig.pass_time(300)
    rig.settle()
    assert rig.outcome(1).state == "COMMITTED"
    assert rig.machine.epoch == 2


def test_a_commit_whose_record_is_lost_is_answered_aborted_after_the_new_epoch() -> None:
    rig = Rig()
    rig.serve()
    rig.admit(1, put(1))
    rig.lose(landed=False)
    assert rig.outcomes(1) == []
    rig.pass_time(300)
    rig.settle()
    assert rig.outcome(1).code == "FENCED"
    assert rig.txids() == []
    assert rig.get(1) is None


def test_a_record_that_lands_after_the_next_epoch_is_void() -> None:
    rig = Rig()
    rig.serve()
    rig.admit(1, put(1))
    (late,) = rig.appends
    rig.lose(landed=False)
    rig.pass_time(300)
    rig.land()
    rig.logs[DBTL].append(late.record)
    rig.settle()
    assert rig.outcome(1).code == "FENCED"
    assert rig.get(1) is None


def test_a_commit_that_turned_out_void_is_not_admitted_by_a_late_copy() -> None:
    rig = Rig()
    rig.serve()
    rig.admit(1, put(1))
    rig.lose(landed=False)
    rig.pass_time(300)
    rig.settle()
    rig.receive(CommitAsked(50, txn(1), encode_part(part(put(1)))))
    rig.settle()
    assert rig.txids() == []
    assert {outcome.state for outcome in rig.outcomes(1)} == {"ABORTED"}


def test_a_status_whose_refusal_was_lost_says_nothing_of_the_outcome() -> None:
    rig = Rig()
    rig.serve()
    request = rig.status(1)
    rig.lose(landed=False)
    rig.pass_time(300)
    rig.settle()
    assert rig.outcomes(1) == []
    assert rig.declined(request).code == "NO_LEADER"


def test_a_status_whose_refusal_landed_unknown_is_answered_refused() -> None:
    rig = Rig()
    rig.serve()
    rig.status(1)
    rig.lose(landed=True)
    rig.pass_time(300)
    rig.settle()
    assert rig.outcome(1).code == "REFUSED"


def test_a_read_at_the_database_is_declined_when_the_leader_steps_down() -> None:
    rig = Rig()
    rig.serve()
    request = rig.ask(GetRows(ITEM, (key(1),)))
    foreign(rig, 7)
    rig.fold(DBTL)
    assert rig.declined(request).code == "NO_LEADER"


def test_stepping_down_in_the_middle_of_looks_leaves_no_pin() -> None:
    rig = Rig()
    rig.serve()
    rig.committed(4, put(4, n=1))
    rig.ask(FindRows(ITEM, EVERYTHING))
    rig.commit(1, add(1, 1))
    rig.coordinate()
    rig.ask(FindRows(ITEM, EVERYTHING))
    rig.commit(2, add(2, 1))
    rig.vote(1, (3, part(add(3, 1))))
    rig.commit(5, put(4, n=2))
    rig.lose(landed=True)
    rig.looks.clear()
    rig.pass_time(300)
    rig.settle()
    assert rig.machine.phase == "serving"
    rig.play()
    rig.pass_time(300)
    rig.settle()
    assert rig.describe()["overlay"] == 0


def test_stepping_down_in_the_middle_of_a_merge_leaves_no_pin() -> None:
    rig = with_patches()
    rig.until_phase("merging")
    assert rig.looks
    rig.step(AppendUnknown(DBTL, 1))
    rig.pass_time(300)
    rig.settle()
    assert rig.machine.phase == "serving"
    rig.play()
    rig.pass_time(300)
    rig.settle()
    assert rig.describe()["overlay"] == 0


def test_a_commit_that_landed_is_answered_committed_however_long_the_take_over_lasts() -> None:
    rig = Rig()
    rig.serve()
    rig.admit(1, put(1))
    rig.lose(landed=True)
    rig.logs[DBTL].append(DbtmEpoch(Epoch(2), LeaderId("other"), "", Millis(rig.now + 300_000), "the-gtl"))
    rig.logs[DBTL].append(Entries(Epoch(2), Lsn(2), Millis(rig.now + 300_000), Through(Csn(0), Offset(0)), ()))
    rig.fold(DBTL)
    assert rig.outcome(1).state == "COMMITTED"


def test_a_commit_that_the_fold_forgets_at_once_is_still_answered_committed() -> None:
    rig = Rig()
    rig.serve()
    rig.admit(1, put(1))
    (append,) = rig.appends
    assert isinstance(append.record, Entries)
    rig.appends.clear()
    late = msgspec.structs.replace(append.record, time=Millis(rig.now + 300_000))
    rig.logs[DBTL].append(late)
    rig.fold(DBTL)
    assert rig.outcome(1).state == "COMMITTED"


# --- another leads ----------------------------------------------------------------------------------------


def test_a_foreign_epoch_makes_the_leader_follow() -> None:
    rig = Rig()
    rig.serve()
    foreign(rig, 2)
    rig.settle()
    assert rig.machine.phase == "following"
    assert rig.declined(rig.commit(1, put(1))).leader == "addr-other"


def test_what_was_in_flight_under_a_foreign_epoch_is_void() -> None:
    rig = Rig()
    rig.serve()
    rig.admit(1, put(1))
    foreign(rig, 2)
    rig.settle()
    assert rig.outcome(1).code == "FENCED"


def test_what_landed_before_a_foreign_epoch_is_committed() -> None:
    rig = Rig()
    rig.serve()
    rig.admit(1, put(1))
    rig.land()
    foreign(rig, 2)
    rig.settle()
    assert rig.outcome(1).state == "COMMITTED"


def test_a_foreign_fence_seen_before_the_foreign_epoch_ends_the_votes_and_answers_nothing() -> None:
    rig = Rig()
    rig.serve()
    rig.coordinate()
    rig.admit(1, put(1))
    rig.land()
    rig.logs[GTL].append(Fence(SHOP, Epoch(2)))
    rig.decree(1, (5, part(put(5))), dbtm_epoch=2)  # voted for by the new leader: unknown here
    rig.fold(GTL)
    assert rig.machine.phase == "following"
    assert rig.outcomes(1) == []
    foreign(rig, 2)
    rig.fold(DBTL)
    assert rig.outcome(1).state == "COMMITTED"


def test_a_greater_fence_makes_a_claimant_follow() -> None:
    rig = Rig()
    rig.until_phase("fencing")
    rig.logs[GTL].append(Fence(SHOP, Epoch(9)))
    rig.fold(GTL)
    assert rig.machine.phase == "following"


def test_parked_locals_are_given_back_when_the_leader_steps_down() -> None:
    rig = Rig()
    rig.serve()
    rig.coordinate()
    rig.voted(1, (2, part(put(1, n=1))))
    request = rig.admit(1, put(1, n=2))
    assert rig.describe()["parked"] == 1
    foreign(rig, 2)
    rig.fold(DBTL)
    assert rig.declined(request).code == "NO_LEADER"
    assert rig.describe()["judging"] == 0


def test_a_follower_learns_what_the_other_commits() -> None:
    rig = Rig()
    rig.serve()
    foreign(rig, 2)
    other: list[DbtlRecord] = [Entries(Epoch(2), Lsn(1), Millis(START), Through(Csn(0), Offset(0)), ())]
    rig.logs[DBTL].extend(other)
    rig.settle()
    assert rig.describe()["lsn"] == 0


def test_a_renewal_tells_how_far_a_quiet_realm_followed_the_gtl() -> None:
    rig = Rig()
    rig.serve()
    rig.coordinate()
    rig.push(through=5, last=0)
    rig.pass_time(600)
    rig.settle()
    record = rig.logs[DBTL][-1]
    assert isinstance(record, Entries)
    assert record.gtl_through.csn == 5


def test_describe_is_answered_in_any_phase() -> None:
    rig = Rig()
    rig.receive(DescribeAsked(3))
    (answer,) = rig.answers(DescribeAnswered)
    assert answer.facts["phase"] == "opening"
    assert not rig.answers(Declined)


def test_a_gtm_epoch_of_the_gtl_changes_nothing_for_a_dbtm_that_does_not_lead() -> None:
    rig = Rig()
    rig.logs[GTL].append(GtmEpoch(Epoch(1), LeaderId("g1"), "", START))
    rig.serve()
    assert rig.machine.phase == "serving"


def test_a_merge_of_more_records_than_are_remembered_knows_them_all() -> None:
    little = Limits(history_keys=1, images_records=2)
    rig = Rig(limits=little)
    rig.serve()
    rig.coordinate()
    rig.committed(1, put(1, n=1))
    rig.committed(2, put(3, n=1))
    rig.play()
    of_all = part(*(put(number, n=2) for number in (1, 2, 4)))
    rig.voted(1, (10, of_all))
    rig.decree(1, (10, of_all))
    after = Rig(logs=rig.logs, store=rig.store, name="d2", limits=little)
    after.serve()
    assert [after.get(number) for number in (1, 2, 4)] == [{"id": number, "n": 2} for number in (1, 2, 4)]
