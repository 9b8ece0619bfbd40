"""Claiming, following, and what becomes of everything in flight when an append is unknown or refused."""

from grit.core.errors import Code, LogError
from grit.core.ids import Csn, Epoch, LeaderId, Millis, Realm
from grit.core.messages import Decision, Votes
from grit.core.outcome import Outcome, State
from grit.core.records import CommitEntry, Commits, Fence, Genesis, GtlRecord, GtmEpoch, Refused
from grit.core.steps import GTL, AppendUnknown, CatchUp, DrainAsked, Halt, LogCaughtUp, Tick
from gtm.config import GtmConfig
from tests.unit.gtm.rig import START, A, B, Rig, txn

GENESIS = Genesis("old", Realm(""), 1)


def epoch(number: int, leader: str) -> GtmEpoch:
    return GtmEpoch(Epoch(number), LeaderId(leader), f"host-{leader}", START)


# --- claiming ------------------------------------------------------------------------------------------


def test_the_first_step_reads_the_log_to_its_end_and_claims_nothing_before() -> None:
    rig = Rig()
    assert rig.step(Tick()) == [CatchUp(GTL)]
    rig.step(Tick())
    assert rig.pending == []


def test_an_empty_log_gets_its_genesis_and_the_claim_waits_for_it() -> None:
    rig = Rig()
    rig.step(Tick())
    rig.caught_up()
    assert [append.record for append in rig.pending] == [Genesis("log-of-g1", Realm(""), 1)]
    rig.land()
    rig.fold()
    assert [append.record for append in rig.pending] == [epoch(1, "g1")]
    assert not rig.machine.is_serving
    rig.settle()
    assert rig.machine.is_serving


def test_of_two_that_begin_a_log_one_genesis_counts_and_both_claim() -> None:
    rig = Rig()
    rig.step(Tick())
    rig.caught_up()
    rig.log.append(GENESIS)
    rig.settle()
    assert rig.log == [GENESIS, Genesis("log-of-g1", Realm(""), 1), epoch(1, "g1")]
    assert (rig.machine.fold.log_id, rig.machine.is_serving) == ("old", True)


def test_the_newest_epoch_and_one_is_claimed() -> None:
    rig = Rig(log=[GENESIS, epoch(6, "g0")])
    rig.serve()
    assert rig.log[-1] == epoch(7, "g1")
    assert rig.machine.is_serving


def test_a_claim_that_came_second_follows() -> None:
    rig = Rig(log=[GENESIS])
    rig.step(Tick())
    rig.caught_up()
    rig.log.append(epoch(1, "g2"))
    rig.settle()
    assert not rig.machine.is_serving
    assert rig.declined(rig.submit(txn(1), A)).leader == "host-g2"
    rig.pass_time(60_000)
    assert rig.pending == []


def test_a_void_foreign_epoch_does_not_stop_a_claim() -> None:
    rig = Rig(log=[GENESIS, epoch(1, "g0")])
    rig.step(Tick())
    rig.caught_up()
    rig.log.append(epoch(1, "g2"))
    rig.settle()
    assert rig.machine.is_serving


def test_a_claim_that_the_log_refused_is_tried_again_later() -> None:
    rig = Rig(GtmConfig(claim_retry_ms=50), log=[GENESIS])
    rig.step(Tick())
    rig.caught_up()
    rig.refuse_append()
    rig.pass_time(49)
    assert rig.step(Tick()) == []
    rig.pass_time(1)
    rig.settle()
    assert rig.machine.is_serving


def test_a_claim_of_unknown_fate_is_made_again_and_either_one_counts() -> None:
    for landed in (False, True):
        rig = Rig(log=[GENESIS])
        rig.step(Tick())
        rig.caught_up()
        rig.lose(landed=landed)
        rig.settle()
        assert rig.machine.is_serving
        rig.open(A)
        assert rig.hellos(A)[-1].gtm_epoch == rig.machine.fold.epoch


