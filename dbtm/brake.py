"""The brake: a realm whose database falls behind takes new work more slowly, and only then refuses it (protocol.md section 9).

    behind by less than half of the limit --> at once
    up to the limit                       --> held, the longer the further behind
    beyond                                --> at once: admission refuses it

Clients in a closed loop are slowed to the pace of the player, so most never see a refusal. What is held has not been
looked at: it comes back as if it had just arrived.
"""

from collections import deque

from dbtm.admission import count_behind
from dbtm.ledger import Ledger
from grit.core.ids import LinkId, Millis
from grit.core.limits import Limits
from grit.core.messages import CommitAsked, VoteAsked

HOLD_MS_MAX = 200
"""Just below the limit a commit or a round waits so long: well within the time-out of a vote."""

Work = CommitAsked | VoteAsked


class Brake:
    """Commits and rounds that wait, in the order in which they came."""

    def __init__(self, ledger: Ledger, limits: Limits) -> None:
        self._ledger = ledger
        self._limits = limits
        self._held: deque[tuple[Millis, LinkId, Work]] = deque()

    def hold(self, now: Millis, link: LinkId, work: Work) -> bool:
        """Keep the work back, if the database is far enough behind; False: it is to be done now."""
        pause = self._pause_ms()
        if not pause or len(self._held) >= self._limits.open_requests:
            return False
        self._held.append((Millis(now + pause), link, work))
        return True

    def release(self, now: Millis) -> list[tuple[LinkId, Work]]:
        """Return what has waited for long enough, and what came before it."""
        released: list[tuple[LinkId, Work]] = []
        while self._held and self._held[0][0] <= now:
            released.append(self._held.popleft()[1:])
        return released

    def count(self) -> int:
        """Return how much is held."""
        return len(self._held)

    def _pause_ms(self) -> int:
        limit = self._limits.lag_entries
        behind = count_behind(self._ledger)
        if behind > limit:
            return 0
        return max(0, HOLD_MS_MAX * (2 * behind - limit) // limit)
