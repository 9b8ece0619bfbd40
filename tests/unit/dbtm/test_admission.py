"""Memory is bounded: every table of a DBTM is filled to its limit here, and what comes then is refused (I12)."""

from typing import Any

from dbtm.brake import HOLD_MS_MAX
from dbtm.reading import BEHIND_MS
from grit.core.ids import Epoch, LeaderId, LinkId, Lsn
from grit.core.limits import Limits
from grit.core.messages import Declined, OutcomeAnswered, ReadAsked, StatusAsked, Votes
from grit.core.parts import KeyRead
from grit.core.predicate import EVERYTHING
from grit.core.queries import FindRows, GetRows
from grit.core.records import DbtmEpoch, Refused
from grit.core.steps import DBTL, GTL, CatchUp
from tests.unit.dbtm.rig import HOME, ITEM, Rig, key, part, patch, put, txn


def serving(**limits: Any) -> Rig:
    """Return a leader with these limits, and a GTM."""
    rig = Rig(limits=Limits(**limits))
    rig.serve()
    rig.coordinate()
    return rig


def gather(rig: Rig) -> None:
    """Commit two large records: the first is handed to the log at once, and the other waits for it."""
    for number in (1, 2):
        rig.commit(number, put(number, sku=f"{number}" * 1000))
        rig.answer()  # the record, and then
        rig.answer()  # who has its sku
    assert (len(rig.appends), rig.describe()["in_flight"]) == (1, 2)


def fall_behind(rig: Rig, count: int) -> None:
    """Commit so many while the player is away: the later ones wait for the brake."""
    for number in range(1, count + 1):
        rig.commit(number, put(1, n=1))
        rig.pass_time(HOLD_MS_MAX)
        rig.settle()
    assert rig.describe()["lag"] == count


def codes(rig: Rig) -> list[str]:
    """Return the codes of all that was declined."""
    return [declined.code for declined in rig.answers(Declined)]


# --- what is committed, and not done yet ------------------------------------------------------------------


def test_a_database_that_is_too_far_behind_makes_its_realm_refuse_commits_until_it_has_caught_up() -> None:
    rig = serving(lag_entries=100)
    fall_behind(rig, 101)
    late = rig.declined(rig.commit(200, put(1)))
    assert (late.code, late.retry_after_ms > 0) == ("LAGGING", True)
    assert "its database is 101 transactions behind, the limit is 100" in late.message
    vote = rig.vote_of(201, part(put(2)))
    assert (vote.code, "LAGGING" in vote.message) == ("REALM_DOWN", True)
    rig.play()
    rig.pass_time(300)
    rig.settle()
    rig.committed(200, put(1))
    assert rig.vote_of(202, part(put(2))).code == ""


def test_a_database_that_is_less_than_half_the_limit_behind_slows_nothing() -> None:
    rig = serving(lag_entries=100)
    fall_behind(rig, 50)
    rig.committed(51, put(1))


