"""What a DBTM makes of an external elector: it may save the wait for silence, and it can never do harm."""

from grit.core.limits import Limits
from grit.core.steps import SeatWon, StepBack, Tick
from tests.unit.dbtm.rig import Rig, put

GONE = "addr-d1"


def _led() -> Rig:
    """Return a leader, of whose logs others may read."""
    leader = Rig(has_elector=True)
    leader.serve()
    return leader


def _standby(leader: Rig) -> Rig:
    """Return a second replica that follows."""
    standby = Rig(logs=leader.logs, store=leader.store, name="d2", has_elector=True)
    standby.step(Tick())
    standby.settle()
    assert standby.machine.phase == "following"
    return standby


def test_who_wins_the_seat_of_the_leader_takes_over_without_waiting() -> None:
    leader = _led()
    standby = _standby(leader)
    leader.committed(1, put(1, n=7))
    standby.step(SeatWon(GONE))
    standby.pass_time(1)
    standby.settle()
    assert standby.machine.phase == "serving"
    assert standby.get(1) == {"id": 1, "n": 7}


def test_it_claims_nothing_as_long_as_it_cannot_reach_the_database() -> None:
    standby = _standby(_led())
    standby.step(SeatWon(GONE))
    standby.pass_time(1)
    standby.fail_looks()
    standby.settle()
    assert standby.machine.phase == "following"


def test_a_leader_that_an_elector_takes_for_dead_is_fenced_and_steps_back() -> None:
    leader = _led()
    leader.step(SeatWon(""))
    standby = _standby(leader)
    standby.step(SeatWon(GONE))  # a lie: the leader lives, and holds the seat
    standby.pass_time(1)
    standby.settle()
    leader.admit(1, put(1, n=7))
    leader.settle()
    assert (leader.machine.phase, standby.machine.phase) == ("following", "serving")
    assert StepBack() in leader.effects
    standby.settle()
    assert standby.get(1) is None


def test_an_elector_that_never_speaks_costs_time_only() -> None:
    standby = _standby(_led())
    standby.pass_time(Limits().election_timeout_ms)
    standby.settle()
    assert standby.machine.phase == "following"
    standby.pass_time(2 * Limits().election_timeout_ms)
    standby.settle()
    assert standby.machine.phase == "serving"
