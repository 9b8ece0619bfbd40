r"""Strict reads without a commit: are they the newest, and does this DBTM lead? See protocol.md section 8.

    asked --> checked --> overwritten: answered
                |   \---> held: a write that touches them is undecided or in flight --> checked again when it is known
                \--> clean: waits for a record of this leader whose append begins now --> rides on it --> folded: answered

A leader that was deposed and has not read so in its log finds all reads clean; but no record of its epoch is valid any
more. *The end of the log proves nothing, nor does a record that was under way before the check: a foreign epoch may
lie right behind it.* One record answers for all that were checked before it was handed to the log.
"""

from collections import deque
from collections.abc import Sequence

import msgspec

from dbtm.effects import Effect
from dbtm.history import Change, conflict_of
from dbtm.ledger import Ledger
from dbtm.locals import AWAY_RETRY_MS, Clock
from grit.core.errors import Code
from grit.core.ids import Collection, Key, LinkId, Lsn, Millis, Realm
from grit.core.limits import Limits
from grit.core.messages import Declined, ValidateAnswered, ValidateAsked
from grit.core.outcome import Conflict
from grit.core.parts import KeyRead, PredicateRead, Read, Write
from grit.core.steps import Send


class ValidateJob(msgspec.Struct, frozen=True, eq=False):
    """One question. `since`: when it came, by this DBTM's clock."""

    link: LinkId
    asked: ValidateAsked
    since: Millis


class Confirming:
    """The validations under way at a leader."""

    def __init__(self, realm: Realm, ledger: Ledger, effects: list[Effect], clock: Clock, limits: Limits) -> None:
        self._realm = realm
        self._ledger = ledger
        self._effects = effects
        self._clock = clock
        self._limits = limits
        self._held: list[ValidateJob] = []
        self._clean: list[ValidateJob] = []
        self._riding: deque[list[ValidateJob]] = deque()

    @property
    def is_record_wanted(self) -> bool:
        """Tell whether somebody waits for a record that has not been handed to the log."""
        return bool(self._clean)

    def count(self) -> int:
        """Return how many are under way."""
        return len(self._held) + len(self._clean) + sum(len(jobs) for jobs in self._riding)

    def asked(self, link: LinkId, asked: ValidateAsked) -> None:
        """Begin."""
        if self.count() >= self._limits.open_requests:
            text = f"realm {self._realm}: {self.count():,} validations are under way, its limit"
            self._effects.append(Send(link, Declined(asked.id, Code.OVERLOADED.value, text, AWAY_RETRY_MS)))
            return
        self._check(ValidateJob(link, asked, self._clock.passed))

    def look_again(self) -> None:
        """Check what was held: an undecided part has its outcome, a write is durable, or time has passed."""
        held, self._held = self._held, []
        for job in held:
            self._check(job)

    def handed(self) -> None:
        """A record of this leader is handed to the log now: call for each, in order."""
        self._riding.append(self._clean)
        self._clean = []

    def confirmed(self) -> None:
        """The oldest of those records is folded, and valid: this DBTM led after every check that rides on it."""
        if self._riding:
            for job in self._riding.popleft():
                self._answer(job)

    def decline_all(self, message: str, leader: str) -> None:
        """Give everything back, unanswered: this DBTM does not lead any more, or is not sure."""
        for job in (*self._held, *self._clean, *(job for jobs in self._riding for job in jobs)):
            declined = Declined(job.asked.id, Code.NO_LEADER.value, message, AWAY_RETRY_MS, leader)
            self._effects.append(Send(job.link, declined))
        self._held, self._clean = [], []
        self._riding.clear()

    def _check(self, job: ValidateJob) -> None:
        asked, ledger = job.asked, self._ledger
        if asked.position < ledger.history.floor:
            self._answer(job, too_old=True)
            return
        found = ledger.history.find_stale_read(asked.reads, asked.position, ledger.tail)
        if found is not None:
            self._answer(job, conflict_of(*found, self._realm, asked.position))
            return
        undecided = ledger.pending.writers_that_disturb(asked.reads)
        ledger.pending.want(undecided)
        if not undecided and self._found_in_flight(asked) is None:
            self._clean.append(job)
        elif self._clock.passed - job.since < self._limits.park_ms:
            self._held.append(job)
        else:
            self._answer(job, self._undecided(asked))

    def _found_in_flight(self, asked: ValidateAsked) -> tuple[Read, Change] | None:
        """Return a read that a write in flight has changed, with that write."""
        ledger = self._ledger
        if ledger.newest == ledger.tail:
            return None
        return ledger.history.find_stale_read(asked.reads, Lsn(max(asked.position, ledger.tail)))

    def _undecided(self, asked: ValidateAsked) -> Conflict:
        """Name a write that touches the reads and has no outcome yet."""
        found = self._found_in_flight(asked)
        if found is not None:
            return msgspec.structs.replace(conflict_of(*found, self._realm, asked.position), lsn=Lsn(0))
        pending = self._ledger.pending
        read, txid = next((read, txid) for read in asked.reads for txid in pending.writers_that_disturb((read,)))
        part = pending.parts[txid]
        key = read.key if isinstance(read, KeyRead) else _first_key(part.writes, read.collection)
        return Conflict(
            self._realm,
            read.collection,
            key,
            winner=txid,
            origin=part.origin,
            position=asked.position,
            predicate=isinstance(read, PredicateRead),
        )

    def _answer(self, job: ValidateJob, conflict: Conflict | None = None, *, too_old: bool = False) -> None:
        answer = ValidateAnswered(job.asked.id, conflict, too_old, self._clock.now)
        self._effects.append(Send(job.link, answer))


def _first_key(writes: Sequence[Write], collection: Collection) -> Key:
    return next(write.key for write in writes if write.collection == collection)
