"""Validations: checked against all that a leader knows, and answered when it is certain that it led."""

from collections.abc import Sequence

import pytest

from grit.core.ids import Epoch, LeaderId, LinkId, Lsn
from grit.core.limits import Limits
from grit.core.messages import Declined, ValidateAnswered, ValidateAsked
from grit.core.outcome import Conflict
from grit.core.parts import KeyRead, PredicateRead, Read
from grit.core.predicate import Where
from grit.core.records import DbtmEpoch, Entries, Fence
from grit.core.steps import DBTL, GTL, Append, DrainAsked
from tests.unit.dbtm.rig import HOME, ITEM, Rig, both, key, part, patch, put, txn

ONE, TWO = KeyRead(ITEM, key(1)), KeyRead(ITEM, key(2))


@pytest.fixture
def rig() -> Rig:
    """Return a leader of a realm with item 1, at Lsn 1."""
    rig = Rig()
    rig.serve()
    rig.committed(9, put(1, a=0))
    rig.effects.clear()
    rig.sent.clear()
    return rig


def ask(rig: Rig, *reads: Read, position: int = 1, number: int = 7, link: LinkId = HOME) -> None:
    rig.receive(ValidateAsked(number, reads, Lsn(position)), link)


def answers(rig: Rig, number: int = 7) -> list[ValidateAnswered | Declined]:
    return [m for _, m in rig.sent if isinstance(m, ValidateAnswered | Declined) and m.id == number]


def answer(rig: Rig, number: int = 7) -> ValidateAnswered:
    (one,) = answers(rig, number)
    assert isinstance(one, ValidateAnswered)
    return one


def conflict(rig: Rig) -> Conflict:
    found = answer(rig).conflict
    assert found is not None
    return found


def is_clean(rig: Rig, number: int = 7) -> bool:
    one = answer(rig, number)
    return one.conflict is None and not one.too_old


def is_declined(rig: Rig) -> bool:
    (one,) = answers(rig)
    return isinstance(one, Declined) and one.code == "NO_LEADER"


def usurp(rig: Rig) -> None:
    """Another takes the realm over; nobody here has read so."""
    rig.logs[DBTL].append(DbtmEpoch(Epoch(rig.machine.epoch + 1), LeaderId("d2"), "addr-d2", rig.now, "the-gtl"))


def records(rig: Rig) -> Sequence[Append]:
    return [effect for effect in rig.effects if isinstance(effect, Append)]


# --- the check --------------------------------------------------------------------------------------------


def test_a_read_that_is_overwritten_is_answered_at_once_with_the_winner(rig: Rig) -> None:
    rig.committed(1, patch(1, a=1))
    ask(rig, TWO, ONE)
    assert (conflict(rig).winner, conflict(rig).lsn, conflict(rig).position) == (txn(1), 2, 1)
    assert rig.appends == []


def test_fields_that_were_not_read_do_not_matter(rig: Rig) -> None:
    rig.committed(1, patch(1, a=1))
    ask(rig, KeyRead(ITEM, key(1), ("b",)))
    rig.settle()
    assert is_clean(rig)


def test_a_record_that_came_into_a_predicate_is_a_conflict_with_a_predicate(rig: Rig) -> None:
    rig.committed(1, put(2, a=7))
    ask(rig, PredicateRead(ITEM, Where(both(a=7))))
    assert conflict(rig).predicate


def test_a_position_below_the_low_watermark_is_too_old() -> None:
    rig = Rig(limits=Limits(history_keys=1_000))
    rig.serve()
    for first in range(0, 1_001, 500):
        rig.committed(first + 1, *(put(number) for number in range(first, first + 501)))
    ask(rig, KeyRead(ITEM, key(5_000)), position=0)
    assert answer(rig).too_old
    assert answer(rig).conflict is None


def test_a_write_in_flight_is_waited_for_and_then_told(rig: Rig) -> None:
    rig.admit(1, patch(1, a=1))
    ask(rig, ONE)
    assert answers(rig) == []
    rig.settle()
    assert (conflict(rig).winner, conflict(rig).lsn) == (txn(1), 2)


def test_a_read_that_was_overwritten_before_does_not_wait_for_what_is_in_flight(rig: Rig) -> None:
    rig.committed(1, patch(1, a=1))
    rig.admit(2, patch(1, a=2))
    ask(rig, ONE)
    assert conflict(rig).winner == txn(1)


def test_what_touches_nothing_that_was_read_is_not_waited_for(rig: Rig) -> None:
    rig.coordinate()
    rig.voted(1, (50, part(put(3, a=5))))
    ask(rig, ONE)
    rig.settle()
    assert is_clean(rig)


def test_a_pending_write_that_aborts_leaves_the_reads_clean(rig: Rig) -> None:
    rig.coordinate()
    rig.voted(1, (50, part(put(1, a=5))))
    ask(rig, ONE)
    rig.settle()
    assert answers(rig) == []
    rig.push((50, False, 0, 0))
    rig.settle()
    assert is_clean(rig)


def test_a_pending_write_that_commits_is_a_conflict_once_it_is_durable(rig: Rig) -> None:
    rig.coordinate()
    rig.voted(1, (50, part(put(1, a=5))))
    ask(rig, PredicateRead(ITEM, Where(both(a=0))))
    rig.push((50, True, 1, 0))
    assert answers(rig) == []
    rig.settle()
    assert (conflict(rig).winner, conflict(rig).lsn) == (txn(50), 2)


def test_pending_parts_that_a_newer_gtm_gave_up_are_not_waited_for(rig: Rig) -> None:
    rig.coordinate()
    rig.voted(1, (50, part(put(1, a=5))))
    ask(rig, ONE)
    rig.coordinate(epoch=2)
    rig.pass_time(20)
    rig.settle()
    assert is_clean(rig)


