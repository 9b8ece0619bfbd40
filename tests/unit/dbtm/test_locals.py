"""Local commits: judged, parked, in flight, answered once from the fold."""

from grit.core.fold import LIFE_MS
from grit.core.ids import TxnId
from grit.core.limits import Limits
from grit.core.messages import CommitAsked, OutcomeAnswered, StatusAsked
from grit.core.parts import KeyRead, PredicateRead, encode_part
from grit.core.predicate import Where
from tests.unit.dbtm.rig import HOME, ITEM, START, Rig, add, both, insert, key, part, patch, put, txn


def parked_behind(rig: Rig) -> None:
    """A global is pending on item 1, and a local is parked behind it."""
    rig.coordinate()
    rig.voted(1, (50, part(put(1, n=5))))
    rig.admit(1, put(1, n=6))
    assert rig.describe()["parked"] == 1


# --- in flight --------------------------------------------------------------------------------------------


def test_a_commit_is_answered_only_when_its_record_is_folded(rig: Rig) -> None:
    rig.admit(1, put(1))
    rig.land()
    assert rig.outcomes(1) == []
    rig.settle()
    assert (rig.outcome(1).state, rig.outcome(1).lsn) == ("COMMITTED", 1)


def test_what_gathers_while_a_record_is_under_way_goes_into_one_record(rig: Rig) -> None:
    rig.committed(9, put(1))
    rig.commit(1, patch(1, a=1))
    rig.commit(2, patch(1, a=2))
    rig.commit(3, patch(1, a=3))
    assert len(rig.appends) == 1
    rig.land()
    rig.settle()
    assert [len(record.entries) for record in rig.logs["dbtl"][-2:]] == [1, 2]
    assert rig.get(1) == {"id": 1, "a": 3}


def test_a_stale_read_is_refused_with_the_winner_in_flight_too(rig: Rig) -> None:
    rig.committed(9, put(1))
    rig.commit(1, patch(1, a=1))
    rig.admit(2, put(2), reads=[KeyRead(ITEM, key(1))], position=1)
    outcome = rig.outcome(2)
    assert outcome.code == "READ_CONFLICT"
    assert outcome.conflict is not None
    assert (outcome.conflict.winner, outcome.conflict.lsn, outcome.conflict.position) == (txn(1), 2, 1)
    rig.settle()


def test_a_read_of_other_fields_is_not_stale(rig: Rig) -> None:
    rig.committed(9, put(1, a=1, b=1))
    rig.committed(8, patch(1, a=2))
    rig.commit(1, put(2), reads=[KeyRead(ITEM, key(1), ("b",))], position=1)
    rig.settle()
    assert rig.outcome(1).state == "COMMITTED"


def test_a_position_below_the_low_watermark_is_too_old() -> None:
    rig = Rig(limits=Limits(history_keys=1_000))
    rig.serve()
    rig.committed(1, *(put(n) for n in range(600)))
    rig.committed(2, *(put(n) for n in range(600, 1_200)))
    rig.commit(3, put(1), reads=[KeyRead(ITEM, key(5_000))], position=0)
    assert rig.outcome(3).code == "TOO_OLD"
    rig.commit(4, put(1), reads=[KeyRead(ITEM, key(5_000))], position=1)
    rig.settle()
    assert rig.outcome(4).state == "COMMITTED"


# --- parked -----------------------------------------------------------------------------------------------


def test_a_local_parks_behind_a_pending_global_and_goes_on_when_that_is_decided(rig: Rig) -> None:
    parked_behind(rig)
    rig.push((50, True, 1, 0))
    rig.settle()
    assert rig.outcome(1).state == "COMMITTED"
    assert rig.txids() == [txn(50), txn(1)]
    assert rig.get(1) == {"id": 1, "n": 6}


def test_a_local_whose_reads_a_pending_global_overwrites_fails_once_that_committed(rig: Rig) -> None:
    rig.coordinate()
    rig.voted(1, (50, part(put(1, n=5))))
    rig.commit(1, put(2), reads=[KeyRead(ITEM, key(1))])
    rig.answer()
    assert rig.outcomes(1) == []
    rig.push((50, True, 1, 0))
    rig.settle()
    assert rig.outcome(1).code == "READ_CONFLICT"


