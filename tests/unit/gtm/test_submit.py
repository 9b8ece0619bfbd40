"""What the GTM answers to SUBMIT: times, ages, second copies, idempotency keys, limits."""

from grit.core.errors import Code
from grit.core.fold import LIFE_MS
from grit.core.ids import Csn, Epoch, LinkId, Millis, Realm, TxnId
from grit.core.messages import Decision, OutcomeAnswered, Vote
from grit.core.outcome import Outcome, State
from grit.core.records import Fence, Refused
from gtm.config import GtmConfig
from tests.unit.gtm.rig import SIDECAR, START, A, B, Rig, txn


def commit(rig: Rig, txid: TxnId, *, key: str = "", result: bytes = b"") -> int:
    request = rig.submit(txid, A, key=key, result=result)
    rig.vote(A)
    rig.settle()
    return request


def test_a_transaction_that_began_too_long_ago_is_timed_out_and_keeps_its_age() -> None:
    rig = Rig()
    rig.serve(A)
    late = rig.submit(txn(1, began=START - LIFE_MS - 1), A, age=77)
    in_time = rig.submit(txn(2, began=START - LIFE_MS), A)
    assert rig.assert_aborted(late, Code.TIMED_OUT).age == 77
    assert rig.outcomes(in_time) == []


def test_the_clock_of_a_leader_is_never_behind_the_time_in_the_log() -> None:
    rig = Rig()
    rig.serve(A)
    rig.now = Millis(START - 10 * LIFE_MS)  # set back after the log has seen START
    assert rig.machine.fold.now == START
    rig.assert_aborted(rig.submit(txn(1, began=START - LIFE_MS - 1), A), Code.TIMED_OUT)
    rig.submit(txn(2), A)
    rig.vote(A)
    assert rig.commits()[-1].time == START


def test_a_transaction_from_the_future_is_told_the_time_of_the_gtm() -> None:
    rig = Rig()
    rig.serve(A)
    outcome = rig.assert_aborted(rig.submit(txn(1, began=START + LIFE_MS + 1), A), Code.CLOCK_SKEW)
    assert str(START) in outcome.message


def test_a_transaction_may_be_ahead_of_the_gtm_by_its_longest_life() -> None:
    rig = Rig()
    rig.serve(A)
    assert rig.outcomes(rig.submit(txn(1, began=START + LIFE_MS), A)) == []


def test_an_entry_that_was_written_too_late_is_voided_and_timed_out() -> None:
    rig = Rig()
    rig.serve(A)
    rig.submit(txn(1), A)
    rig.vote(A)
    request = rig.submit(txn(2), A)
    rig.vote(A)
    rig.now = Millis(START + 2 * LIFE_MS + 1)  # the log took its time over the record before
    rig.settle()
    rig.assert_aborted(request, Code.TIMED_OUT)
    assert [(d.committed, d.csn) for d in rig.decisions(A)] == [(True, 1), (False, 2)]


def test_an_age_is_given_at_first_sight_and_kept_when_it_is_sent_back() -> None:
    rig = Rig()
    rig.serve(A)
    rig.now = Millis(rig.now + 5)
    first = rig.submit(txn(1), A)
    rig.hear(A, rig.votes(A, v0=Vote(txn(1), Code.PHANTOM.value, "x")))
    age = rig.assert_aborted(first, Code.PHANTOM).age
    assert age == START + 5
    rig.now = Millis(rig.now + 5)
    retry = rig.submit(txn(2), A, age=age)
    rig.hear(A, rig.votes(A, v0=Vote(txn(2), Code.PHANTOM.value, "x")))
    assert rig.assert_aborted(retry, Code.PHANTOM).age == age


def test_an_age_from_the_future_counts_as_now() -> None:
    rig = Rig()
    rig.serve(A)
    request = rig.submit(txn(1), A, age=START + 1_000)
    rig.hear(A, rig.votes(A, v0=Vote(txn(1), Code.PHANTOM.value, "x")))
    assert rig.assert_aborted(request, Code.PHANTOM).age == START