def test_nothing_is_done_for_anybody_before_it_leads() -> None:
    rig = Rig()
    rig.open(A)
    assert rig.hellos(A) == []
    for request in (rig.submit(txn(1), A), rig.ask_status(txn(1)), rig.ask_key_status("k"), rig.cancel("k")):
        assert rig.declined(request).code == Code.NO_LEADER
    rig.settle()
    assert [hello.gtm_epoch for hello in rig.hellos(A)] == [1]
    assert [record for record in rig.log if isinstance(record, Refused)] == []


def test_a_log_that_is_not_of_grit_stops_the_role_with_one_line() -> None:
    rig = Rig(log=[epoch(1, "g0")])
    rig.step(Tick())
    rig.fold()
    (halt,) = [effect for effect in rig.effects if isinstance(effect, Halt)]
    assert isinstance(halt.error, LogError)
    assert "GENESIS" in str(halt.error)
    assert rig.step(LogCaughtUp(GTL)) == []


# --- replaced ------------------------------------------------------------------------------------------


def test_a_leader_that_is_replaced_answers_everybody_and_follows() -> None:
    rig = Rig()
    rig.serve(A)
    in_flight = rig.submit(txn(1), A)
    rig.vote(A)
    voting = rig.submit(txn(2), A)
    waiting = rig.submit(txn(3), A, key="k")
    for_key = rig.submit(txn(4), A, key="k")
    status = rig.ask_status(txn(5))
    rig.log.append(epoch(9, "g2"))
    rig.settle()
    for request in (in_flight, voting):
        assert rig.assert_aborted(request, Code.FENCED).age == START
    for request in (waiting, for_key, status):
        assert (rig.declined(request).code, rig.declined(request).leader) == (Code.NO_LEADER, "host-g2")
    assert rig.declined(rig.submit(txn(6), A)).leader == "host-g2"
    rig.open(A)
    assert rig.hellos(A) == []
    assert rig.machine.fold.next_csn == 1


def test_a_leader_that_was_replaced_unawares_does_not_claim_back() -> None:
    rig = Rig()
    rig.serve(A)
    rig.submit(txn(1), A)
    rig.vote(A)
    rig.log.append(epoch(9, "g2"))
    rig.lose(landed=True)
    rig.settle()
    assert not rig.machine.is_serving
    assert rig.machine.fold.epoch == 9


def test_a_failure_of_an_append_of_a_former_leadership_is_nothing() -> None:
    rig = Rig()
    rig.serve(A)
    rig.submit(txn(1), A)
    rig.vote(A)
    (append,) = rig.pending
    rig.log.append(epoch(9, "g2"))
    rig.fold()
    assert rig.step(AppendUnknown(GTL, append.token)) == []


# --- unknown appends -----------------------------------------------------------------------------------


def test_after_an_unknown_append_what_landed_is_committed_and_the_rest_is_fenced() -> None:
    for landed in (True, False):
        rig = Rig()
        rig.serve(A)
        in_flight = rig.submit(txn(1), A)
        rig.vote(A)
        evaluated = rig.submit(txn(2), A)
        rig.vote(A)
        voting = rig.submit(txn(3), A)
        rig.lose(landed=landed)
        assert [rig.outcomes(request) for request in (in_flight, evaluated, voting)] == [[], [], []]
        rig.settle()
        assert rig.machine.fold.epoch == 2
        for request in (evaluated, voting):
            assert rig.assert_aborted(request, Code.FENCED).age == START
        if landed:
            assert rig.outcome(in_flight) == Outcome(txn(1), State.COMMITTED, csn=Csn(1))
        else:
            rig.assert_aborted(in_flight, Code.FENCED)


def test_an_unknown_append_that_lands_behind_the_next_epoch_never_counts() -> None:
    rig = Rig()
    rig.serve(A)
    request = rig.submit(txn(1), A)
    rig.vote(A)
    late = rig.commits()[-1]
    rig.lose(landed=False)
    rig.settle()
    rig.assert_aborted(request, Code.FENCED)
    rig.log.append(late)
    rig.settle()
    assert rig.machine.fold.committed == {}
    assert rig.machine.is_serving
    rig.assert_aborted(request, Code.FENCED)