def test_a_local_parks_behind_a_pending_reader_of_what_it_writes(rig: Rig) -> None:
    rig.coordinate()
    rig.voted(1, (50, part(reads=[PredicateRead(ITEM, Where(both(a=1)))])))
    rig.admit(1, put(1, a=2))
    assert rig.outcomes(1) == []
    rig.admit(2, put(2, a=1))
    assert rig.describe()["parked"] == 1
    rig.settle()


def test_increments_do_not_park_behind_increments_that_cannot_break_the_bound(rig: Rig) -> None:
    rig.committed(9, put(1, n=50))
    rig.coordinate()
    rig.voted(1, (50, part(add(1, -5))))
    rig.commit(1, add(1, -5))
    rig.settle()
    assert rig.outcome(1).state == "COMMITTED"


def test_an_increment_parks_where_a_pending_one_may_break_the_bound(rig: Rig) -> None:
    rig.committed(9, put(1, n=5))
    rig.coordinate()
    rig.voted(1, (50, part(add(1, -3))))
    rig.commit(1, add(1, -3))
    assert rig.describe()["parked"] == 1
    rig.push((50, False, 0, 0))
    rig.settle()
    assert rig.outcome(1).state == "COMMITTED"


def test_a_local_parked_to_the_limit_of_time_is_contention_with_an_age(rig: Rig) -> None:
    parked_behind(rig)
    began = rig.now
    rig.pass_time(499)
    assert rig.outcomes(1) == []
    rig.pass_time(1)
    assert (rig.outcome(1).code, rig.outcome(1).age) == ("CONTENTION", began)
    assert rig.describe()["parked"] == 0


def test_a_local_beyond_the_number_that_may_park_is_contention() -> None:
    rig = Rig(limits=Limits(parked_per_key=1))
    rig.serve()
    parked_behind(rig)
    rig.commit(2, put(1, n=7))
    rig.answer()
    assert rig.outcome(2).code == "CONTENTION"


# --- copies, and questions for the outcome ----------------------------------------------------------------


def test_a_second_copy_of_a_commit_commits_once_and_both_are_answered(rig: Rig) -> None:
    rig.commit(1, put(1))
    rig.commit(1, put(1))
    rig.settle()
    rig.commit(1, put(1))
    rig.settle()
    assert rig.txids() == [txn(1)]
    assert [outcome.state for outcome in rig.outcomes(1)] == ["COMMITTED"] * 3


def test_a_second_copy_of_a_refused_commit_is_refused_though_it_would_pass_now(rig: Rig) -> None:
    rig.commit(1, patch(1, a=1))
    rig.settle()
    rig.committed(2, put(1))
    rig.commit(1, patch(1, a=1))
    rig.settle()
    assert [outcome.code for outcome in rig.outcomes(1)] == ["NOT_FOUND", "NOT_FOUND"]


def test_the_status_of_an_unknown_transaction_refuses_it_for_ever(rig: Rig) -> None:
    rig.status(1)
    assert rig.outcomes(1) == []
    rig.settle()
    assert rig.outcome(1).code == "REFUSED"
    rig.commit(1, put(1))
    rig.settle()
    assert rig.txids() == []
    after = Rig(logs=rig.logs, store=rig.store, name="d2")
    after.serve()
    after.commit(1, put(1))
    after.settle()
    assert after.outcome(1).code == "REFUSED"


def test_a_commit_that_comes_while_its_refusal_is_under_way_is_refused(rig: Rig) -> None:
    rig.status(1)
    rig.commit(1, put(1))
    rig.settle()
    assert rig.txids() == []
    assert [outcome.code for outcome in rig.outcomes(1)] == ["REFUSED", "REFUSED"]


def test_a_second_status_appends_no_second_refusal(rig: Rig) -> None:
    rig.status(1)
    rig.status(1)
    assert len(rig.appends) == 1
    rig.settle()
    assert len(rig.outcomes(1)) == 2


def test_the_status_of_what_is_in_flight_or_parked_waits_for_its_outcome(rig: Rig) -> None:
    parked_behind(rig)
    rig.status(1)
    rig.commit(2, put(2))
    rig.answer()
    rig.status(2)
    assert rig.outcomes(1) + rig.outcomes(2) == []
    rig.push((50, False, 0, 0))
    rig.settle()
    for number in (1, 2):
        assert [outcome.state for outcome in rig.outcomes(number)] == ["COMMITTED", "COMMITTED"]


