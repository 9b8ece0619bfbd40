r"""Votes on global transactions, and their outcomes (protocol.md section 6).

    VOTE --> certified: pending --> decided: an Lsn, in Csn order | gone
                 \--> refused

An outcome is known only (a) by the push of the GTM that asked, (b) by the fold of the GTL: its entry, a later
`GTM_EPOCH`, a `REFUSED`, or this realm's own later `FENCE`. A vote that was given is never timed out.

Both ways deliver decisions of this realm in Csn order; `seen` is the Csn up to which all are taken, and a
decision is taken only when its `prev_csn` is. A push that leaves a hole makes the DBTM read the GTL.
"""

from collections import deque
from collections.abc import Iterable

import msgspec

from dbtm.admission import find_vote_backlog
from dbtm.certify import Certifier, Examined, Refusal
from dbtm.constraints import Planned, plan_write
from dbtm.effects import Effect
from dbtm.jobs import Ballot, Facts, StoreDesk, VoteJob
from dbtm.ledger import Ledger
from dbtm.locals import Clock, check_age
from dbtm.pending import PendingPart
from grit.core.errors import DATA_CODES, Code
from grit.core.fold import GtlFold, GtlFolded
from grit.core.ids import Csn, Epoch, LinkId, Lsn, Offset, Realm, TxnId
from grit.core.limits import Limits
from grit.core.messages import DbtmHello, Decided, GtmHello, Vote, VoteAsked, Votes
from grit.core.parts import Part, Write
from grit.core.queries import StoreAnswer
from grit.core.records import CommitEntry, GtlRecord, GtmEpoch, PartEntry, Through
from grit.core.steps import GTL, CatchUp, CloseLink, Send, Trace

ROUNDS_MAX = 4
"""Rounds that wait for the database. A GTM puts one at a time to the vote: it has long given up those before."""


class Decree(msgspec.Struct, frozen=True, gc=False):
    """A folded GTL entry of this realm."""

    csn: Csn
    committed: bool
    entry: CommitEntry
    part: PartEntry


