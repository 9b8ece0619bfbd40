"""Reads: rows exact at the durable tail, from a database that may lag (protocol.md section 4).

A leader answers them, and a standby just as well: it has the same fold, only later, and the answer says where it is exact.
A read within a cut is answered at the newest position that the cut allows, which may lie before the tail.

    asked -> [held: a key of it has a write that is undecided or in flight] -> [waits: the asked position is above the tail]
          -> pin, look into the database -> [waits: the database is ahead of the tail] -> merge, answer

A read whose keys are all among the newest images never goes to the database.
"""

from collections.abc import Callable

import msgspec

from dbtm.effects import Effect
from dbtm.freshness import Freshness, Look
from dbtm.history import conflict_of
from dbtm.jobs import StoreDesk
from dbtm.ledger import Ledger
from dbtm.merging import merged, widened
from grit.core.errors import Code
from grit.core.ids import Collection, Csn, Key, LinkId, Lsn, Millis, Realm, TxnId
from grit.core.limits import Limits
from grit.core.messages import Declined, ExtendAnswered, ExtendAsked, ReadAnswered, ReadAsked, Within
from grit.core.parts import KeyRead, PredicateRead, Read
from grit.core.queries import FindRows, GetRows, Query, StoreAnswer
from grit.core.steps import GTL, CatchUp, Send
from grit.core.values import encode_record

HOLD_MS = 100
"""A read waits so long for a write of what it reads that is not durable yet; then it takes the old value."""
AWAY_RETRY_MS = 200
BEHIND_MS = 2_000
"""A question waits so long for this replica to fold as far as it speaks of; another replica may be further."""

NEVER = Look(1 << 62, 1 << 62)
"""A look that has reached no end."""

Rows = tuple[tuple[bytes, bytes], ...]


class ReadJob(msgspec.Struct, eq=False):
    """One read under way.

    `extra`: how many more rows than the overlay demands a limited query asks for; `limits`: what was asked
    of the database, query by query; `look`: of both logs, when this replica was not known to be fresh.
    """

    link: LinkId
    asked: ReadAsked
    since: Millis
    pin: Lsn | None = None
    extra: int = 0
    limits: tuple[int | None, ...] = ()
    look: Look | None = None
    answer: StoreAnswer | None = None


class ExtendJob(msgspec.Struct, frozen=True, eq=False):
    """A question about reads at a position that this replica has not folded yet."""

    link: LinkId
    asked: ExtendAsked
    since: Millis