def test_the_status_of_a_pending_global_is_running_and_refuses_nothing(rig: Rig) -> None:
    rig.coordinate()
    rig.voted(1, (50, part(put(1))))
    rig.status(50)
    assert rig.outcome(50).state == "RUNNING"
    assert rig.appends == []


def test_the_status_of_a_global_that_is_decided_and_in_flight_is_running_and_refuses_nothing(rig: Rig) -> None:
    rig.coordinate()
    rig.voted(1, (50, part(put(1))))
    rig.admit(1, put(2))  # its record is under way: the global waits for the next
    rig.push((50, True, 1, 0))
    rig.status(50)
    assert rig.outcome(50).state == "RUNNING"
    rig.settle()
    rig.status(50)
    assert [outcome.state for outcome in rig.outcomes(50)] == ["RUNNING", "COMMITTED"]


def test_the_status_of_what_the_log_has_forgotten_is_unknown(rig: Rig) -> None:
    rig.committed(1, put(1))
    old = txn(7, began=rig.now - 120_001)
    rig.receive(StatusAsked(70, old))
    (answer,) = [m for m in rig.answers(OutcomeAnswered) if m.id == 70]
    assert (answer.outcome.state, answer.outcome.code) == ("UNKNOWN", "EXPIRED")
    assert rig.appends == []


def test_the_status_of_what_is_no_transaction_id_is_a_bad_request(rig: Rig) -> None:
    rig.receive(StatusAsked(70, TxnId("nonsense")))
    assert rig.declined(70).code == "BAD_REQUEST"


def test_a_commit_that_cannot_be_understood_is_a_bad_request(rig: Rig) -> None:
    rig.receive(CommitAsked(70, txn(1), b"\xff"))
    assert rig.outcome(1).code == "BAD_REQUEST"


def test_a_commit_that_began_too_long_ago_or_after_now_is_refused(rig: Rig) -> None:
    codes = []
    for number, began in ((70, rig.now - 60_001), (71, rig.now + 60_001)):
        rig.receive(CommitAsked(number, txn(number, began=began), encode_part(part(put(1)))))
        codes += [m.outcome.code for m in rig.answers(OutcomeAnswered, HOME) if m.id == number]
    assert codes == ["TIMED_OUT", "CLOCK_SKEW"]


# --- answers about the data -------------------------------------------------------------------------------


def test_a_data_error_is_answered_when_what_it_rests_on_is_durable(rig: Rig) -> None:
    rig.admit(1, put(1))
    rig.commit(2, insert(1))
    rig.status(2)
    rig.commit(2, insert(1))
    assert rig.outcomes(2) == []
    rig.settle()
    assert [outcome.code for outcome in rig.outcomes(2)] == ["ALREADY_EXISTS"] * 3


def test_a_data_error_that_rested_on_what_turned_out_void_is_never_answered(rig: Rig) -> None:
    rig.admit(1, put(1))
    rig.commit(2, insert(1))
    rig.lose(landed=False)
    rig.pass_time(300)
    rig.settle()
    assert [outcome.code for outcome in rig.outcomes(2)] == ["FENCED"]


# --- the database -----------------------------------------------------------------------------------------


def test_a_database_that_is_away_declines_without_effect(rig: Rig) -> None:
    request = rig.commit(1, patch(1, a=1))
    rig.fail_looks()
    assert rig.declined(request).code == "OVERLOADED"
    rig.committed(2, put(1))
    rig.committed(1, patch(1, a=1))


def test_an_image_from_the_database_is_brought_up_to_date_before_it_is_used(rig: Rig) -> None:
    rig.committed(1, put(1, a=1, b=1))
    rig.play()
    after = Rig(logs=rig.logs, store=rig.store, name="d2", limits=Limits(history_keys=1_000))
    after.serve()
    after.commit(3, patch(1, a=2))
    after.committed(4, patch(1, b=2))
    after.settle()
    assert after.get(1) == {"id": 1, "a": 2, "b": 2}


def test_what_was_refused_because_of_its_clock_is_refused_when_its_time_has_come() -> None:
    rig = Rig()
    rig.serve()
    early = txn(1, began=START + 2 * LIFE_MS)
    for _ in range(2):
        rig.receive(CommitAsked(50, early, encode_part(part(put(1)))))
        rig.settle()
        rig.pass_time(2 * LIFE_MS)
    codes = [answer.outcome.code for answer in rig.answers(OutcomeAnswered)]
    assert codes == ["CLOCK_SKEW", "CLOCK_SKEW"]
    assert rig.txids() == []
