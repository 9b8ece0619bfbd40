r"""Local commits: the DBTM alone certifies and orders them (protocol.md section 5).

    asked --> judged --> refused
                |   \--> parked behind a pending global --> judged again when it is decided
                \--> in flight (has an Lsn) --> durable: answered

`wait_for` remembers who asked for which transaction; an answer is given once, from the fold.
"""

from collections import deque

from dbtm.admission import ADMISSION_RETRY_MS, find_backlog
from dbtm.certify import Certifier, Examined, Refusal
from dbtm.effects import Effect
from dbtm.jobs import Facts, LocalJob, StoreDesk
from dbtm.ledger import Ledger
from grit.core.errors import DATA_CODES, Code
from grit.core.fold import LIFE_MS
from grit.core.ids import Csn, LinkId, Lsn, Millis, Realm, TxnId, began_at, is_txn_id
from grit.core.limits import Limits
from grit.core.messages import CommitAsked, Declined, OutcomeAnswered, StatusAsked
from grit.core.outcome import Outcome, State, aborted
from grit.core.queries import StoreAnswer
from grit.core.steps import Send

AWAY_RETRY_MS = 200
NOTHING = Lsn(0)
ASKERS_MAX = 16
"""So many may wait for the outcome of one transaction."""


class Clock:
    """The time of a DBTM, in milliseconds. What time it is and how much has passed are two questions.

    *A leader an hour ahead dies: until that hour is over its successors see one and the same time, and no time-out would end.*

    Attributes:
        now: max(own clock, largest log time seen): by this go ages, and what is written. It may stand still for long.
        passed: What the own clock has advanced: by this go time-outs. Only differences mean anything.
    """

    def __init__(self) -> None:
        self.now = Millis(0)
        self.passed = Millis(0)
        self._own = Millis(0)

    def tick(self, own: Millis) -> None:
        """Take the own clock, which may jump back."""
        self.passed = Millis(self.passed + max(0, own - self._own))
        self._own = own
        self.see(own)

    def see(self, time: Millis) -> None:
        """Never goes back."""
        self.now = max(self.now, time)


def check_age(txid: TxnId, now: Millis) -> Refusal | None:
    """Refuse what began too long ago, or after what this clock calls possible."""
    began = began_at(txid)
    if began < now - LIFE_MS:
        return Refusal(
            Code.TIMED_OUT, f"it began {(now - began) / 1000:.0f} s ago, the longest life is {LIFE_MS // 1000} s"
        )
    if began > now + LIFE_MS:
        return Refusal(Code.CLOCK_SKEW, f"it began at {began}, here it is {now}: check the clocks")
    return None


def expired(txid: TxnId) -> Outcome:
    """Return what is said of a transaction that began so long ago that its outcome is no longer remembered."""
    return Outcome(txid, State.UNKNOWN, Code.EXPIRED.value, "it began too long ago to be remembered")