def test_the_second_failure_of_one_leadership_does_not_end_the_next() -> None:
    rig = Rig()
    rig.serve(A)
    rig.submit(txn(1), A)
    rig.vote(A)
    request = rig.ask_status(txn(2))
    commits, refusal = rig.pending
    rig.pending.clear()
    rig.step(AppendUnknown(GTL, commits.token))
    rig.settle()
    rig.step(AppendUnknown(GTL, refusal.token))
    rig.settle()
    assert (rig.machine.is_serving, rig.machine.fold.epoch) == (True, 2)
    rig.assert_aborted(request, Code.REFUSED)


def test_nothing_is_taken_between_the_unknown_append_and_the_next_epoch() -> None:
    rig = Rig()
    rig.serve(A)
    rig.submit(txn(1), A)
    rig.vote(A)
    rig.lose(landed=True)
    assert rig.declined(rig.submit(txn(2), A)).code == Code.NO_LEADER


def test_the_next_epoch_begins_without_votes_and_greets_the_realms() -> None:
    rig = Rig()
    rig.serve(A)
    rig.submit(txn(1), A)
    rig.vote(A)
    rig.submit(txn(2), A)
    old_votes = rig.votes(A)
    rig.lose(landed=True)
    rig.settle()
    assert [hello.gtm_epoch for hello in rig.hellos(A)] == [1, 2]
    rig.hear(A, old_votes)
    rig.hello(A)
    request = rig.submit(txn(3), A)
    rig.hear(A, Votes(Epoch(1), Epoch(1), rig.asked(A)[-1].round, old_votes.votes))
    assert rig.outcomes(request) == []
    rig.vote(A)
    rig.settle()
    assert rig.outcome(request) == Outcome(txn(3), State.COMMITTED, csn=Csn(2))
    assert rig.commits()[-1].entries[0].parts[0].gtm_epoch == 2
    assert rig.commits()[-1].entries[0].parts[0].prev_csn == 1


def test_what_had_not_been_voted_on_goes_on_in_the_next_epoch() -> None:
    rig = Rig()
    rig.serve(A)
    rig.submit(txn(1), A)
    rig.vote(A)
    rig.submit(txn(2), A)
    waiting = rig.submit(txn(3), A)
    rig.lose(landed=False)
    rig.settle()
    assert len(rig.asked(A)) == 2
    rig.hello(A)
    assert [part[0] for part in rig.asked(A)[-1].parts] == [txn(3)]
    rig.vote(A)
    rig.settle()
    assert rig.outcome(waiting) == Outcome(txn(3), State.COMMITTED, csn=Csn(1))


def test_a_refusal_of_unknown_fate_is_written_again() -> None:
    for landed in (False, True):
        rig = Rig()
        rig.serve(A)
        request = rig.ask_status(txn(1))
        rig.lose(landed=landed)
        rig.settle()
        rig.assert_aborted(request, Code.REFUSED)
        assert rig.machine.fold.refused == {txn(1)}
        assert len(rig.refusals()) == (1 if landed else 2)


def test_a_record_of_its_own_epoch_that_is_void_makes_it_claim_again() -> None:
    rig = Rig()
    rig.serve(A)
    request = rig.submit(txn(1), A)
    rig.vote(A)
    # Two producers write under one leader_id, a broken promise: the numbers are taken when the own record comes.
    (mine,) = rig.commits()
    rig.log.append(Commits(mine.epoch, mine.first_csn, mine.time, (CommitEntry(txn(9), mine.entries[0].parts),)))
    rig.fold()
    rig.settle()
    assert rig.machine.fold.epoch == 2
    rig.assert_aborted(request, Code.FENCED)


# --- refused appends -----------------------------------------------------------------------------------