def test_a_transaction_submitted_twice_is_decided_once_and_both_are_answered() -> None:
    rig = Rig()
    rig.serve(A)
    other = LinkId(2)
    first = rig.submit(txn(1), A)
    second = rig.submit(txn(1), A, link=other)
    rig.vote(A)
    rig.settle()
    assert rig.outcomes(first) == rig.outcomes(second, other) == [Outcome(txn(1), State.COMMITTED, csn=Csn(1))]
    third = rig.submit(txn(1), A)
    assert rig.outcome(third).csn == 1
    assert [entry.txid for commits in rig.commits() for entry in commits.entries] == [txn(1)]


def test_a_second_copy_that_drains_after_the_abort_is_not_decided_again() -> None:
    rig = Rig()
    rig.serve(A)
    first = rig.submit(txn(1), A)
    rig.hear(A, rig.votes(A, v0=Vote(txn(1), Code.PHANTOM.value, "x")))
    assert rig.outcome(rig.submit(txn(1), A)) == rig.assert_aborted(first, Code.PHANTOM)
    assert len(rig.asked(A)) == 1


def test_a_second_copy_of_what_was_refused_at_once_is_not_admitted_when_the_reason_has_passed() -> None:
    rig = Rig()
    rig.serve(A)
    first = rig.submit(txn(1), A, B)
    rig.log.append(Fence(B, Epoch(1)))
    rig.settle()
    rig.open(B)
    rig.hello(B)
    assert rig.outcome(rig.submit(txn(1), A, B)) == rig.assert_aborted(first, Code.REALM_DOWN)


def test_a_refused_transaction_is_not_admitted() -> None:
    rig = Rig()
    rig.serve(A)
    rig.log.append(Refused(rig.machine.fold.epoch, (txn(1),)))
    rig.settle()
    assert rig.assert_aborted(rig.submit(txn(1), A), Code.REFUSED).age == START
    assert rig.asked(A) == []


def test_an_expired_transaction_is_unknown() -> None:
    rig = Rig()
    rig.serve(A)
    outcome = rig.outcome(rig.submit(txn(1, began=START - 2 * LIFE_MS - 1), A))
    assert (outcome.state, outcome.code) == (State.UNKNOWN, Code.EXPIRED)


def test_malformed_requests_are_declined_and_harm_nobody() -> None:
    rig = Rig()
    rig.serve(A)
    requests = [
        rig.submit(TxnId("t-1"), A),
        rig.submit(txn(1)),
        rig.submit(txn(1), A, A),
        rig.submit(txn(1), A, key="k", result=bytes(4097)),
        rig.ask_status(TxnId("x")),
        rig.cancel(""),
    ]
    assert [rig.declined(request).code for request in requests] == [Code.BAD_REQUEST] * 6
    assert rig.outcome(commit(rig, txn(1))).csn == 1


# --- idempotency keys ----------------------------------------------------------------------------------


def test_a_committed_key_gives_its_holders_outcome_and_applies_nothing() -> None:
    rig = Rig()
    rig.serve(A)
    commit(rig, txn(1), key="k", result=b"receipt")
    again = rig.submit(txn(2), A, key="k", result=b"other")
    assert rig.outcome(again) == Outcome(txn(1), State.COMMITTED, csn=Csn(1), result=b"receipt")
    assert len(rig.commits()) == 1


def test_of_equal_keys_one_is_in_progress_and_the_others_get_its_outcome() -> None:
    rig = Rig()
    rig.serve(A)
    first = rig.submit(txn(1), A, key="k", result=b"r")
    second = rig.submit(txn(2), A, key="k")
    third = rig.submit(txn(3), A, key="k")
    rig.vote(A)
    rig.settle()
    assert rig.outcome(first) == rig.outcome(second) == rig.outcome(third)
    assert rig.outcome(third) == Outcome(txn(1), State.COMMITTED, csn=Csn(1), result=b"r")


