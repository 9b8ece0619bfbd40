"""A standby answers reads from its own fold, as a leader does; what needs a leader it declines."""

import pytest

from dbtm.reading import BEHIND_MS
from grit.core.ids import Epoch, LeaderId, Lsn
from grit.core.limits import Limits
from grit.core.messages import (
    CommitAsked,
    Declined,
    ExtendAnswered,
    ExtendAsked,
    ReadAnswered,
    StatusAsked,
    ValidateAsked,
)
from grit.core.parts import KeyRead, encode_part
from grit.core.queries import GetRows
from grit.core.records import DbtmEpoch
from grit.core.steps import DBTL
from tests.unit.dbtm.rig import HOME, ITEM, Rig, key, part, patch, put, txn

ONE = GetRows(ITEM, (key(1),))


@pytest.fixture
def pair(rig: Rig) -> tuple[Rig, Rig]:
    """A leader that has committed an item, and a standby that has folded that; the player has applied nothing."""
    rig.committed(1, put(1, a=1))
    return rig, rig.stand_by()


def test_a_standby_answers_what_its_own_log_holds_over_a_database_that_lags(pair: tuple[Rig, Rig]) -> None:
    _, standby = pair
    assert standby.get(1) == {"id": 1, "a": 1}
    assert standby.read(1).position == 1


def test_an_answer_of_a_standby_is_exact_at_its_own_tail_which_may_be_an_earlier_one(pair: tuple[Rig, Rig]) -> None:
    leader, standby = pair
    leader.committed(2, patch(1, a=2))
    request = standby.ask(ONE)
    assert (standby.read(request).position, standby.read(request).exact_from) == (1, 1)
    standby.settle()
    assert standby.get(1) == {"id": 1, "a": 2}


def test_a_standby_behind_the_asked_position_waits_for_it(pair: tuple[Rig, Rig]) -> None:
    leader, standby = pair
    leader.committed(2, put(2))
    request = standby.ask(ONE, position=2)
    assert not standby.answers(ReadAnswered)
    standby.settle()
    assert standby.read(request).position == 2


def test_a_standby_that_stays_behind_gives_the_read_back_and_says_where_it_is(pair: tuple[Rig, Rig]) -> None:
    _, standby = pair
    request = standby.ask(ONE, position=2)
    standby.receive(ExtendAsked(77, (KeyRead(ITEM, key(1)),), Lsn(1), Lsn(2)))
    standby.pass_time(BEHIND_MS)
    for number in (request, 77):
        assert standby.declined(number).code == "LAGGING"
        assert "has not reached Lsn 2 in 2 s: it is at Lsn 1" in standby.declined(number).message
    assert standby.describe()["reading"] == 0


def test_a_standby_extends_reads_once_it_has_folded_so_far(pair: tuple[Rig, Rig]) -> None:
    leader, standby = pair
    leader.committed(2, put(1, a=2))
    standby.receive(ExtendAsked(77, (KeyRead(ITEM, key(1)),), Lsn(1), Lsn(2)))
    assert not standby.answers(ExtendAnswered)
    standby.settle()
    (answer,) = standby.answers(ExtendAnswered)
    assert answer.conflict is not None
    assert answer.conflict.lsn == 2


def test_questions_that_wait_for_a_position_are_bounded(rig: Rig) -> None:
    standby = Rig(logs=rig.logs, store=rig.store, name="d2", is_alone=False, limits=Limits(open_requests=1))
    standby.pass_time(0)
    standby.settle()
    for number in (77, 78):
        standby.receive(ExtendAsked(number, (KeyRead(ITEM, key(1)),), Lsn(1), Lsn(2)))
    assert standby.declined(78).code == "OVERLOADED"


def test_what_needs_a_leader_is_declined_with_its_address(pair: tuple[Rig, Rig]) -> None:
    _, standby = pair
    for message in (
        ValidateAsked(1, (KeyRead(ITEM, key(1)),), Lsn(1)),
        CommitAsked(2, txn(2), encode_part(part(put(2)))),
        StatusAsked(3, txn(3)),
    ):
        standby.receive(message)
    assert [(m.code, m.leader) for m in standby.answers(Declined)] == [("NO_LEADER", "addr-d1")] * 3


def test_a_change_of_leaders_does_not_end_what_a_standby_reads(pair: tuple[Rig, Rig]) -> None:
    _, standby = pair
    request = standby.ask(ONE, position=1)
    later = standby.ask(ONE, position=2)
    standby.logs[DBTL].append(DbtmEpoch(Epoch(9), LeaderId("other"), "addr-other", standby.now, "the-gtl"))
    standby.settle()
    assert standby.read(request).position == 1
    assert not [m for m in standby.answers(Declined) if m.id == later]


def test_a_leader_that_is_deposed_goes_on_to_answer_reads_as_a_standby(pair: tuple[Rig, Rig]) -> None:
    leader, _ = pair
    leader.admit(2, put(1, a=2))
    leader.logs[DBTL].append(DbtmEpoch(Epoch(9), LeaderId("other"), "addr-other", leader.now, "the-gtl"))
    leader.settle()
    assert leader.machine.phase == "following"
    assert leader.get(1) == {"id": 1, "a": 1}
    assert leader.answers(ReadAnswered, HOME)