def test_the_further_behind_a_database_is_the_longer_its_realm_takes_for_a_commit() -> None:
    rig = serving(lag_entries=100)
    fall_behind(rig, 90)
    rig.commit(200, put(1))
    rig.pass_time(HOLD_MS_MAX * 8 // 10 - 1)
    assert (rig.describe()["held"], rig.outcomes(200)) == (1, [])
    rig.pass_time(1)
    rig.settle()
    assert rig.outcome(200).lsn == 91


def test_the_brake_holds_so_much_and_no_more() -> None:
    rig = serving(lag_entries=100, open_requests=2)
    fall_behind(rig, 90)
    for number in (201, 202, 203):
        rig.commit(number, put(1))
    assert (rig.describe()["held"], rig.describe()["in_flight"]) == (2, 1)


def test_the_brake_holds_rounds_too() -> None:
    rig = serving(lag_entries=100)
    fall_behind(rig, 90)
    rig.vote(1, (201, part(put(2))))
    assert rig.describe()["held"] == 1
    rig.pass_time(HOLD_MS_MAX)
    rig.settle()
    assert [vote.code for vote in rig.votes(1).votes] == [""]


def test_what_the_brake_holds_is_given_back_when_another_leads() -> None:
    rig = serving(lag_entries=100)
    fall_behind(rig, 99)
    asked = rig.commit(200, put(1))
    rig.logs[DBTL].append(DbtmEpoch(Epoch(99), LeaderId("other"), "there", rig.now, "the-gtl"))
    rig.fold(DBTL)
    rig.pass_time(HOLD_MS_MAX)
    assert rig.declined(asked).code == "NO_LEADER"


def test_transactions_that_wrote_nothing_leave_nothing_to_lag_behind() -> None:
    rig = serving(lag_entries=100)
    for number in range(1, 150):
        rig.commit(number, reads=[KeyRead(ITEM, key(1))])
        rig.settle()
    rig.committed(200, put(1))


def test_what_waits_for_a_slow_log_is_bounded_in_bytes() -> None:
    rig = serving(outbox_bytes=1024)
    gather(rig)
    assert rig.declined(rig.commit(3, put(3))).code == "OVERLOADED"
    rig.vote(1, (4, part(put(4))))
    rig.answer()
    assert [vote.code for vote in rig.votes(1).votes] == ["REALM_DOWN"]


def test_a_log_that_has_caught_up_takes_commits_again() -> None:
    rig = serving(outbox_bytes=1024)
    gather(rig)
    rig.settle()
    rig.committed(3, put(3))


def test_an_outbox_that_turned_out_void_is_empty() -> None:
    rig = serving(outbox_bytes=1024)
    gather(rig)
    rig.lose(landed=False)
    rig.pass_time(300)
    rig.settle()
    rig.committed(3, put(3))


def test_undecided_parts_are_bounded() -> None:
    rig = serving(pending_parts=2)
    votes = rig.voted(1, *((number, part(put(number))) for number in (1, 2, 3))).votes
    assert [vote.code for vote in votes] == ["", "", "REALM_DOWN"]
    assert rig.describe()["pending"] == 2


def test_decided_parts_count_until_they_are_durable() -> None:
    rig = serving(pending_parts=1)
    rig.voted(1, (1, part(put(1))))
    rig.push((1, True, 1, 0))
    rig.vote(2, (2, part(put(2))))
    rig.answer()
    assert rig.votes(2).votes[0].code == "REALM_DOWN"
    rig.decree(1, (1, part(put(1))))
    rig.settle()
    assert rig.vote_of(3, part(put(3))).code == ""


# --- requests under way -----------------------------------------------------------------------------------


def test_commits_under_way_are_bounded() -> None:
    rig = serving(open_requests=2)
    requests = [rig.commit(number, patch(number, n=1)) for number in (1, 2, 3)]  # at the database
    assert rig.declined(requests[2]).code == "OVERLOADED"
    rig.settle()
    rig.committed(4, put(4))


def test_commits_in_flight_are_bounded() -> None:
    rig = serving(open_requests=2)
    for number in (1, 2):
        rig.admit(number, put(number))
    assert rig.declined(rig.commit(3, put(3))).code == "OVERLOADED"
    rig.settle()
    rig.committed(3, put(3))


def test_questions_for_outcomes_are_bounded_and_one_too_many_refuses_nothing() -> None:
    rig = serving(open_requests=2)
    requests = [rig.status(number) for number in (1, 2, 3)]
    assert rig.declined(requests[2]).code == "OVERLOADED"
    rig.settle()
    refused = [txid for record in rig.logs[DBTL] if isinstance(record, Refused) for txid in record.txids]
    assert refused == [txn(1), txn(2)]


def test_those_who_wait_for_one_outcome_are_bounded() -> None:
    rig = serving()
    for number in range(20):
        rig.receive(StatusAsked(1_000 + number, txn(1)))
    rig.settle()
    assert codes(rig) == ["OVERLOADED"] * 4
    assert len(rig.answers(OutcomeAnswered)) == 16


def test_aborts_that_are_remembered_are_bounded() -> None:
    rig = serving(aborts_remembered=3)
    for number in range(1, 10):
        rig.commit(number, patch(number, n=1))
        rig.settle()
    assert rig.describe()["aborted"] == 3


def test_reads_at_the_database_are_bounded() -> None:
    rig = serving(open_requests=2)
    requests = [rig.ask(FindRows(ITEM, EVERYTHING)) for _ in range(3)]
    assert rig.declined(requests[2]).code == "OVERLOADED"
    rig.settle()
    rig.get(1)


def test_reads_that_are_held_are_bounded() -> None:
    rig = serving(open_requests=2)
    rig.voted(1, (1, part(put(1))))
    requests = [rig.ask(GetRows(ITEM, (key(1),))) for _ in range(3)]
    assert rig.declined(requests[2]).code == "OVERLOADED"


def test_reads_at_positions_to_come_are_bounded() -> None:
    rig = serving(open_requests=2)
    requests = [rig.ask(GetRows(ITEM, (key(1),)), position=99) for _ in range(3)]
    assert rig.declined(requests[2]).code == "OVERLOADED"


def test_reads_at_positions_that_do_not_come_are_given_back() -> None:
    rig = serving()
    request = rig.ask(GetRows(ITEM, (key(1),)), position=99)
    rig.pass_time(BEHIND_MS - 1)
    assert rig.describe()["reading"] == 1
    rig.pass_time(1)
    assert rig.declined(request).code == "LAGGING"
    assert rig.describe()["reading"] == 0


def test_reads_of_a_link_that_is_down_are_forgotten() -> None:
    rig = serving()
    rig.voted(1, (1, part(put(1))))
    for link in (HOME, LinkId(2)):
        rig.receive(ReadAsked(1, txn(9), Lsn(99), (GetRows(ITEM, (key(2),)),)), link)
        rig.receive(ReadAsked(2, txn(9), Lsn(0), (GetRows(ITEM, (key(1),)),)), link)
    rig.close(HOME)
    assert rig.describe()["reading"] == 2


def test_rounds_that_wait_for_the_database_are_bounded_and_leave_no_pin() -> None:
    rig = serving()
    rig.committed(99, put(99))
    for number in range(1, 8):
        rig.vote(number, (number, part(patch(number, n=1))))
    rig.settle()
    assert [votes.round for votes in rig.answers(Votes)] == [4, 5, 6, 7]
    rig.play()
    rig.pass_time(300)
    rig.settle()
    assert rig.describe()["overlay"] == 0


def test_one_look_for_the_position_is_under_way_at_a_time() -> None:
    rig = serving()
    rig.committed(1, put(1))
    for _ in range(10):
        rig.pass_time(300)
    assert len(rig.looks) == 1
    rig.fail_looks()
    rig.pass_time(300)
    assert len(rig.looks) == 1


# --- the start --------------------------------------------------------------------------------------------


def test_a_dbtm_that_starts_reads_its_own_log_before_the_gtl_and_keeps_no_decree_that_it_holds() -> None:
    rig = serving()
    for csn in range(1, 21):
        rig.voted(csn, (csn, part(put(csn))))
        rig.decree(csn, (csn, part(put(csn))), prev=csn - 1)
        rig.settle()
    after = Rig(logs=rig.logs, store=rig.store, name="d2")
    after.step_to_claim()
    assert [effect.log for effect in after.effects if isinstance(effect, CatchUp)] == [DBTL, GTL]
    assert after.describe()["decrees"] == 0
    after.serve()
    assert len(after.txids()) == 20
