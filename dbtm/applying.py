"""Who waits until the database has something: answered when the player is known to have applied it (ack = applied).

Asks the database for its position every few milliseconds for as long as somebody waits, and no longer than a while: a
commit stands, whether its player runs or not. Any replica can answer, once its own log holds what is asked for.
"""

import msgspec

from dbtm.effects import Effect
from dbtm.jobs import StoreDesk
from dbtm.ledger import Ledger
from grit.core.errors import Code
from grit.core.ids import LinkId, Lsn, Millis, Realm
from grit.core.limits import Limits
from grit.core.messages import AppliedAnswered, AppliedAsked, Declined
from grit.core.queries import StoreAnswer
from grit.core.steps import Send

POLL_MS = 10
APPLY_MS = 10_000
"""Nobody is waited for longer: the home has given up long before."""
RETRY_MS = 200


class ApplyJob(msgspec.Struct, frozen=True, eq=False):
    """One question, and when it came."""

    link: LinkId
    asked: AppliedAsked
    since: Millis


class Applying:
    """The questions of one replica."""

    def __init__(self, realm: Realm, ledger: Ledger, desk: StoreDesk, effects: list[Effect], limits: Limits) -> None:
        self._realm = realm
        self._ledger = ledger
        self._desk = desk
        self._effects = effects
        self._limits = limits
        self._jobs: list[ApplyJob] = []
        self._polled = Millis(0)
        self._is_polling = False

    def count(self) -> int:
        """Return how many wait."""
        return len(self._jobs)

    def asked(self, now: Millis, link: LinkId, asked: AppliedAsked) -> None:
        """Take a question."""
        if self.count() >= self._limits.open_requests:
            text = f"realm {self._realm}: {self.count():,} wait for its database, its limit"
            self._effects.append(Send(link, Declined(asked.id, Code.OVERLOADED.value, text, RETRY_MS)))
            return
        self._jobs.append(ApplyJob(link, asked, now))
        self._look()

    def closed(self, link: LinkId) -> None:
        """A link is down: nobody waits for what was asked over it."""
        self._jobs = [job for job in self._jobs if job.link != link]

    def tick(self, now: Millis) -> None:
        """Answer what has come, give up what is too old, ask the database again."""
        self._look()
        self._jobs = [job for job in self._jobs if now - job.since < APPLY_MS]
        if self._jobs and not self._is_polling and now - self._polled >= POLL_MS:
            self._polled, self._is_polling = now, True
            self._desk.ask((), self._told, self._told)

    def drop(self) -> None:
        """Forget the look that is under way: the owner of the desk drops it."""
        self._is_polling = False

    def _told(self, _: StoreAnswer | str) -> None:
        self._is_polling = False

    def _look(self) -> None:
        waiting: list[ApplyJob] = []
        for job in self._jobs:
            lsn = self._lsn_of(job.asked)
            if lsn is not None and lsn <= self._ledger.overlay.applied:
                self._effects.append(Send(job.link, AppliedAnswered(job.asked.id, lsn)))
            else:
                waiting.append(job)
        self._jobs = waiting

    def _lsn_of(self, asked: AppliedAsked) -> Lsn | None:
        """Return what the database must have; None: it is not in the log of this replica yet."""
        if asked.lsn:
            return asked.lsn
        cuts = self._ledger.cuts
        return cuts.lsn_of(asked.csn) if cuts.csn >= asked.csn else None