def test_a_refused_append_aborts_its_transactions_and_uses_no_number() -> None:
    rig = Rig()
    rig.serve(A, B)
    refused = rig.submit(txn(1), A, B)
    rig.vote(A, B)
    next_one = rig.submit(txn(2), A)
    rig.vote(A)
    rig.refuse_append("disk full")
    outcome = rig.assert_aborted(refused, Code.REALM_DOWN)
    assert "disk full" in outcome.message
    assert (outcome.age, outcome.retry_after_ms) == (START, 100)
    assert rig.decisions(A) == rig.decisions(B) == [Decision(txn(1), False)]
    rig.settle()
    assert rig.outcome(next_one) == Outcome(txn(2), State.COMMITTED, csn=Csn(1))
    assert rig.machine.fold.epoch == 1


# --- draining ---------------------------------------------------------------------------------------------


def test_a_gtm_that_drains_takes_nothing_new_and_resigns_when_all_are_answered() -> None:
    rig = Rig()
    rig.serve(A)
    request = rig.submit(txn(1), A)
    rig.machine.step(rig.now, DrainAsked())
    assert not rig.machine.is_drained
    assert rig.declined(rig.submit(txn(2), A)).code == Code.SHUTTING_DOWN
    rig.vote(A)
    rig.settle()
    assert rig.outcome(request).state == State.COMMITTED
    assert rig.machine.fold.resigned
    assert rig.machine.is_drained


# --- restart -------------------------------------------------------------------------------------------


def test_a_restarted_gtm_knows_outcomes_keys_fences_and_numbers_from_the_log() -> None:
    log: list[GtlRecord] = []
    before = Rig(log=log)
    before.serve(A)
    before.submit(txn(1), A, key="k", result=b"r")
    before.vote(A)
    before.settle()
    before.cancel("c")
    before.ask_status(txn(2))
    before.settle()

    rig = Rig(log=log, name="g2")
    rig.serve(A)
    assert rig.machine.fold.fences == {A: 1}
    assert rig.outcome(rig.ask_status(txn(1))) == Outcome(txn(1), State.COMMITTED, csn=Csn(1))
    assert rig.outcome(rig.submit(txn(3), A, key="k")).result == b"r"
    rig.assert_aborted(rig.submit(txn(4), A, key="c"), Code.REFUSED)
    rig.assert_aborted(rig.submit(txn(2), A), Code.REFUSED)
    rig.submit(txn(5), A)
    rig.vote(A)
    rig.settle()
    (record,) = rig.commits()
    assert (record.epoch, record.first_csn, record.entries[0].parts[0].prev_csn) == (2, 2, 1)


def test_a_wall_clock_that_jumps_back_does_not_stop_deadlines() -> None:
    rig = Rig()
    rig.serve(A)
    request = rig.submit(txn(1), A)
    rig.now = Millis(START - 1_000_000)
    rig.step(Tick())
    rig.pass_time(1_000)
    rig.assert_aborted(request, Code.REALM_DOWN)


def test_a_fence_folded_between_vote_and_entry_voids_it() -> None:
    rig = Rig()
    rig.serve(A)
    request = rig.submit(txn(1), A)
    rig.vote(A)
    rig.log.append(Fence(A, Epoch(2)))
    rig.settle()
    rig.assert_aborted(request, Code.FENCED)
    assert [(d.committed, d.csn) for d in rig.decisions(A)] == [(False, 1)]
    assert rig.machine.fold.next_csn == 2


def test_a_leader_does_not_renew_behind_a_record_that_is_on_its_way() -> None:
    """On a slow log the renewal would carry the number of that record: void, and a hole for whoever checks."""
    rig = Rig(has_elector=True)
    rig.serve(A)
    rig.settle()
    rig.submit(txn(1), A)
    rig.vote(A)
    rig.pass_time(3 * rig.config.quiet_push_ms)
    (append,) = rig.pending
    assert isinstance(append.record, Commits)
    assert len(append.record.entries) == 1
    rig.settle()
    rig.pass_time(rig.config.quiet_push_ms)
    (renewal,) = rig.pending
    assert renewal.record == Commits(Epoch(1), Csn(2), rig.now, ())