class Reading:
    """All reads under way at one DBTM.

    `through` tells up to which Csn the DBTL holds every global of this realm, `leader` who leads, if somebody else does.
    """

    def __init__(
        self,
        realm: Realm,
        ledger: Ledger,
        desk: StoreDesk,
        effects: list[Effect],
        limits: Limits,
        through: Callable[[], Csn],
        leader: Callable[[], str],
        freshness: Freshness,
    ) -> None:
        self._realm = realm
        self._ledger = ledger
        self._desk = desk
        self._effects = effects
        self._limits = limits
        self._through = through
        self._leader = leader
        self._freshness = freshness
        self._held: list[ReadJob] = []
        self._behind: list[ReadJob] = []
        self._extends: list[ExtendJob] = []
        self._looking: dict[ReadJob, None] = {}
        self._now = Millis(0)

    def asked(self, now: Millis, link: LinkId, asked: ReadAsked) -> None:
        """Begin a read."""
        self._now = max(self._now, now)
        if self._is_full(link, asked.id):
            return
        job = ReadJob(link, asked, now)
        if self._meets_undecided(job):
            self._held.append(job)
        else:
            self._start(job)

    def count(self) -> int:
        """Return how many reads are under way."""
        return len(self._held) + len(self._behind) + len(self._extends) + len(self._looking)

    def _is_full(self, link: LinkId, request: int) -> bool:
        if self.count() < self._limits.open_requests:
            return False
        text = f"realm {self._realm}: {self.count():,} reads are under way, its limit"
        self._effects.append(Send(link, Declined(request, Code.OVERLOADED.value, text, AWAY_RETRY_MS)))
        return True

    def closed(self, link: LinkId) -> None:
        """A link is down: nobody waits for what was asked over it."""
        self._held = [job for job in self._held if job.link != link]
        self._extends = [job for job in self._extends if job.link != link]
        for job in [job for job in self._behind if job.link == link]:
            self._unpin(job)
            self._behind.remove(job)

    def extend(self, now: Millis, link: LinkId, asked: ExtendAsked) -> None:
        """Answer whether reads still hold at a later position, once that is folded here."""
        if asked.upto <= self._ledger.tail:
            self._extend(link, asked)
        elif not self._is_full(link, asked.id):
            self._extends.append(ExtendJob(link, asked, now))

    def _extend(self, link: LinkId, asked: ExtendAsked) -> None:
        history = self._ledger.history
        if asked.since < history.floor:
            self._effects.append(Send(link, ExtendAnswered(asked.id, too_old=True)))
            return
        found = history.find_stale_read(asked.reads, asked.since, asked.upto)
        conflict = None if found is None else conflict_of(*found, self._realm, asked.since)
        self._effects.append(Send(link, ExtendAnswered(asked.id, conflict)))

    def decided(self) -> None:
        """Look again at what was held: an undecided part has its outcome, or a write is durable."""
        held, self._held = self._held, []
        for job in held:
            if self._meets_undecided(job):
                self._held.append(job)
            else:
                self._start(job)

    def folded(self) -> None:
        """Look again at what waited for the tail, for a Csn, or for a write in flight."""
        self.decided()
        behind, self._behind = self._behind, []
        for job in behind:
            if job.answer is None:
                self._start(job)
            else:
                self._merge(job, job.answer)
        extends, self._extends = self._extends, []
        for one in extends:
            self.extend(one.since, one.link, one.asked)

    def tick(self, now: Millis) -> None:
        """Let go what was held for too long."""
        self._now = max(self._now, now)
        late = [job for job in self._held if now - job.since >= HOLD_MS]
        if late:
            self._held = [job for job in self._held if now - job.since < HOLD_MS]
            for job in late:
                self._start(job)
        self._leave_behind(now)

    def _leave_behind(self, now: Millis) -> None:
        """Give back what speaks of positions that do not come: another replica may have them."""
        for job in [job for job in self._behind if now - job.since >= BEHIND_MS]:
            self._behind.remove(job)
            self._unpin(job)
            self._lag(job.link, job.asked.id, self._missed(job))
        for one in [one for one in self._extends if now - one.since >= BEHIND_MS]:
            self._extends.remove(one)
            self._lag(one.link, one.asked.id, f"Lsn {one.asked.upto:,}")

    def _missed(self, job: ReadJob) -> str:
        """Return what a read waits for."""
        ahead = job.answer and job.answer.after
        position = ahead.lsn if ahead else job.asked.position
        within = job.asked.within
        if position > self._ledger.tail or within is None:
            return f"Lsn {position:,}"
        if within.fresh and not self._is_fresh(job, within):
            return "what is known to be as new as asked for"
        return f"Csn {within.low:,}"

    def _lag(self, link: LinkId, request: int, what: str) -> None:
        at = f"it is at Lsn {self._ledger.tail:,}, Csn {self._through():,}"
        text = f"realm {self._realm} has not reached {what} in {BEHIND_MS / 1000:g} s: {at}"
        self._effects.append(Send(link, Declined(request, Code.LAGGING.value, text, AWAY_RETRY_MS)))

    def decline_all(self, code: Code, message: str, leader: str) -> None:
        """Give back every read, those at the database too: the owner of the desk drops their looks."""
        jobs = (*self._held, *self._behind, *self._looking)
        for job in jobs:
            self._unpin(job)
        asked = [*((job.link, job.asked.id) for job in jobs), *((one.link, one.asked.id) for one in self._extends)]
        for link, request in asked:
            self._effects.append(Send(link, Declined(request, code.value, message, leader=leader)))
        self._held, self._behind, self._extends, self._looking = [], [], [], {}

    def _meets_undecided(self, job: ReadJob) -> bool:
        """Tell whether a key that is read has a write that is undecided, or in flight: the old value would not last."""
        if job.asked.within is not None:
            return False
        pending, is_in_flight = self._ledger.pending, False
        writers: list[TxnId] = []
        for query in job.asked.queries:
            for key in query.keys if isinstance(query, GetRows) else ():
                writers.extend(pending.writers_of(query.collection, key))
                is_in_flight = is_in_flight or self._is_in_flight(query.collection, key)
        pending.want(writers)
        return bool(writers) or is_in_flight

    def _is_in_flight(self, collection: Collection, key: Key) -> bool:
        changes = self._ledger.history.changes_of(collection, key)
        return bool(changes) and changes[-1].lsn > self._ledger.tail

    def _start(self, job: ReadJob) -> None:
        if self._is_behind(job):
            self._behind.append(job)
            return
        position = self._place(job.asked)
        rows = [self._known(query, position) for query in job.asked.queries]
        known = [found for found in rows if found is not None]
        if len(known) == len(rows):
            self._respond(job, position, tuple(known))
        else:
            job.pin = self._ledger.overlay.pin()
            self._look(job)

    def _is_behind(self, job: ReadJob) -> bool:
        """Tell whether this replica has not folded as far as a question speaks of."""
        asked = job.asked
        within = asked.within
        if asked.position > self._ledger.tail:
            return True
        if within is None or within.is_placed:
            return False
        if within.fresh and not self._is_fresh(job, within):
            return True
        if within.low <= self._through():
            return False
        self._effects.append(CatchUp(GTL))
        return True

    def _is_fresh(self, job: ReadJob, within: Within) -> bool:
        """Tell whether everything that was committed before that time is in the log of this realm; look, if that is not known."""
        if job.look is None and not self._freshness.is_shown(within.fresh, NEVER):
            job.look = self._freshness.look()
        return (
            self._freshness.is_shown(within.fresh, job.look or NEVER)
            and self._freshness.csn_before(within.fresh) <= self._through()
        )

    def _place(self, asked: ReadAsked) -> Lsn:
        """Return the position at which to answer, once what is asked for is folded."""
        ledger, within = self._ledger, asked.within
        if within is None:
            return ledger.tail
        place = asked.position if within.is_placed else ledger.cuts.newest_position(within.high, ledger.tail)
        return place if place >= self._oldest(asked, within) else ledger.tail

    def _oldest(self, asked: ReadAsked, within: Within) -> Lsn:
        """Return the oldest position that a question allows and this replica remembers."""
        fresh = self._freshness.lsn_before(within.fresh) if self._is_freshness_wanted(within) else Lsn(0)
        return max(asked.position, fresh, self._ledger.history.floor, self._ledger.cuts.floor)

    def _least(self, asked: ReadAsked, within: Within) -> Csn:
        """Return the lowest Csn that a question allows and this replica remembers."""
        fresh = self._freshness.csn_before(within.fresh) if self._is_freshness_wanted(within) else Csn(0)
        return max(fresh, self._ledger.cuts.csn_at(self._oldest(asked, within)))

    def _is_freshness_wanted(self, within: Within) -> bool:
        return within.fresh > 0 and not within.is_placed

    def _known(self, query: Query, position: Lsn) -> Rows | None:
        """Answer a query from the images of a position; None: the database must be asked."""
        if isinstance(query, FindRows):
            return None
        out: list[tuple[bytes, bytes]] = []
        for key in query.keys:
            image = self._ledger.images.durable(query.collection, key, position)
            if isinstance(image, msgspec.UnsetType):
                return None
            if image is not None:
                out.append((key, image))
        return tuple(out)

    def _look(self, job: ReadJob) -> None:
        assert job.pin is not None
        place = self._place(job.asked)
        queries = tuple(widened(self._ledger, query, job.pin, place, job.extra) for query in job.asked.queries)
        job.limits = tuple(query.limit if isinstance(query, FindRows) else None for query in queries)
        self._looking[job] = None
        self._desk.ask(queries, lambda answer: self._looked(job, answer), lambda reason: self._away(job, reason))

    def _looked(self, job: ReadJob, answer: StoreAnswer) -> None:
        del self._looking[job]
        self._merge(job, answer)

    def _merge(self, job: ReadJob, answer: StoreAnswer) -> None:
        assert job.pin is not None
        if answer.after is not None and answer.after.lsn > self._ledger.tail:
            job.answer = answer
            self._behind.append(job)
            return
        position = self._place(job.asked)
        out: list[Rows] = []
        for query, rows, limit in zip(job.asked.queries, answer.rows, job.limits, strict=True):
            is_cut = bool(rows) and limit is not None and len(rows) >= limit
            found = merged(self._ledger, query, rows, job.pin, position, cut=is_cut)
            if found is None:
                job.extra, job.answer = 2 * job.extra + len(rows), None
                self._look(job)
                return
            out.append(tuple((key, encode_record(row)) for key, row in found))
        self._keep(job, answer)
        self._unpin(job)
        self._respond(job, position, tuple(out))

    def _keep(self, job: ReadJob, answer: StoreAnswer) -> None:
        """Keep what was read by key among the images, brought up to date."""
        assert job.pin is not None
        for query, rows in zip(job.asked.queries, answer.rows, strict=True):
            if isinstance(query, FindRows):
                continue
            stored = dict(rows)
            for key in query.keys:
                if isinstance(self._ledger.images.newest(query.collection, key), msgspec.UnsetType):
                    overlaid = self._ledger.overlay.get(query.collection, key)
                    row = stored.get(key)
                    image: bytes | None = None if row is None else encode_record(row)
                    if overlaid is not None and overlaid[0] > job.pin:
                        image = overlaid[1]
                    self._ledger.images.note(query.collection, key, image)

    def _respond(self, job: ReadJob, position: Lsn, rows: tuple[Rows, ...]) -> None:
        asked, cuts = job.asked, self._ledger.cuts
        now, low, leader = max(self._now, self._ledger.fold.now), cuts.csn_at(position), self._leader()
        if asked.within is None:
            exact_from = self._exact_from(asked)
            answer = ReadAnswered(asked.id, position, exact_from, rows, now, low, leader=leader)
        else:
            high, least = cuts.last_csn_at(position, self._through()), self._least(asked, asked.within)
            answer = ReadAnswered(asked.id, position, position, rows, now, low, high, least)
        self._effects.append(Send(job.link, answer))

    def _exact_from(self, asked: ReadAsked) -> Lsn:
        """Return the asked position when the answer was true there already, else the tail.

        At position 0 it is a first read, which does not care, or there was nothing when the first one came.
        """
        history, tail = self._ledger.history, self._ledger.tail
        if asked.position == 0 or asked.position < history.floor:
            return tail
        reads: list[Read] = [read for query in asked.queries for read in _reads_of(query)]
        stale = history.find_stale_read(reads, asked.position, tail)
        return asked.position if stale is None else tail

    def _away(self, job: ReadJob, reason: str) -> None:
        del self._looking[job]
        self._unpin(job)
        message = f"the database of realm {self._realm} does not answer: {reason}"
        declined = Declined(job.asked.id, Code.OVERLOADED.value, message, retry_after_ms=AWAY_RETRY_MS)
        self._effects.append(Send(job.link, declined))

    def _unpin(self, job: ReadJob) -> None:
        if job.pin is not None:
            self._ledger.overlay.unpin(job.pin)
            job.pin = None


def _reads_of(query: Query) -> list[Read]:
    """Return a query as reads of everything that it may return."""
    if isinstance(query, GetRows):
        return [KeyRead(query.collection, key) for key in query.keys]
    return [PredicateRead(query.collection, query.where)]
