"""What a GTM makes of an external elector: it may save the wait for silence, and it can never do harm."""

from grit.core.records import Commits
from grit.core.steps import SeatWon, StepBack, Tick
from tests.unit.gtm.rig import A, Rig, txn

GONE = "host-g1"


def _led() -> Rig:
    """Return a leader, of whose log others may read."""
    leader = Rig(has_elector=True)
    leader.serve(A)
    return leader


def _standby(leader: Rig, name: str = "g2") -> Rig:
    """Return a second replica that follows."""
    standby = Rig(log=leader.log, name=name, has_elector=True)
    standby.step(Tick())
    standby.settle()
    assert not standby.machine.is_serving
    return standby


def test_who_wins_the_seat_of_the_leader_leads_without_waiting() -> None:
    standby = _standby(_led())
    standby.step(SeatWon(GONE))
    standby.pass_time(1)
    standby.settle()
    assert standby.machine.is_serving


def test_what_the_log_holds_by_then_is_folded_before_the_claim() -> None:
    leader = _led()
    standby = _standby(leader)
    standby.step(SeatWon(GONE))
    standby.pass_time(1)
    leader.submit(txn(1), A)
    leader.vote(A)
    leader.settle()
    standby.settle()
    assert standby.machine.is_serving
    assert standby.machine.fold.next_csn == 2


def test_a_leader_that_an_elector_takes_for_dead_is_fenced_and_steps_back() -> None:
    leader = _led()
    leader.step(SeatWon(""))
    in_flight = leader.submit(txn(1), A)
    leader.vote(A)
    standby = _standby(leader)
    standby.step(SeatWon(GONE))  # a lie: the leader lives, and holds the seat
    standby.pass_time(1)
    standby.settle()
    leader.settle()
    assert (leader.machine.is_serving, standby.machine.is_serving) == (False, True)
    assert leader.outcome(in_flight).state == "ABORTED"
    assert StepBack() in leader.effects
    void = [record for record in leader.log if isinstance(record, Commits) and record.entries]
    assert [entry.txid for record in void for entry in record.entries] == [txn(1)]
    standby.settle()
    assert standby.machine.fold.next_csn == 1


def test_of_two_that_are_both_given_the_seat_the_log_lets_one_lead() -> None:
    leader = _led()
    both = [_standby(leader, "g2"), _standby(leader, "g3")]
    for one in both:
        one.step(SeatWon(GONE))
        one.pass_time(1)
        one.caught_up()
    for _ in range(2):
        for one in both:
            one.settle()
    assert sorted(one.machine.is_serving for one in both) == [False, True]


def test_an_elector_that_never_speaks_costs_time_only() -> None:
    standby = _standby(_led())
    standby.pass_time(standby.config.election_timeout_ms)
    standby.settle()
    assert not standby.machine.is_serving
    standby.pass_time(2 * standby.config.election_timeout_ms)
    standby.settle()
    assert standby.machine.is_serving


def test_a_replica_that_starts_again_and_wins_its_own_seat_leads_at_once() -> None:
    again = Rig(log=_led().log, has_elector=True)
    again.step(SeatWon(GONE))
    again.settle()
    again.pass_time(1)
    again.settle()
    assert again.machine.is_serving
