"""A participant frees itself from a coordinator that does not decide."""

import pytest

from grit.core.fold import LIFE_MS
from grit.core.ids import Csn, Epoch, Lsn, Millis
from grit.core.limits import Limits
from grit.core.messages import ValidateAsked
from grit.core.parts import KeyRead
from grit.core.queries import GetRows
from grit.core.records import Commits, Refused
from grit.core.steps import DBTL, GTL, AppendUnknown, CatchUp
from tests.unit.dbtm.rig import ITEM, Rig, add, key, part, patch, put, txn

PATIENT = Limits(park_ms=20_000)
"""A local waits longer than it takes to free itself."""


@pytest.fixture
def rig() -> Rig:
    rig = Rig(limits=PATIENT)
    rig.serve()
    rig.coordinate()
    return rig


def refused(rig: Rig) -> list[Refused]:
    """Return the refusals that the machine wants to append to the GTL, or has appended."""
    records = [*rig.logs[GTL], *(append.record for append in rig.appends)]
    return [record for record in records if isinstance(record, Refused)]


def looks(rig: Rig) -> int:
    """Return how often the machine asked to read the GTL to its end."""
    return sum(isinstance(effect, CatchUp) and effect.log == GTL for effect in rig.effects)


def wait(rig: Rig, ms: int) -> None:
    """Let time pass in ticks, and read to their ends the logs that the machine wants to read."""
    for _ in range(ms // 100):
        rig.pass_time(100)
        rig.catch_up()


# --- who waits --------------------------------------------------------------------------------------------


def test_a_local_that_waits_is_freed_after_the_delay_and_one_append(rig: Rig) -> None:
    rig.voted(1, (1, part(put(1, n=1))))
    rig.admit(2, put(1, n=2))
    wait(rig, 2_900)
    assert refused(rig) == []
    wait(rig, 100)
    assert refused(rig) == [Refused(Epoch(0), (txn(1),))]
    rig.settle()
    assert rig.outcome(2).state == "COMMITTED"
    assert rig.describe()["pending"] == 0


def test_a_part_that_nothing_waits_for_is_left_alone(rig: Rig) -> None:
    rig.voted(1, (1, part(put(1))))
    rig.committed(2, put(2))
    wait(rig, 10_000)
    assert refused(rig) == []
    assert rig.describe()["pending"] == 1


def test_a_vote_is_never_timed_out_without_the_fold(rig: Rig) -> None:
    rig.voted(1, (1, part(put(1))))
    rig.admit(2, put(1))
    wait(rig, 10_000)  # the refusal is not in the log yet
    assert rig.describe()["pending"] == 1
    assert rig.outcomes(2) == []


def test_a_read_that_was_held_counts_as_waiting(rig: Rig) -> None:
    rig.voted(1, (1, part(put(1))))
    rig.ask(GetRows(ITEM, (key(1),)))
    wait(rig, 3_000)
    assert refused(rig) == [Refused(Epoch(0), (txn(1),))]


def test_a_validation_that_was_held_counts_as_waiting(rig: Rig) -> None:
    rig.voted(1, (1, part(put(1))))
    rig.receive(ValidateAsked(1, (KeyRead(ITEM, key(1)),), Lsn(0)))
    wait(rig, 3_000)
    assert refused(rig) == [Refused(Epoch(0), (txn(1),))]


def test_a_condition_counts_as_waiting(rig: Rig) -> None:
    rig.voted(1, (1, part(put(1))))
    votes = rig.voted(2, (2, part(put(9), reads=[KeyRead(ITEM, key(1))])))
    assert votes.votes[0].conditions == (txn(1),)
    wait(rig, 3_000)
    assert refused(rig) == [Refused(Epoch(0), (txn(1),))]


def test_an_increment_that_may_or_may_not_happen_counts_as_waited_for(rig: Rig) -> None:
    rig.committed(9, put(1, n=1))
    rig.voted(1, (1, part(add(1, -1))))
    rig.admit(2, add(1, -1))
    assert rig.outcomes(2) == []
    wait(rig, 3_000)
    rig.settle()
    assert rig.outcome(2).state == "COMMITTED"


def test_an_increment_refused_in_a_vote_because_another_may_happen_counts_as_waiting(rig: Rig) -> None:
    rig.committed(9, put(1, n=1))
    rig.voted(1, (1, part(add(1, -1))))
    assert rig.vote_of(2, part(add(1, -1))).code == "CONTENTION"
    wait(rig, 3_000)
    assert refused(rig) == [Refused(Epoch(0), (txn(1),))]


def test_all_that_stand_in_the_way_are_refused_by_one_record(rig: Rig) -> None:
    rig.voted(1, (1, part(put(1))), (2, part(put(2))), (3, part(put(3))))
    rig.admit(4, put(1), put(2))
    wait(rig, 3_000)
    assert refused(rig) == [Refused(Epoch(0), (txn(1), txn(2)))]


# --- no storm ---------------------------------------------------------------------------------------------


def test_a_gtm_that_is_only_slow_is_not_refused(rig: Rig) -> None:
    rig.voted(1, (1, part(put(1, n=1))))
    rig.admit(2, patch(1, n=2))
    wait(rig, 2_900)
    rig.decree(1, (1, part(put(1, n=1))))
    rig.settle()
    wait(rig, 1_000)
    assert refused(rig) == []
    assert rig.txids() == [txn(1), txn(2)]


def test_the_gtl_is_read_to_its_end_at_most_once_a_second(rig: Rig) -> None:
    rig.voted(1, (1, part(put(1))))
    before = looks(rig)
    wait(rig, 10_000)
    assert looks(rig) - before == 10


def test_one_refusal_is_under_way_at_a_time(rig: Rig) -> None:
    rig.voted(1, (1, part(put(1))))
    rig.admit(5, put(1))
    wait(rig, 1_000)
    rig.voted(2, (2, part(put(2))))
    rig.admit(6, put(2))
    wait(rig, 9_000)
    assert refused(rig) == [Refused(Epoch(0), (txn(1),))]
    rig.settle()
    wait(rig, 100)
    assert refused(rig) == [Refused(Epoch(0), (txn(1),)), Refused(Epoch(0), (txn(2),))]


# --- the log decides --------------------------------------------------------------------------------------


def test_a_commit_that_came_before_the_refusal_stands(rig: Rig) -> None:
    rig.voted(1, (1, part(put(1, n=1))))
    rig.admit(2, patch(1, n=2))
    rig.decree(1, (1, part(put(1, n=1))))
    rig.pass_time(3_000)
    assert refused(rig)
    rig.settle()
    assert rig.txids() == [txn(1), txn(2)]


def test_a_commit_that_comes_after_the_refusal_is_void(rig: Rig) -> None:
    rig.voted(1, (1, part(put(1, n=1))))
    rig.admit(2, put(1, n=2))
    wait(rig, 3_000)
    rig.land()
    rig.decree(1, (1, part(put(1, n=1))))
    rig.settle()
    assert rig.txids() == [txn(2)]
    rig.committed(3, put(1, n=3))


def test_a_refusal_that_the_log_did_not_take_is_appended_again_a_little_later(rig: Rig) -> None:
    rig.voted(1, (1, part(put(1))))
    rig.admit(2, put(1))
    wait(rig, 3_000)
    rig.refuse_append()
    wait(rig, 100)
    assert refused(rig) == []
    wait(rig, 100)
    rig.settle()
    assert rig.outcome(2).state == "COMMITTED"
    assert len(refused(rig)) == 1


@pytest.mark.parametrize("landed", [True, False])
def test_a_refusal_that_may_have_landed_is_looked_for_before_the_next(rig: Rig, landed: bool) -> None:
    rig.voted(1, (1, part(put(1))))
    rig.admit(2, put(1))
    wait(rig, 3_000)
    (append,) = rig.appends
    before = looks(rig)
    rig.lose(landed=landed)
    assert looks(rig) == before + 1
    for _ in range(5):
        rig.pass_time(100)
    assert rig.appends == []  # the look is not over
    rig.catch_up()
    rig.pass_time(0)
    rig.settle()
    assert rig.outcome(2).state == "COMMITTED"
    assert refused(rig) == [append.record]


def test_another_append_to_the_gtl_that_fails_is_no_failed_refusal(rig: Rig) -> None:
    rig.voted(1, (1, part(put(1))))
    rig.admit(2, put(1))
    wait(rig, 3_000)
    rig.step(AppendUnknown(GTL, rig.appends[0].token - 1))
    wait(rig, 1_000)
    assert len(refused(rig)) == 1


def test_a_leader_that_is_replaced_forgets_its_refusals(rig: Rig) -> None:
    rig.voted(1, (1, part(put(1))))
    rig.admit(2, put(1))
    wait(rig, 3_000)
    rig.appends.clear()
    rig.step(AppendUnknown(DBTL, 1))
    wait(rig, 300)
    rig.settle()
    rig.coordinate(2)
    rig.voted(1, (1, part(put(1))))
    rig.admit(4, put(1))
    wait(rig, 3_000)
    assert refused(rig) == [Refused(Epoch(0), (txn(1),))]


# --- too old to commit ------------------------------------------------------------------------------------


def test_a_part_that_began_before_all_that_the_gtl_remembers_is_aborted(rig: Rig) -> None:
    rig.voted(1, (1, part(put(1))))
    rig.pass_time(2 * LIFE_MS + 1)
    rig.catch_up()
    assert rig.describe()["pending"] == 1  # by the log's time it is young
    rig.logs[GTL].append(Commits(rig.gtm_epoch, Csn(1), rig.now, ()))
    rig.settle()
    rig.pass_time(100)
    assert rig.describe()["pending"] == 0
    assert refused(rig) == []


def test_a_part_of_old_that_is_committed_is_not_aborted(rig: Rig) -> None:
    rig.voted(1, (1, part(put(1))))
    rig.decree(1, (1, part(put(1))))
    rig.logs[GTL].append(Commits(rig.gtm_epoch, Csn(2), Millis(rig.now + 2 * LIFE_MS + 1), ()))
    rig.pass_time(2 * LIFE_MS + 1)
    rig.settle()
    assert rig.txids() == [txn(1)]


def test_a_refusal_of_what_the_gtl_has_forgotten_frees_it_all_the_same(rig: Rig) -> None:
    rig.voted(1, (1, part(put(1))))
    rig.admit(2, put(1))
    wait(rig, 3_000)
    rig.logs[GTL].append(Commits(rig.gtm_epoch, Csn(1), Millis(rig.now + 2 * LIFE_MS), ()))
    rig.settle()
    rig.pass_time(100)
    assert len(refused(rig)) == 1
    assert rig.describe()["pending"] == 0
