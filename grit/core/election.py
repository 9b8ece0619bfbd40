r"""When a standby may claim: it has seen no sign of life for the time-out, and a read of the log confirms that.

    watching --time-out--> probing: the log is read to its end --a sign of life--> watching
                                        \--none--> claim: the caller appends its epoch

Nothing here is needed for safety, which rests on epochs in the log alone; it decides only who tries, and when.

An **external elector** may decide who tries first (docs/adr/0022). Who holds its seat has the plain time-out, all others half
as much again. Who wins the seat of the process that leads, by the log, takes that process for dead: it reads the log to its
end and claims, without waiting for silence. That is done once for each win, and once in a time-out at most, so an elector
that lies can change the leader so often and no oftener; one that is stuck costs half a time-out. Who holds the seat while
another leads gives it up: the seat goes where the leadership is, and its next loss is that of the leader.

A claim that does not lead to a leadership that renews twice doubles the time-out of the next, so that standbys on
a slow log do not claim in turn for ever. Jitter is drawn from the leader's id and the number of its claims: no
chance inside (protocol.md section 7).
"""

import zlib

from grit.core.ids import LeaderId, Millis
from grit.core.steps import SeatLost, SeatWon

TIMEOUT_MS_MAX = 30_000
RENEWALS_THAT_PROVE = 2
"""A leader that renewed so often is one: the time-out is the plain one again."""
JITTER = 0.5
"""The time-out is longer by up to this share of it."""
SECOND_CHOICE = 1 + JITTER
"""The time-out is longer by this factor for whom the elector does not prefer: not before the last of those preferred."""


class Election:
    """The patience of one process with the leader of one log.

    Args:
        leader_id: Of this process; jitter is drawn from it.
        timeout_ms: Without a sign of life for so long, the log is probed.
        has_elector: Another says who tries first: nobody does before he is told that he holds the seat.
    """

    def __init__(self, leader_id: LeaderId, timeout_ms: int, *, has_elector: bool = False) -> None:
        self._leader_id = leader_id
        self._timeout_ms = timeout_ms
        self._factor = 1
        self._claims = 0
        self._is_unproven = False
        self._signs = 0
        self._heard_at: Millis | None = None
        self._probing_since: Millis | None = None
        self._has_elector = has_elector
        self._holds_seat = False
        self._former: str | None = None
        self._is_vacant = False
        self._vacant_again_at = Millis(0)

    def told(self, event: SeatWon | SeatLost) -> None:
        """The elector has spoken."""
        self._holds_seat = isinstance(event, SeatWon)
        self._former = event.former if isinstance(event, SeatWon) else None

    def must_step_back(self) -> bool:
        """Another leads: tell, once, that there is a seat to give up."""
        had, self._holds_seat = self._holds_seat, False
        self._former = None
        return had

    def heard(self, now: Millis) -> None:
        """A valid record of the current epoch was folded: its leader lived when it was appended."""
        self._heard_at = now
        if not self._is_vacant:  # else the elector knows more: what is folded now was appended before the death
            self._probing_since = None
        self._signs += 1
        if self._signs >= RENEWALS_THAT_PROVE:
            self._factor, self._is_unproven = 1, False

    def began(self, now: Millis) -> None:
        """A new epoch was folded: somebody leads, and has to prove it."""
        self._heard_at = now
        self._probing_since, self._is_vacant = None, False
        self._signs = 0  # those of the leader before prove nothing about this one

    def resigned(self, now: Millis) -> None:
        """The leader gave up: probe at once, each standby after a little of its own."""
        self._heard_at = Millis(now - self._due_ms() + int(self._share() * RESIGN_SPREAD_MS))
        self._probing_since = None

    def must_probe(self, now: Millis, leader: str = "") -> bool:
        """Tell, once, that the log has to be read to its end now; `leader`: the address that its newest epoch carries."""
        if self._heard_at is None:
            self._heard_at = now
        if self._probing_since is not None:
            return False
        self._is_vacant = self._takes_for_dead(leader, now)
        if not self._is_vacant and now - self._heard_at < self._due_ms():
            return False
        self._probing_since = now
        return True

    def may_claim(self, now: Millis) -> bool:
        """The log was read to its end: tell whether to claim. The answer yes counts as a claim."""
        if self._probing_since is None:
            return False
        self._probing_since, self._is_vacant = None, False
        if self._is_unproven:
            self._factor *= 2
        self._claims += 1
        self._is_unproven = True
        self._heard_at = now
        return True

    def stay_out(self, now: Millis) -> None:
        """The take-over failed: wait for a whole time-out before the next try."""
        self._heard_at = now
        self._probing_since, self._is_vacant = None, False

    def _takes_for_dead(self, leader: str, now: Millis) -> bool:
        """Tell whether the seat that was won, and not looked at yet, was the leader's."""
        former, self._former = self._former, None
        if not former or former != leader or now < self._vacant_again_at:
            return False
        self._vacant_again_at = Millis(now + self._due_ms())
        return True

    def _due_ms(self) -> int:
        plain = min(self._timeout_ms * self._factor, TIMEOUT_MS_MAX)
        order = 1.0 if self._holds_seat or not self._has_elector else SECOND_CHOICE
        return int(plain * order * (1 + JITTER * self._share()))

    def _share(self) -> float:
        """A number from 0 to 1 that differs by process and by claim."""
        return zlib.crc32(f"{self._leader_id}/{self._claims}".encode()) / 0xFFFF_FFFF


RESIGN_SPREAD_MS = 100
"""After a RESIGN standbys claim within this time, each at its own moment."""