@pytest.mark.parametrize("read", [ONE, PredicateRead(ITEM, Where(both(a=0)))])
def test_who_waits_for_an_undecided_write_for_too_long_is_told_which(rig: Rig, read: Read) -> None:
    rig.coordinate()
    rig.voted(1, (50, part(put(1, a=5))))
    ask(rig, TWO, read)
    rig.pass_time(499)
    assert answers(rig) == []
    rig.pass_time(1)
    found = conflict(rig)
    assert (found.winner, found.lsn, found.key, found.predicate) == (txn(50), 0, key(1), read != ONE)
    assert "is not decided yet" in found.sentence()


def test_who_waits_for_a_write_in_flight_for_too_long_is_told_which(rig: Rig) -> None:
    rig.admit(1, patch(1, a=1))
    ask(rig, ONE)
    rig.pass_time(500)
    assert (conflict(rig).winner, conflict(rig).lsn) == (txn(1), 0)


# --- the confirmation -------------------------------------------------------------------------------------


def test_clean_reads_are_answered_when_a_record_made_for_them_is_folded(rig: Rig) -> None:
    ask(rig, ONE)
    (append,) = rig.appends
    assert isinstance(append.record, Entries)
    assert append.record.entries == ()
    rig.land()
    assert answers(rig) == []
    rig.fold(DBTL)
    assert is_clean(rig)


def test_a_record_that_was_under_way_before_the_check_does_not_serve(rig: Rig) -> None:
    rig.admit(1, patch(2, a=1))
    rig.admit(2, put(3))
    ask(rig, ONE)
    rig.land()
    rig.fold(DBTL)
    assert answers(rig) == []
    rig.land()
    rig.fold(DBTL)
    assert is_clean(rig)


def test_a_refusal_that_was_under_way_before_the_check_does_not_serve(rig: Rig) -> None:
    rig.status(33)
    ask(rig, ONE)
    rig.land()
    rig.fold(DBTL)
    assert answers(rig) == []
    rig.settle()
    assert is_clean(rig)


def test_the_next_record_of_a_busy_leader_serves_as_it_is(rig: Rig) -> None:
    rig.admit(1, put(2))
    ask(rig, ONE)
    rig.admit(2, put(3))
    rig.effects.clear()
    rig.settle()
    assert is_clean(rig)
    assert [len(append.record.entries) for append in records(rig) if isinstance(append.record, Entries)] == [1]


def test_one_append_serves_all_that_wait(rig: Rig) -> None:
    ask(rig, ONE, number=1)
    for number in range(2, 50):
        ask(rig, ONE, number=number)
    rig.settle()
    assert all(is_clean(rig, number) for number in range(1, 50))
    assert len(records(rig)) == 2


def test_reads_without_a_commit_leave_no_entry_and_nothing_pending(rig: Rig) -> None:
    ask(rig, ONE)
    rig.settle()
    assert rig.txids() == [txn(9)]
    assert (rig.describe()["pending"], rig.describe()["validating"]) == (0, 0)


def test_a_deposed_leader_that_has_not_read_so_answers_nobody(rig: Rig) -> None:
    usurp(rig)
    ask(rig, ONE)
    rig.land()
    assert answers(rig) == []
    rig.fold(DBTL)
    (refused,) = answers(rig)
    assert isinstance(refused, Declined)
    assert (refused.code, refused.leader) == ("NO_LEADER", "addr-d2")


def test_a_record_that_landed_before_another_took_over_does_not_confirm_what_was_asked_after(rig: Rig) -> None:
    rig.admit(1, put(2))
    rig.land()
    usurp(rig)
    ask(rig, ONE)
    rig.fold(DBTL)
    rig.land()
    rig.settle()
    assert is_declined(rig)


def test_a_fence_of_another_ends_what_waits(rig: Rig) -> None:
    ask(rig, ONE)
    rig.logs[GTL].append(Fence(rig.machine._realm, Epoch(rig.machine.epoch + 1)))
    rig.fold(GTL)
    assert is_declined(rig)
    rig.land()
    rig.fold(DBTL)
    assert is_declined(rig)


@pytest.mark.parametrize("landed", [True, False])
def test_a_leader_whose_append_is_unknown_is_asked_again(rig: Rig, landed: bool) -> None:
    ask(rig, ONE)
    rig.lose(landed=landed)
    assert is_declined(rig)
    rig.pass_time(200)
    rig.settle()
    assert rig.machine.phase == "serving"
    assert is_declined(rig)
    ask(rig, ONE, number=8)
    rig.settle()
    assert is_clean(rig, 8)


def test_who_waits_for_an_undecided_write_is_told_when_the_leader_steps_down(rig: Rig) -> None:
    rig.coordinate()
    rig.voted(1, (50, part(put(1, a=5))))
    ask(rig, ONE)
    usurp(rig)
    rig.fold(DBTL)
    assert is_declined(rig)


def test_a_leader_that_resigns_answers_nobody(rig: Rig) -> None:
    ask(rig, ONE)
    rig.step(DrainAsked())
    rig.settle()
    assert is_declined(rig)


def test_more_validations_than_the_limit_are_declined() -> None:
    rig = Rig(limits=Limits(open_requests=2))
    rig.serve()
    for number in (1, 2, 3):
        ask(rig, ONE, number=number)
    (refused,) = answers(rig, 3)
    assert isinstance(refused, Declined)
    assert refused.code == "OVERLOADED"
    rig.settle()
    assert is_clean(rig, 1)
    assert is_clean(rig, 2)
