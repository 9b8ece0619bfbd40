"""Which Csns positions stand for, and reads within a cut at one replica."""

import pytest

from dbtm.cuts import Cuts
from dbtm.reading import BEHIND_MS
from grit.core.ids import Csn, Epoch, Lsn, Millis, Realm, TxnId
from grit.core.limits import Limits
from grit.core.messages import ReadAnswered, ReadAsked, Within
from grit.core.predicate import EVERYTHING, Where
from grit.core.queries import FindRows, GetRows, OrderBy, Query
from grit.core.records import CommitEntry, Commits, Entry, PartEntry
from grit.core.steps import GTL, CatchUp
from grit.core.values import decode_record
from tests.unit.dbtm.rig import ITEM, Rig, both, delete, key, part, put, txn

ONE = GetRows(ITEM, (key(1),))
ALL = FindRows(ITEM, EVERYTHING, (OrderBy("a"),))
NEWEST = Csn(1 << 62)


# --- numbers ----------------------------------------------------------------------------------------------


@pytest.fixture
def cuts() -> Cuts:
    """The picture of the module: globals 31 and 34 at Lsn 8 and 10, of 12."""
    cuts = Cuts(Lsn(6), Csn(20), 100)
    cuts.note((Lsn(lsn), Entry(TxnId(""), Csn(csn), b"", ())) for lsn, csn in ((7, 0), (8, 31), (9, 0), (10, 34)))
    return cuts


@pytest.mark.parametrize(
    ("position", "low", "high"), [(6, 20, 30), (7, 20, 30), (8, 31, 33), (9, 31, 33), (10, 34, 40), (12, 34, 40)]
)
def test_a_position_stands_for_the_csns_from_its_last_global_to_the_next(
    cuts: Cuts, position: int, low: int, high: int
) -> None:
    assert (cuts.csn_at(Lsn(position)), cuts.last_csn_at(Lsn(position), Csn(40))) == (low, high)


@pytest.mark.parametrize(("csn", "position"), [(20, 7), (30, 7), (31, 9), (33, 9), (34, 12), (99, 12)])
def test_the_newest_position_of_a_csn_is_before_the_next_global(cuts: Cuts, csn: int, position: int) -> None:
    assert cuts.newest_position(Csn(csn), Lsn(12)) == position


def test_a_csn_below_what_is_remembered_has_no_position(cuts: Cuts) -> None:
    assert cuts.newest_position(Csn(19), Lsn(12)) < cuts.floor
    cuts.forget(Lsn(9))
    assert (cuts.floor, cuts.csn_at(Lsn(9))) == (9, 31)
    assert cuts.newest_position(Csn(30), Lsn(12)) < cuts.floor
    assert cuts.newest_position(Csn(31), Lsn(12)) == 9


def test_so_many_globals_are_remembered_and_no_more() -> None:
    cuts = Cuts(Lsn(0), Csn(0), 3)
    cuts.note((Lsn(n), Entry(TxnId(""), Csn(n), b"", ())) for n in range(1, 8))
    assert (cuts.floor, cuts.csn) == (5, 7)
    assert cuts.newest_position(Csn(5), Lsn(7)) == 5


# --- reads ------------------------------------------------------------------------------------------------