class LocalCommits:
    """The local transactions under way at a leader."""

    def __init__(
        self,
        realm: Realm,
        ledger: Ledger,
        certifier: Certifier,
        desk: StoreDesk,
        effects: list[Effect],
        clock: Clock,
        limits: Limits,
    ) -> None:
        self._realm = realm
        self._ledger = ledger
        self._certifier = certifier
        self._desk = desk
        self._effects = effects
        self._clock = clock
        self._limits = limits
        self._parked: list[LocalJob] = []
        self._judging: dict[TxnId, LocalJob] = {}
        self._waiting: dict[TxnId, list[tuple[LinkId, int]]] = {}
        self._unsettled: deque[tuple[Lsn, Outcome]] = deque()
        self._aborted: dict[TxnId, Outcome] = {}

    def asked(self, link: LinkId, asked: CommitAsked) -> None:
        """Begin to commit; a second copy of a commit is answered like a question for its status."""
        known = self.outcome_of(asked.txid)
        if known is not None:
            self._answer(link, asked.id, known)
            return
        if self.is_under_way(asked.txid):
            self.wait_for(asked.txid, link, asked.id)
            return
        backlog = self._find_backlog()
        if backlog is not None:
            self._send_away(link, asked.id, backlog)
            return
        try:
            part = self._certifier.take_part(asked.txid, asked.part)
        except ValueError as error:
            self._answer(link, asked.id, aborted(asked.txid, Code.BAD_REQUEST, str(error)))
            return
        refusal = check_age(asked.txid, self._clock.now)
        if refusal is not None:
            outcome = aborted(asked.txid, refusal.code, refusal.message)
            if refusal.code == Code.CLOCK_SKEW:
                # Its time will come, and a second copy with it: once refused is refused.
                self._keep(outcome)
            self._answer(link, asked.id, outcome)
            return
        facts = Facts(self._ledger)
        job = LocalJob(
            link, asked.id, asked.txid, asked.part, part, asked.trace, asked.origin, self._clock.passed, facts
        )
        self._judging[asked.txid] = job
        self._judge(job)

    def status(self, link: LinkId, asked: StatusAsked) -> bool:
        """Answer from the fold; True: the transaction is not known, and its refusal must be handed to the log now.

        From here on it cannot be admitted, and whoever asks waits for the refusal.
        """
        txid = asked.txid
        if not is_txn_id(txid):
            text = f"not the id of a transaction: {txid[:64]!r}"
            self._effects.append(Send(link, Declined(asked.id, Code.BAD_REQUEST.value, text)))
            return False
        outcome, ledger = self.outcome_of(txid), self._ledger
        is_unknown = False
        if outcome is None and not self.is_under_way(txid):
            if ledger.fold.is_expired(txid):
                outcome = expired(txid)
            elif txid in ledger.pending.parts or txid in ledger.undurable:
                outcome = Outcome(txid, State.RUNNING)
            elif self._is_full():
                self._send_away(link, asked.id, self._crowd())
                return False
            else:
                is_unknown = True
                ledger.refusing.add(txid)
        if outcome is not None:
            self._answer(link, asked.id, outcome)
        else:
            self.wait_for(txid, link, asked.id)
        return is_unknown

    def outcome_of(self, txid: TxnId) -> Outcome | None:
        """Return what the fold, or a refusal handed to the log, says of a transaction; None: nothing."""
        lsn = self._ledger.fold.committed.get(txid)
        if lsn is not None:
            return Outcome(txid, State.COMMITTED, lsn=lsn)
        if txid in self._ledger.fold.refused:
            return aborted(txid, Code.REFUSED, "its outcome was asked for before it came to be committed")
        return self._aborted.get(txid)

    def is_under_way(self, txid: TxnId) -> bool:
        """Tell whether the transaction is being judged, is parked, in flight, or being refused."""
        return txid in self._judging or txid in self._waiting or txid in self._ledger.refusing

    def wait_for(self, txid: TxnId, link: LinkId, request: int) -> None:
        """Answer this link too, when the outcome is known."""
        askers = self._waiting.setdefault(txid, [])
        if len(askers) < ASKERS_MAX:
            askers.append((link, request))
        else:
            text = f"{len(askers)} wait for the outcome of {txid} already"
            self._send_away(link, request, Refusal(Code.OVERLOADED, text))

    def _find_backlog(self) -> Refusal | None:
        """Return why no commit is taken now."""
        return self._crowd() if self._is_full() else find_backlog(self._realm, self._ledger, self._limits)

    def _is_full(self) -> bool:
        return len(self._judging) + len(self._waiting) >= self._limits.open_requests

    def _crowd(self) -> Refusal:
        text = f"realm {self._realm}: {self._limits.open_requests:,} commits are under way, its limit"
        return Refusal(Code.OVERLOADED, text)

    def _send_away(self, link: LinkId, request: int, why: Refusal) -> None:
        """Answer that nothing was done: the same request may be sent again."""
        self._effects.append(Send(link, Declined(request, why.code.value, why.message, ADMISSION_RETRY_MS)))

    def folded(self, committed: list[tuple[TxnId, Lsn]], refused: tuple[TxnId, ...]) -> None:
        """Answer who waited for what has become durable. `refused`: the txids of a valid record; the fold may know better.

        The fold itself is not asked for what it has just committed: after a long take-over it has forgotten already.
        """
        for txid, lsn in committed:
            self._settle(Outcome(txid, State.COMMITTED, lsn=lsn))
        for txid in refused:
            self._ledger.refusing.discard(txid)
            self._settle(self.outcome_of(txid) or expired(txid))
        tail = self._ledger.tail
        while self._unsettled and self._unsettled[0][0] <= tail:
            self._remember(self._unsettled.popleft()[1])

    def decided(self) -> None:
        """Judge again what was parked: a pending global has its outcome."""
        parked, self._parked = self._parked, []
        for job in parked:
            self._judge(job)

    def tick(self) -> None:
        """Give up what was parked for too long (its retry goes through the GTM, where age counts); forget."""
        while self._aborted and began_at(oldest := next(iter(self._aborted))) < self._clock.now - LIFE_MS:
            del self._aborted[oldest]
        late = [job for job in self._parked if self._clock.passed - job.began >= self._limits.park_ms]
        if late:
            self._parked = [job for job in self._parked if job not in late]
            for job in late:
                self._finish(job, self._crowded(job))

    def fence(self) -> None:
        """Answer what was in flight and is not in the fold: it is void for ever. Call when serving again."""
        for txid in [txid for txid in self._waiting if txid not in self._judging]:
            if txid in self._ledger.refusing:
                # Neither refused nor known: whoever asked must ask again, a late commit of it may be admitted.
                self._decline(self._waiting.pop(txid), "")
            else:
                self._remember(aborted(txid, Code.FENCED, f"realm {self._realm} changed hands"))
        self._ledger.refusing.clear()

    def drop(self, leader: str) -> None:
        """Give back what has no Lsn yet: nothing has happened to it. What is in flight waits for the fold."""
        for _, outcome in self._unsettled:
            self._remember(aborted(outcome.txid, Code.FENCED, f"realm {self._realm} changed hands"))
        self._unsettled.clear()
        for job in list(self._judging.values()):
            job.facts.done()
            self._decline([(job.link, job.id), *self._waiting.pop(job.txid, [])], leader)
        self._judging.clear()
        self._parked.clear()

    def count(self) -> dict[str, int]:
        """Return how many are being judged, parked, in flight, and remembered as aborted."""
        return {
            "judging": len(self._judging),
            "parked": len(self._parked),
            "waiting": len(self._waiting),
            "aborted": len(self._aborted),
        }

    def _judge(self, job: LocalJob) -> None:
        examined = self._certifier.examine(job.part, job.facts.newest, job.facts.rows_of)
        if examined.missing:
            self._desk.ask(
                job.facts.ask(examined.missing),
                lambda answer: self._told(job, answer),
                lambda reason: self._away(job, reason),
            )
            return
        refusal = self._certifier.find_stale(job.part)
        if refusal is None and self._is_blocked(examined):
            self._park(job)
            return
        refusal = refusal or self._certifier.find_broken(examined, job.facts.rows_of)
        refusal = refusal or self._certifier.find_unbounded(examined, self._ledger.newest)
        if refusal is not None and refusal.code == Code.CONTENTION:
            self._ledger.pending.want(self._ledger.pending.incrementers_of_same(examined.plans.values()))
            self._park(job)
            return
        if refusal is not None:
            # With its age the retry goes through the GTM, where the oldest wins: else fresh locals could beat it for ever.
            outcome = aborted(job.txid, refusal.code, refusal.message, age=job.began, conflict=refusal.conflict)
            self._finish(job, outcome, after=self._ledger.newest if refusal.code in DATA_CODES else Lsn(0))
            return
        self._admit(job, examined)

    def _told(self, job: LocalJob, answer: StoreAnswer) -> None:
        job.facts.told(answer)
        self._judge(job)

    def _is_blocked(self, examined: Examined) -> bool:
        """g: read-write, write-read or write-write with a pending global."""
        pending = self._ledger.pending
        if not pending.parts:
            return False
        reads = [*examined.part.reads, *examined.derived_reads()]
        plans = examined.plans.values()
        blockers = [
            *pending.writers_that_disturb(reads),
            *pending.readers_disturbed_by(plans),
            *pending.writers_of_same(plans),
        ]
        pending.want(blockers)
        return bool(blockers)

    def _park(self, job: LocalJob) -> None:
        if len(self._parked) >= self._limits.parked_per_key:
            self._finish(job, self._crowded(job))
        else:
            self._parked.append(job)

    def _crowded(self, job: LocalJob) -> Outcome:
        message = f"realm {self._realm}: undecided global transactions were in the way for too long"
        return aborted(job.txid, Code.CONTENTION, message, age=job.began)

    def _admit(self, job: LocalJob, examined: Examined) -> None:
        self._ledger.assign(
            examined,
            self._clock.now,
            txid=job.txid,
            csn=Csn(0),
            encoded=job.encoded,
            trace=job.trace,
            origin=job.origin,
        )
        job.facts.done()
        del self._judging[job.txid]
        self._waiting.setdefault(job.txid, []).append((job.link, job.id))

    def _finish(self, job: LocalJob, outcome: Outcome, after: Lsn = NOTHING) -> None:
        """Answer a refusal; one that rests on writes in flight, only when those are durable."""
        job.facts.done()
        del self._judging[job.txid]
        self._waiting.setdefault(job.txid, []).append((job.link, job.id))
        if after > self._ledger.tail:
            self._unsettled.append((after, outcome))
        else:
            self._remember(outcome)

    def _remember(self, outcome: Outcome) -> None:
        """Answer an abort, now and whenever it is asked for again."""
        self._keep(outcome)
        self._settle(outcome)

    def _keep(self, outcome: Outcome) -> None:
        """Remember an abort for the life of its transaction: a second copy cannot commit beside the first."""
        self._aborted[outcome.txid] = outcome
        if len(self._aborted) > self._limits.aborts_remembered:
            del self._aborted[next(iter(self._aborted))]

    def _away(self, job: LocalJob, reason: str) -> None:
        job.facts.done()
        del self._judging[job.txid]
        message = f"the database of realm {self._realm} does not answer: {reason}"
        for link, request in ((job.link, job.id), *self._waiting.pop(job.txid, [])):
            self._effects.append(Send(link, Declined(request, Code.OVERLOADED.value, message, AWAY_RETRY_MS)))

    def _settle(self, outcome: Outcome) -> None:
        for link, request in self._waiting.pop(outcome.txid, ()):
            self._answer(link, request, outcome)

    def _decline(self, askers: list[tuple[LinkId, int]], leader: str) -> None:
        message = f"realm {self._realm} has no leader now"
        for link, request in askers:
            self._effects.append(Send(link, Declined(request, Code.NO_LEADER.value, message, AWAY_RETRY_MS, leader)))

    def _answer(self, link: LinkId, request: int, outcome: Outcome) -> None:
        self._effects.append(Send(link, OutcomeAnswered(request, outcome, self._clock.now)))