class Voting:
    """The votes of one leadership of a realm, and the fold of the GTL that it rests on."""

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
        self.gtl = GtlFold()
        self.through = Through(Csn(0), Offset(0))
        self._realm = realm
        self._ledger = ledger
        self._certifier = certifier
        self._desk = desk
        self._effects = effects
        self._clock = clock
        self._limits = limits
        self._decrees: deque[Decree] = deque()
        self._epoch = Epoch(0)
        self._seen = Csn(0)
        self._link: LinkId | None = None
        self._hello: tuple[LinkId, Epoch] | None = None
        self._gtm_epoch = Epoch(0)
        self._certified = 0
        self._votes: dict[int, Votes] = {}
        self._jobs: deque[VoteJob] = deque()

    # --- leadership ---------------------------------------------------------------------------------

    def serve(self, epoch: Epoch) -> None:
        """This DBTM leads its realm with `epoch`, and has merged every decree: votes count from here on."""
        assert not self._ledger.pending.parts
        self._epoch = epoch
        self._advance_through()
        if self._hello is None and self._link is not None:
            self._hello = (self._link, self._gtm_epoch)
        self.greet()

    def stop(self) -> None:
        """Votes of this leadership are over; what is pending is decided by the fence, not here."""
        self._epoch = Epoch(0)
        self._seen = Csn(0)
        self.through = Through(Csn(0), Offset(0))
        for job in self._jobs:
            job.facts.done()
        self._jobs.clear()
        self._votes.clear()
        for txid in list(self._ledger.pending.parts):
            self._ledger.pending.remove(txid)

    def durable(self, through: Csn) -> None:
        """The DBTL holds every decree up to `through`: forget them."""
        while self._decrees and self._decrees[0].csn <= through:
            self._decrees.popleft()

    def count_decrees(self) -> int:
        """Return how many decrees of this realm are held because its log does not hold them yet."""
        return len(self._decrees)

    def unmerged(self) -> list[Decree]:
        """Return the committed decrees that the DBTL does not hold, in Csn order."""
        return [decree for decree in self._decrees if decree.committed]

    def durable_through(self) -> Csn:
        """Return the Csn through which every committed global of this realm is durable in its DBTL.

        The log says so itself, in its own time; who has folded the GTL further knows more.
        """
        has = self._ledger.cuts.csn
        missing = next((d.csn for d in self._decrees if d.committed and d.csn > has), self.gtl.next_csn)
        return max(Csn(missing - 1), self._ledger.fold.through.csn)

    # --- the fold of the GTL ------------------------------------------------------------------------

    def fold(self, offset: Offset, record: GtlRecord) -> bool:
        """Fold the next GTL record; return whether it decided something pending."""
        folded = self.gtl.apply(offset, record)
        self._clock.see(self.gtl.now)
        decrees = [
            Decree(decree.csn, decree.committed, decree.entry, part)
            for decree in folded.decrees
            for part in decree.entry.parts
            if part.realm == self._realm and decree.csn > self._ledger.fold.through.csn
        ]
        self._decrees.extend(decrees)
        if not self._epoch:
            return False
        decided = self._take_decrees(decrees) | self._take_refusals(folded)
        if folded.valid and isinstance(record, GtmEpoch):
            decided |= self._drop_older(record.epoch)
            self.greet()
        self._advance_through()
        return decided

    def _take_decrees(self, decrees: list[Decree]) -> bool:
        decided = False
        for decree in decrees:
            if decree.csn > self._seen:
                self._seen = decree.csn
                decided |= self._decide(decree.entry.txid, decree.csn, decree.committed)
        return decided

    def _take_refusals(self, folded: GtlFolded) -> bool:
        return self.drop(folded.refused)

    def _drop_older(self, epoch: Epoch) -> bool:
        """A newer GTM leads: what an older one asked and did not commit before is decided: aborted.

        Ballots too: voted for later, they would be pending for ever.
        """
        for job in [job for job in self._jobs if job.gtm_epoch < epoch]:
            job.facts.done()
            self._jobs.remove(job)
        older = [part.txid for part in self._ledger.pending.parts.values() if part.gtm_epoch < epoch]
        for txid in older:
            self._drop(txid)
        return bool(older)

    def _advance_through(self) -> None:
        csn = Csn(self.gtl.next_csn - 1)
        if csn >= self._seen:
            self._seen = csn
            self.through = Through(csn, self.gtl.offset)

    # --- decisions ----------------------------------------------------------------------------------

    def decided(self, link: LinkId, message: Decided) -> bool:
        """Take pushed outcomes; return whether something pending was decided."""
        if link != self._link or message.gtm_epoch != self._gtm_epoch or not self._epoch:
            return False
        self._clock.see(message.now)
        any_decided = False
        for decision in message.decisions:
            if decision.csn == 0:
                any_decided |= self._drop(decision.txid)
            elif decision.csn > self._seen:
                known = not decision.committed or decision.txid in self._ledger.pending.parts
                if decision.prev_csn > self._seen or not known:
                    self._effects.append(CatchUp(GTL))
                    return any_decided
                self._seen = decision.csn
                any_decided |= self._decide(decision.txid, decision.csn, decision.committed)
        if message.last_csn > self._seen:
            self._effects.append(CatchUp(GTL))
        elif message.through >= self._seen:
            self._seen = message.through
            self.through = Through(message.through, message.offset)
        return any_decided

    def _decide(self, txid: TxnId, csn: Csn, committed: bool) -> bool:
        if not committed:
            return self._drop(txid)
        pending = self._ledger.pending
        part = pending.parts.get(txid)
        assert part is not None, f"{txid} is committed at Csn {csn} and not pending: this realm did not vote for it"
        plans = {(w.collection, w.key): self._plan(part, w) for w in part.writes}
        pending.remove(txid)
        examined = Examined(part.part, plans)
        self._ledger.assign(
            examined, self._clock.now, txid=txid, csn=csn, encoded=part.encoded, trace=part.trace, origin=part.origin
        )
        self._forget_vote(part.round)
        return True

    def _plan(self, part: PendingPart, write: Write) -> Planned:
        """Return a write on the newest image: the plan of the vote, unless others wrote the record since."""
        image = self._ledger.pending.image(write.collection, write.key)
        planned = part.plans.get((write.collection, write.key))
        if planned is not None and planned.before_bytes == image:
            return planned
        return plan_write(write, image)

    def drop(self, txids: Iterable[TxnId]) -> bool:
        """Take these as aborted; return whether something pending was decided."""
        dropped = [self._drop(txid) for txid in txids]
        return any(dropped)

    def _drop(self, txid: TxnId) -> bool:
        """An outcome without effect: aborted, voided or refused."""
        for job in self._jobs:
            job.decided.add(txid)
        part = self._ledger.pending.remove(txid)
        if part is None:
            return False
        self._forget_vote(part.round)
        return True

    def _forget_vote(self, number: int) -> None:
        votes = self._votes.get(number)
        if votes is not None and not any(vote.txid in self._ledger.pending.parts for vote in votes.votes):
            del self._votes[number]

    # --- votes --------------------------------------------------------------------------------------

    def hello(self, link: LinkId, message: GtmHello) -> None:
        """A GTM opens a link: answer once the GTL is folded up to its epoch."""
        waiting = self._hello
        if waiting is not None and waiting[0] != link:
            is_older = message.gtm_epoch < waiting[1]
            self._effects.append(CloseLink(link if is_older else waiting[0], "a newer GTM, or link of it, waits here"))
            if is_older:
                return
        self._hello = (link, message.gtm_epoch)
        if self.gtl.offset and self.gtl.epoch < message.gtm_epoch:
            # Not before the GTL is followed at all: a DBTM that opens reads its DBTL first.
            self._effects.append(CatchUp(GTL))
        self.greet()

    def greet(self) -> None:
        """Answer the GTM that waits for it, when this DBTM leads and has folded far enough."""
        if self._hello is None or not self._epoch or self.gtl.epoch < self._hello[1]:
            return
        (link, epoch), self._hello = self._hello, None
        if epoch < self.gtl.epoch:
            self._effects.append(CloseLink(link, f"GTM epoch {epoch} is over, {self.gtl.epoch} leads"))
            return
        if self._link is not None and self._link != link:
            self._effects.append(CloseLink(self._link, "a newer link of the GTM took its place"))
        self._link = link
        if epoch > self._gtm_epoch:
            self._gtm_epoch, self._certified = epoch, 0
            self._votes.clear()
            self._drop_older(epoch)
        votes = tuple(self._votes[number] for number in sorted(self._votes))
        hello = DbtmHello(self._realm, epoch, self._epoch, self._certified, votes)
        self._effects.append(Send(link, hello))

    def closed(self, link: LinkId) -> None:
        """A link is down."""
        if self._link == link:
            self._link = None
        if self._hello is not None and self._hello[0] == link:
            self._hello = None

    def asked(self, link: LinkId, asked: VoteAsked) -> None:
        """Certify a round, after those before it; one that was certified is answered again."""
        if link != self._link or asked.gtm_epoch != self._gtm_epoch or not self._epoch:
            return
        if asked.gtm_epoch < self.gtl.epoch:
            return
        if asked.round <= self._certified:
            if asked.round in self._votes:
                self._effects.append(Send(link, self._votes[asked.round]))
            return
        if any(job.round == asked.round for job in self._jobs):
            return
        if len(self._jobs) >= ROUNDS_MAX:
            self._jobs.popleft().facts.done()
            self._certify(self._jobs[0])
        ballots = tuple(self._ballot(*fields) for fields in asked.parts)
        self._jobs.append(VoteJob(asked.gtm_epoch, asked.round, ballots, self._clock.now, Facts(self._ledger)))
        if len(self._jobs) == 1:
            self._certify(self._jobs[0])

    def _ballot(self, txid: TxnId, encoded: bytes, trace: str, origin: str) -> Ballot:
        try:
            return Ballot(txid, encoded, self._certifier.take_part(txid, encoded), trace, origin)
        except ValueError as error:
            return Ballot(txid, encoded, Part(Lsn(0), (), ()), trace, origin, str(error))

    def _certify(self, job: VoteJob) -> None:
        """Certify all parts of a round in one atomic step, once nothing is missing."""
        examined = [self._certifier.examine(b.part, job.facts.newest, job.facts.rows_of) for b in job.ballots]
        missing = [one for found in examined for one in found.missing]
        if missing:
            self._desk.ask(
                job.facts.ask(missing),
                lambda answer: self._told(job, answer),
                lambda reason: self._away(job, reason),
            )
            return
        edges: list[tuple[TxnId, TxnId]] = []
        votes = [self._vote(job, ballot, found, edges) for ballot, found in zip(job.ballots, examined, strict=True)]
        self._voted(job, votes, edges)

    def _told(self, job: VoteJob, answer: StoreAnswer) -> None:
        job.facts.told(answer)
        if job in self._jobs:
            self._certify(job)

    def _away(self, job: VoteJob, reason: str) -> None:
        message = f"the database of realm {self._realm} does not answer: {reason}"
        if job in self._jobs:
            self._voted(job, [Vote(b.txid, Code.REALM_DOWN.value, message) for b in job.ballots], [])

    def _voted(self, job: VoteJob, votes: list[Vote], edges: list[tuple[TxnId, TxnId]]) -> None:
        job.facts.done()
        self._jobs.popleft()
        for ballot, vote in zip(job.ballots, votes, strict=True):
            if ballot.trace:
                facts = {"realm": self._realm, "txid": ballot.txid, "code": vote.code or "YES"}
                self._effects.append(Trace("vote", ballot.trace, job.began, self._clock.now, facts))
        self._certified = job.round
        message = Votes(job.gtm_epoch, self._epoch, job.round, tuple(votes), tuple(edges))
        self._votes[job.round] = message
        self._forget_vote(job.round)
        if self._link is not None:
            self._effects.append(Send(self._link, message))
        if self._jobs:
            self._certify(self._jobs[0])

    def _vote(self, job: VoteJob, ballot: Ballot, examined: Examined, edges: list[tuple[TxnId, TxnId]]) -> Vote:
        refusal = self._refuse(job, ballot, examined)
        if refusal is not None and refusal.code == Code.CONTENTION:
            self._ledger.pending.want(self._ledger.pending.incrementers_of_same(examined.plans.values()))
        if refusal is not None and refusal.code not in DATA_CODES:
            return Vote(ballot.txid, refusal.code.value, refusal.message, refusal.conflict)
        plans = () if refusal is not None else tuple(examined.plans.values())
        pending = self._ledger.pending
        reads = (*examined.part.reads, *examined.derived_reads())
        conditions: list[TxnId] = []
        for writer in pending.writers_that_disturb(reads):
            if pending.parts[writer].round == job.round:
                edges.append((ballot.txid, writer))
            else:
                conditions.append(writer)
        pending.want(conditions)
        readers = pending.readers_disturbed_by(plans)
        edges.extend((reader, ballot.txid) for reader in readers if pending.parts[reader].round == job.round)
        part = PendingPart(
            txid=ballot.txid,
            gtm_epoch=Epoch(job.gtm_epoch),
            round=job.round,
            encoded=ballot.encoded,
            part=ballot.part,
            reads=reads,
            writes=tuple(planned.write for planned in plans),
            since=self._clock.passed,
            trace=ballot.trace,
            origin=ballot.origin,
            plans=examined.plans,
        )
        images = {record: planned.before_bytes for record, planned in examined.plans.items()}
        pending.add(part, images)
        if refusal is None:
            return Vote(ballot.txid, conditions=tuple(conditions))
        return Vote(ballot.txid, refusal.code.value, refusal.message, conditions=tuple(conditions))

    def _refuse(self, job: VoteJob, ballot: Ballot, examined: Examined) -> Refusal | None:
        """Everything for which a part is refused outright, in the order of sections 5 and 6."""
        txid = ballot.txid
        if ballot.problem:
            return Refusal(Code.BAD_REQUEST, ballot.problem)
        known, ledger = self.gtl.refused, self._ledger
        if txid in known or txid in ledger.fold.refused or txid in ledger.refusing or txid in job.decided:
            return Refusal(Code.REFUSED, "it was refused before it came to the vote")
        return (
            find_vote_backlog(self._realm, self._ledger, self._limits)
            or check_age(txid, self._clock.now)
            or self._certifier.find_stale(examined.part)
            or self._certifier.find_unsettled(examined, self._ledger.tail)
            or self._certifier.find_broken(examined, job.facts.rows_of)
            or self._certifier.find_unbounded(examined, self._ledger.tail)
        )