def test_who_waits_for_a_key_tries_itself_when_the_one_before_it_aborts() -> None:
    rig = Rig()
    rig.serve(A)
    rig.submit(txn(1), A, key="k")
    second = rig.submit(txn(2), A, key="k", result=b"2")
    rig.hear(A, rig.votes(A, v0=Vote(txn(1), Code.PHANTOM.value, "x")))
    rig.vote(A)
    rig.settle()
    assert rig.outcome(second) == Outcome(txn(2), State.COMMITTED, csn=Csn(1), result=b"2")


def test_a_cancelled_key_is_refused() -> None:
    rig = Rig()
    rig.serve(A)
    rig.cancel("k")
    rig.settle()
    rig.assert_aborted(rig.submit(txn(1), A, key="k"), Code.REFUSED)


def test_a_key_that_is_cancelled_while_its_transaction_votes_voids_its_entry() -> None:
    rig = Rig()
    rig.serve(A)
    request = rig.submit(txn(1), A, key="k")
    cancelled = rig.cancel("k")
    rig.vote(A)
    rig.settle()
    rig.assert_aborted(request, Code.REFUSED)
    rig.assert_aborted(cancelled, Code.REFUSED)
    assert rig.decisions(A) == [Decision(txn(1), False, Csn(1))]


def test_new_keys_are_declined_when_there_are_too_many_and_old_ones_are_kept() -> None:
    rig = Rig(GtmConfig(keys_max=2))
    rig.serve(A)
    commit(rig, txn(1), key="k1")
    rig.cancel("k2")
    rig.settle()
    assert rig.declined(rig.submit(txn(3), A, key="k3")).code == Code.OVERLOADED
    assert rig.declined(rig.cancel("k4")).code == Code.OVERLOADED
    assert rig.outcome(rig.submit(txn(4), A, key="k1")).txid == txn(1)
    assert rig.outcome(commit(rig, txn(5))).state == State.COMMITTED


def test_keys_that_are_being_cancelled_count() -> None:
    rig = Rig(GtmConfig(keys_max=2))
    rig.serve(A)
    rig.cancel("k1")
    rig.cancel("k2")
    assert rig.declined(rig.submit(txn(1), A, key="k3")).code == Code.OVERLOADED


# --- limits --------------------------------------------------------------------------------------------


def test_waiting_transactions_are_limited_and_the_caller_is_told_when_to_come_again() -> None:
    rig = Rig(GtmConfig(waiting_max=2, retry_after_ms=30))
    rig.serve(A)
    for number in range(1, 4):  # one votes, two wait
        rig.submit(txn(number), A)
    declined = rig.declined(rig.submit(txn(4), A))
    assert (declined.code, declined.retry_after_ms) == (Code.OVERLOADED, 30)


def test_who_waits_for_a_key_counts_as_waiting() -> None:
    rig = Rig(GtmConfig(waiting_max=1))
    rig.serve(A)
    rig.submit(txn(1), A, key="k")
    rig.submit(txn(2), A, key="k")
    assert rig.declined(rig.submit(txn(3), A)).code == Code.OVERLOADED


def test_who_waited_for_a_key_counts_no_more() -> None:
    rig = Rig(GtmConfig(waiting_max=1))
    rig.serve(A)
    rig.submit(txn(1), A, key="k")
    rig.submit(txn(2), A, key="k")
    rig.vote(A)
    rig.settle()
    assert rig.machine.describe()["waiting"] == 0


def test_callers_of_one_transaction_are_limited() -> None:
    rig = Rig(GtmConfig(askers_max=2))
    rig.serve(A)
    rig.submit(txn(1), A)
    rig.ask_status(txn(1))
    assert rig.declined(rig.ask_status(txn(1))).code == Code.OVERLOADED


