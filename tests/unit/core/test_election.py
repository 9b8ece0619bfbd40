"""Who may claim, and when: silence in the log, and what an external elector says on top of it."""

from itertools import pairwise

from grit.core.election import JITTER, Election
from grit.core.ids import LeaderId, Millis
from grit.core.steps import SeatLost, SeatWon

TIMEOUT_MS = 2_000
LONGEST_MS = int(TIMEOUT_MS * (1 + JITTER))
START = Millis(1_000_000)


def _after(millis: int) -> Millis:
    return Millis(START + millis)


def _standby(*, has_elector: bool = True, name: str = "s") -> Election:
    election = Election(LeaderId(name), TIMEOUT_MS, has_elector=has_elector)
    election.heard(START)
    return election


def _first_probe(election: Election, *, leader: str = "a", limit_ms: int = 10_000) -> int:
    """Return after how many milliseconds of silence it probes."""
    return next(passed for passed in range(0, limit_ms, 10) if election.must_probe(_after(passed), leader))


def test_without_an_elector_silence_decides() -> None:
    assert TIMEOUT_MS <= _first_probe(_standby(has_elector=False)) <= LONGEST_MS + 10


def test_a_claim_in_vain_doubles_the_patience_however_well_the_leader_before_had_proved_itself() -> None:
    election = _standby(has_elector=False)
    for _ in range(5):
        election.heard(START)
    for _ in range(2):
        _first_probe(election)
        assert election.may_claim(START)
        election.began(START)
    assert _first_probe(election, limit_ms=20_000) >= 2 * TIMEOUT_MS


def test_who_holds_the_seat_tries_before_everybody_else() -> None:
    for name in map(str, range(20)):
        holder, other = _standby(name=name), _standby(name=f"other {name}")
        holder.told(SeatWon(""))
        first, second = _first_probe(holder), _first_probe(other)
        assert TIMEOUT_MS <= first <= LONGEST_MS + 10
        assert LONGEST_MS <= second <= int(LONGEST_MS * (1 + JITTER)) + 10


def test_who_lost_the_seat_waits_like_the_others() -> None:
    election = _standby()
    election.told(SeatWon(""))
    election.told(SeatLost())
    assert _first_probe(election) >= LONGEST_MS


def test_who_wins_the_leaders_seat_claims_without_waiting_for_silence() -> None:
    election = _standby()
    election.told(SeatWon("a"))
    assert election.must_probe(_after(1), "a")
    assert election.may_claim(_after(2))


def test_what_the_dead_leader_appended_last_does_not_stop_that_claim() -> None:
    election = _standby()
    election.told(SeatWon("a"))
    assert election.must_probe(_after(1), "a")
    election.heard(_after(2))
    assert election.may_claim(_after(3))


def test_a_new_epoch_does() -> None:
    election = _standby()
    election.told(SeatWon("a"))
    assert election.must_probe(_after(1), "a")
    election.began(_after(2))
    assert not election.may_claim(_after(3))


def test_who_wins_another_seat_than_the_leaders_waits_for_silence() -> None:
    for former in ("", "b"):
        election = _standby()
        election.told(SeatWon(former))
        assert TIMEOUT_MS <= _first_probe(election, leader="a") <= LONGEST_MS + 10


def test_a_seat_is_looked_at_once_who_leads_later_is_not_taken_for_dead() -> None:
    election = _standby()
    election.told(SeatWon("a"))
    assert not election.must_probe(_after(1), "b")
    assert not election.must_probe(_after(2), "a")


def test_an_elector_that_gives_the_seat_again_and_again_changes_the_leader_once_in_a_time_out() -> None:
    election = _standby()
    claims: list[int] = []
    for passed in range(0, 20_000, 10):
        election.heard(_after(passed))
        election.told(SeatWon("a"))
        if election.must_probe(_after(passed), "a") and election.may_claim(_after(passed)):
            claims.append(passed)
            election.began(_after(passed))
        election.told(SeatLost())
    assert len(claims) > 2
    assert min(later - earlier for earlier, later in pairwise(claims)) >= TIMEOUT_MS


def test_a_seat_is_given_up_once_when_another_leads() -> None:
    election = _standby()
    assert not election.must_step_back()
    election.told(SeatWon("a"))
    assert election.must_step_back()
    assert not election.must_step_back()
    assert not election.must_probe(_after(1), "a")
