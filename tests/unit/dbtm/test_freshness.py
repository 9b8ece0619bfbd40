"""Reads that may be a little old, and no older: what shows it, and what is waited for."""

import pytest

from dbtm.freshness import TIMES_MAX, Freshness, Look
from dbtm.ledger import Ledger
from dbtm.reading import BEHIND_MS
from grit.core.fold import GtlFold
from grit.core.ids import Csn, Epoch, Lsn, Offset, Realm
from grit.core.limits import Limits
from grit.core.messages import ReadAnswered
from grit.core.records import CommitEntry, Commits, Entries, PartEntry, Through
from grit.core.steps import DBTL, GTL, CatchUp
from tests.unit.dbtm.rig import SHOP, START, Rig, part, put, txn
from tests.unit.dbtm.test_cuts import NEWEST, ONE, answered, ask


@pytest.fixture
def timed(rig: Rig) -> Rig:
    """A realm in which globals 1, 2 and 3 were committed at 100, 200 and 300 ms."""
    rig.coordinate()
    for number in (1, 2, 3):
        rig.pass_time(100)
        commit(rig, number)
    return rig


def commit(rig: Rig, number: int) -> None:
    """Commit a global that writes its Csn."""
    write = part(put(1, a=number))
    rig.voted(number, (number, write))
    rig.push((number, True, number, number - 1))
    rig.decree(number, (number, write), prev=number - 1)
    rig.settle()


def renew(rig: Rig) -> None:
    """Let both logs show the time."""
    tail = rig.describe()["lsn"]
    rig.logs[DBTL].append(Entries(rig.machine.epoch, Lsn(tail + 1), rig.now, Through(Csn(0), Offset(0)), ()))
    rig.logs[GTL].append(Commits(rig.gtm_epoch, Csn(rig.machine._voting.gtl.next_csn), rig.now, ()))


def is_answered(rig: Rig, request: int) -> bool:
    return any(m.id == request for m in rig.answers(ReadAnswered))


def test_logs_whose_time_has_come_show_it_at_once(timed: Rig) -> None:
    request = ask(timed, ONE, 0, int(NEWEST), fresh=START + 300)
    assert is_answered(timed, request)
    assert not timed.is_moving()


def test_a_log_in_which_nothing_happens_is_read_to_its_end(timed: Rig) -> None:
    timed.pass_time(1_000)
    before = len(timed.effects)
    request = ask(timed, ONE, 0, int(NEWEST), fresh=START + 1_200)
    assert {CatchUp(DBTL), CatchUp(GTL)} <= set(timed.effects[before:])
    assert not is_answered(timed, request)
    timed.settle()
    assert answered(timed, request)[1] == [3]


@pytest.mark.parametrize("idle", [DBTL, GTL])
def test_each_log_must_show_it_for_itself(timed: Rig, idle: str) -> None:
    timed.pass_time(1_000)
    renew(timed)
    del timed.logs[idle][-1]
    timed.fold(DBTL)
    timed.fold(GTL)
    request = ask(timed, ONE, 0, int(NEWEST), fresh=START + 1_200)
    assert not is_answered(timed, request)
    timed._caught, others = [effect for effect in timed._caught if effect.log == idle], timed._caught
    assert len(others) == 2
    timed.catch_up()
    assert is_answered(timed, request)


def test_a_global_elsewhere_counts_for_the_cut_though_it_changed_nothing_here(timed: Rig) -> None:
    timed.pass_time(100)
    elsewhere = PartEntry(Realm("elsewhere"), Epoch(1), timed.gtm_epoch, Csn(0), b"")
    timed.logs[GTL].append(Commits(timed.gtm_epoch, Csn(4), timed.now, (CommitEntry(txn(44), (elsewhere,)),)))
    timed.pass_time(100)
    timed.settle()
    answer, _ = answered(timed, ask(timed, ONE, 0, int(NEWEST), fresh=START + 450))
    assert (answer.low, answer.least, answer.high) == (3, 4, 4)


def test_a_read_to_the_end_that_began_before_the_question_does_not_count(timed: Rig) -> None:
    timed.pass_time(1_000)
    ask(timed, ONE, 0, int(NEWEST), fresh=START + 1_200)
    caught, timed._caught = timed._caught, []
    later = ask(timed, ONE, 0, int(NEWEST), fresh=START + 1_200)
    asked_later, timed._caught = timed._caught, caught
    timed.catch_up()
    assert not is_answered(timed, later)
    timed._caught = asked_later
    timed.catch_up()
    assert is_answered(timed, later)


@pytest.mark.parametrize(("fresh", "least", "position"), [(150, 1, 1), (201, 2, 2), (250, 2, 2), (301, 3, 3)])
def test_a_cut_is_not_older_than_asked_for(timed: Rig, fresh: int, least: int, position: int) -> None:
    renew(timed)
    timed.settle()
    answer, values = answered(timed, ask(timed, ONE, least, least, fresh=START + fresh))
    assert (answer.position, answer.least, values) == (position, least, [position])
    older, _ = answered(timed, ask(timed, ONE, least - 1, least - 1, fresh=START + fresh))
    assert (older.position, older.least) == (3, least)


def test_a_global_that_its_realm_lacks_is_waited_for(timed: Rig) -> None:
    """It is committed, its client may know, and this realm has it in no record yet."""
    standby = timed.stand_by()
    timed.now = standby.now = type(timed.now)(timed.now + 100)
    write = part(put(1, a=4))
    timed.voted(4, (4, write))
    timed.decree(4, (4, write), prev=3)
    standby.fold(GTL)
    renewal = Entries(timed.machine.epoch, Lsn(4), timed.now, Through(Csn(3), Offset(0)), ())
    standby.logs[DBTL].append(renewal)
    standby.fold(DBTL)
    request = ask(standby, ONE, 0, int(NEWEST), fresh=timed.now + 1)
    standby.catch_up()
    assert not is_answered(standby, request)
    standby.pass_time(BEHIND_MS)
    assert "has not reached what is known to be as new as asked for in 2 s" in standby.declined(request).message


def test_a_realm_that_is_placed_is_fresh_enough(timed: Rig) -> None:
    timed.pass_time(1_000)
    request = ask(timed, ONE, 0, int(NEWEST), position=2, is_placed=True, fresh=START + 1_200)
    assert answered(timed, request)[1] == [2]


def test_what_was_not_folded_here_may_all_have_been_given_before() -> None:
    """A replica that began behind the start of its logs knows how far they went, and no times."""
    ledger, gtl = Ledger(SHOP, Limits()), GtlFold()
    ledger.fold.next_lsn, gtl.next_csn = Lsn(8), Csn(51)
    freshness = Freshness(ledger, gtl, [])
    assert (freshness.lsn_before(START), freshness.csn_before(START)) == (7, 50)


def test_times_that_are_forgotten_make_the_bound_stricter() -> None:
    ledger = Ledger(SHOP, Limits())
    freshness = Freshness(ledger, GtlFold(), [])
    ledger.fold.epoch = Epoch(1)
    for number in range(2 * TIMES_MAX + 1):
        ledger.fold.next_lsn, ledger.fold.now = Lsn(number + 1), type(START)(START + number)
        freshness.note(DBTL)
    assert freshness.lsn_before(type(START)(START + 1)) == TIMES_MAX
    assert freshness.lsn_before(type(START)(START + 2 * TIMES_MAX)) == 2 * TIMES_MAX - 1
    assert Look() == Look(0, 0)
