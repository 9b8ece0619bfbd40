"""Who waits until the database has a transaction is answered when the player has applied it."""

import pytest

from dbtm.applying import APPLY_MS, POLL_MS
from grit.core.ids import Csn, LinkId, Lsn
from grit.core.limits import Limits
from grit.core.messages import AppliedAnswered, AppliedAsked
from grit.core.steps import DBTL, GTL
from tests.unit.dbtm.rig import HOME, Rig, part, put


def ask(rig: Rig, lsn: int = 0, csn: int = 0, *, number: int = 77, link: LinkId = HOME) -> None:
    """Ask whether the database has it."""
    rig.receive(AppliedAsked(number, Lsn(lsn), Csn(csn)), link)


def poll(rig: Rig) -> None:
    """Let the position of the database be asked, and told."""
    rig.pass_time(POLL_MS)
    rig.answer()
    rig.pass_time(POLL_MS)


def answers(rig: Rig) -> list[int]:
    return [answer.lsn for answer in rig.answers(AppliedAnswered)]


def test_a_local_is_answered_when_the_player_has_applied_it(rig: Rig) -> None:
    for number in (1, 2):
        rig.committed(number, put(number))
    ask(rig, lsn=2)
    rig.play(1)
    poll(rig)
    assert answers(rig) == []
    rig.play(2)
    poll(rig)
    assert answers(rig) == [2]


def test_what_is_known_to_be_applied_is_answered_at_once(rig: Rig) -> None:
    rig.committed(1, put(1))
    rig.play()
    ask(rig, lsn=1)
    poll(rig)
    ask(rig, lsn=1)
    assert answers(rig) == [1, 1]


def test_a_global_is_found_by_its_csn_and_waited_for_until_it_is_in_the_log(rig: Rig) -> None:
    rig.coordinate()
    rig.committed(9, put(9))
    rig.play()
    write = part(put(1, a=1))
    rig.voted(1, (1, write))
    ask(rig, csn=1)
    poll(rig)
    assert answers(rig) == []
    rig.push((1, True, 1, 0))
    rig.settle()
    poll(rig)
    assert answers(rig) == []
    rig.committed(2, put(2))
    rig.play(2)
    poll(rig)
    assert answers(rig) == [2]


def test_a_standby_answers_too(rig: Rig) -> None:
    rig.committed(1, put(1))
    standby = rig.stand_by()
    ask(standby, lsn=1)
    rig.play()
    poll(standby)
    assert answers(standby) == [1]


def test_the_database_is_asked_only_while_somebody_waits_and_not_for_ever(rig: Rig) -> None:
    rig.committed(1, put(1))
    ask(rig, lsn=1)
    assert rig.describe()["applying"] == 1
    rig.pass_time(APPLY_MS)
    assert rig.describe()["applying"] == 0
    rig.play()
    rig.answer()
    rig.pass_time(500)
    rig.answer()
    rig.pass_time(POLL_MS)
    assert not rig.looks


def test_a_look_that_a_change_of_leaders_dropped_is_made_again(rig: Rig) -> None:
    rig.committed(1, put(1))
    ask(rig, lsn=1)
    rig.pass_time(POLL_MS)
    assert rig.looks
    rig.looks.clear()
    other = Rig(logs=rig.logs, store=rig.store, name="d2")
    other.serve()
    rig.fold(DBTL)
    rig.fold(GTL)
    assert rig.machine.phase == "following"
    rig.play()
    poll(rig)
    assert answers(rig) == [1]


def test_waiting_is_bounded_and_ends_with_its_link() -> None:
    rig = Rig(limits=Limits(open_requests=1))
    rig.serve()
    ask(rig, lsn=9, number=1)
    ask(rig, lsn=9, number=2)
    assert rig.declined(2).code == "OVERLOADED"
    rig.close(HOME)
    assert rig.describe()["applying"] == 0


@pytest.mark.parametrize("phase", ["claiming", "fencing"])
def test_who_takes_over_declines(phase: str) -> None:
    rig = Rig()
    rig.until_phase(phase)
    ask(rig, lsn=1)
    assert rig.declined(77).code == "NO_LEADER"