def test_callers_of_one_refusal_are_limited() -> None:
    rig = Rig(GtmConfig(askers_max=1))
    rig.serve(A)
    rig.ask_status(txn(1))
    rig.cancel("k")
    for request in (rig.submit(txn(1), A), rig.ask_status(txn(1)), rig.cancel("k")):
        assert rig.declined(request).code == Code.OVERLOADED


def test_a_record_takes_no_more_bytes_than_its_limit_but_one_entry() -> None:
    rig = Rig(GtmConfig(record_bytes_max=1))
    rig.serve(A)
    for number in range(1, 4):
        rig.submit(txn(number), A)
    rig.vote(A)
    rig.vote(A)
    rig.settle()
    assert [len(commits.entries) for commits in rig.commits()] == [1, 1, 1]


def test_a_round_takes_no_more_than_its_limits() -> None:
    rig = Rig(GtmConfig(round_max=2))
    rig.serve(A)
    for number in range(1, 5):
        rig.submit(txn(number), A)
    rig.vote(A)
    rig.vote(A)
    rig.vote(A)
    assert [len(asked.parts) for asked in rig.asked(A)] == [1, 2, 1]


def test_a_round_takes_one_transaction_however_big_it_is() -> None:
    rig = Rig(GtmConfig(round_bytes_max=1))
    rig.serve(A)
    for number in range(1, 4):
        rig.submit(txn(number), A)
    rig.vote(A)
    rig.vote(A)
    assert [len(asked.parts) for asked in rig.asked(A)] == [1, 1, 1]


def test_a_record_takes_no_more_than_its_limits() -> None:
    rig = Rig(GtmConfig(record_entries_max=2))
    rig.serve(A)
    rig.submit(txn(1), A)
    for number in range(2, 5):
        rig.submit(txn(number), A)
    rig.vote(A)
    rig.vote(A)
    rig.settle()
    assert [(commits.first_csn, len(commits.entries)) for commits in rig.commits()] == [(1, 1), (2, 2), (4, 1)]
    assert rig.machine.fold.next_csn == 5


def test_no_round_votes_while_four_evaluated_ones_are_on_their_way_into_the_log() -> None:
    rig = Rig(GtmConfig(rounds_evaluated_max=4))
    rig.serve(A)
    for number in range(1, 6):
        rig.submit(txn(number), A)
        if number < 5:
            rig.vote(A)
    assert len(rig.asked(A)) == 4
    rig.settle()
    assert len(rig.asked(A)) == 5


def test_forgotten_aborts_are_the_oldest_ones() -> None:
    rig = Rig(GtmConfig(aborted_max=1))
    rig.serve(A)
    for number in (1, 2):
        rig.submit(txn(number), A)
        rig.hear(A, rig.votes(A, v0=Vote(txn(number), Code.PHANTOM.value, "x")))
    request = rig.submit(txn(3), A)
    rig.hear(A, rig.votes(A, v0=Vote(txn(3), conditions=(txn(2),))))
    rig.settle()
    assert rig.outcome(request).state == State.COMMITTED
    request = rig.submit(txn(4), A)
    rig.hear(A, rig.votes(A, v0=Vote(txn(4), conditions=(txn(1),))))
    rig.assert_aborted(request, Code.CONTENTION)


def test_answers_carry_the_time_of_the_log() -> None:
    rig = Rig()
    rig.serve(A, B)
    commit(rig, txn(1))
    assert rig.sent(OutcomeAnswered, SIDECAR)[-1].now == rig.machine.fold.now
    assert rig.decided(A)[-1].now == rig.machine.fold.now


def test_a_realm_that_is_not_linked_is_down_at_once() -> None:
    rig = Rig()
    rig.serve(A)
    assert "nowhere" in rig.assert_aborted(rig.submit(txn(1), A, Realm("nowhere")), Code.REALM_DOWN).message
    assert rig.asked(A) == []