@pytest.fixture
def spread(rig: Rig) -> Rig:
    """A realm in which a local wrote 1, a global 2, a local 3, and a global 4, all to one item."""
    rig.coordinate()
    for number in (1, 2, 3, 4):
        write = put(1, a=number)
        if number % 2:
            rig.committed(number, write)
        else:
            rig.voted(number, (number, part(write)))
            rig.push((number, True, number // 2, number // 2 - 1))
            rig.decree(number // 2, (number, part(write)), prev=number // 2 - 1)
            rig.settle()
    assert rig.describe()["lsn"] == 4
    return rig


def ask(
    rig: Rig, query: Query, low: int, high: int, *, position: int = 0, is_placed: bool = False, fresh: int = 0
) -> int:
    """Ask for a read within a cut; return its number."""
    rig._ids += 1
    within = Within(Csn(low), Csn(high), is_placed, Millis(fresh))
    rig.receive(ReadAsked(rig._ids, txn(999), Lsn(position), (query,), within))
    return rig._ids


def answered(rig: Rig, request: int) -> tuple[ReadAnswered, list[int]]:
    """Return an answer, and the values of `a` of its rows."""
    rig.settle()
    answer = rig.read(request)
    return answer, [decode_record(row)["a"] for _, row in answer.rows[0]]


@pytest.mark.parametrize("query", [ONE, ALL, FindRows(ITEM, Where(both(a=3)), (), 1)])
def test_a_read_within_a_cut_is_exact_at_the_newest_position_that_it_allows(spread: Rig, query: Query) -> None:
    answer, values = answered(spread, ask(spread, query, 1, 1))
    assert (answer.position, answer.low, answer.high, values) == (3, 1, 1, [3])


@pytest.mark.parametrize("applied", [0, 2, 4])
def test_what_the_database_has_already_is_taken_back(spread: Rig, applied: int) -> None:
    if applied:
        spread.play(applied)
    spread.committed(9, put(7, a=7), delete(1))
    spread.play() if applied == 4 else None
    assert answered(spread, ask(spread, ALL, 1, 1))[1] == [3]
    assert answered(spread, ask(spread, ALL, 0, 0))[1] == [1]
    assert answered(spread, ask(spread, ALL, 0, int(NEWEST)))[1] == [7]


def test_a_limited_read_of_the_past_asks_for_more_where_rows_came_meanwhile(spread: Rig) -> None:
    for number in (11, 12, 13):
        spread.committed(number, put(number, a=-number))
    spread.play()
    query = FindRows(ITEM, EVERYTHING, (OrderBy("a"),), 1)
    assert answered(spread, ask(spread, query, 0, 0, position=1, is_placed=True))[1] == [1]


def test_at_the_tail_the_csns_end_where_the_realm_has_every_global(spread: Rig) -> None:
    answer, values = answered(spread, ask(spread, ONE, 0, int(NEWEST)))
    assert (answer.position, answer.low, answer.high, values) == (4, 2, 2, [4])


def test_a_placed_realm_is_read_at_its_position_and_no_other(spread: Rig) -> None:
    for position in (1, 2, 3, 4):
        answer, values = answered(spread, ask(spread, ONE, 0, int(NEWEST), position=position, is_placed=True))
        assert (answer.position, values) == (position, [position])


def test_a_write_in_flight_is_not_shown_and_not_waited_for(spread: Rig) -> None:
    spread.admit(9, put(1, a=9))
    request = ask(spread, ONE, 0, int(NEWEST))
    (rows,) = spread.read(request).rows
    assert decode_record(rows[0][1])["a"] == 4


def test_what_is_forgotten_is_answered_as_of_now_and_says_how_far_back_one_can_go() -> None:
    rig = Rig(limits=Limits(history_keys=2))
    rig.serve()
    rig.coordinate()
    for number in (1, 2, 3, 4):
        rig.voted(number, (number, part(put(1, a=number))))
        rig.push((number, True, number, number - 1))
        rig.decree(number, (number, part(put(1, a=number))), prev=number - 1)
        rig.settle()
    for request in (ask(rig, ONE, 1, 1), ask(rig, ONE, 0, int(NEWEST), position=1, is_placed=True)):
        answer, values = answered(rig, request)
        assert (answer.position, answer.low, answer.least, values) == (4, 4, 2, [4])


def test_a_position_below_what_the_session_has_seen_is_not_answered(spread: Rig) -> None:
    answer, _ = answered(spread, ask(spread, ONE, 1, 1, position=4))
    assert (answer.position, answer.least) == (4, 2)


def test_a_replica_waits_for_a_global_that_it_lacks_and_reads_the_gtl_for_it(spread: Rig) -> None:
    standby = spread.stand_by()
    spread.voted(5, (5, part(put(1, a=5))))
    spread.push((5, True, 3, 2))
    spread.decree(3, (5, part(put(1, a=5))), prev=2)
    before = len(standby.effects)
    request = ask(standby, ONE, 3, 3)
    assert CatchUp(GTL) in standby.effects[before:]
    standby.fold(GTL)
    assert not standby.answers(ReadAnswered)  # committed, and not in its log yet
    spread.settle()
    answer, values = answered(standby, request)
    assert (answer.low, answer.high, values) == (3, 3, [5])


def test_a_quiet_realm_goes_as_far_as_its_replica_has_folded_the_gtl(spread: Rig) -> None:
    elsewhere = PartEntry(Realm("elsewhere"), Epoch(1), spread.gtm_epoch, Csn(0), b"")
    entry = CommitEntry(txn(5), (elsewhere,))
    spread.logs[GTL].append(Commits(spread.gtm_epoch, Csn(3), spread.now, (entry,)))
    request = ask(spread, ONE, 3, 3)
    answer, _ = answered(spread, request)
    assert (answer.position, answer.low, answer.high) == (4, 2, 3)


def test_a_global_that_does_not_come_is_not_waited_for_for_ever(spread: Rig) -> None:
    request = ask(spread, ONE, 3, 3)
    spread.catch_up()
    spread.pass_time(BEHIND_MS)
    assert spread.declined(request).code == "LAGGING"
    assert "has not reached Csn 3 in 2 s: it is at Lsn 4, Csn 2" in spread.declined(request).message
