"""The DBTM of one realm: leadership, and who does what with an event (protocol.md sections 4 to 7).

    OPENING --> CLAIMING --> FENCING --> MERGING --> SERVING
       ^           |            |                       |
       |           +------------+--> FOLLOWING <--------+   a greater epoch was folded
       |                                                |
       |        CLAIMING <-- an append is unknown ------+
       +------------------ the database went back ------+

OPENING reads the position of the database and both logs to their ends. CLAIMING appends `DBTM_EPOCH{e}` and
folds to it. FENCING appends `FENCE{realm, e}` to the GTL and folds past it: now every global that involves
this realm is committed before the fence, or voided after it. MERGING appends the committed globals that the
DBTL does not hold yet. From SERVING on, votes and local commits of this epoch count.

A standby is FOLLOWING: it folds both logs as they grow, so it can take over at once, and claims when `Election`
says so. RESIGNING ends a leadership that is told to stop: what is in flight is made durable, then `RESIGN` is appended.

One record of this leader is under way to the DBTL at a time; what gathers meanwhile is the next (group
commit). Everything is acknowledged from the fold.
"""

from typing import Any

from dbtm.applying import Applying
from dbtm.brake import Brake
from dbtm.certify import Certifier
from dbtm.confirming import Confirming
from dbtm.constraints import Constraints
from dbtm.effects import Effect, Event, Restart, StoreFailed, StoreRead
from dbtm.freeing import Freeing
from dbtm.freshness import Freshness, Look
from dbtm.jobs import StoreDesk
from dbtm.ledger import Ledger
from dbtm.locals import Clock, LocalCommits
from dbtm.phase import LEADING, READING, TAKING_OVER, Phase
from dbtm.reading import Reading
from dbtm.takeover import Merge, find_loss, find_stranger
from dbtm.voting import Voting
from grit.core.catalog import RealmDef
from grit.core.checkpoints import CHECKPOINT_TOKEN, Checkpoints
from grit.core.election import Election
from grit.core.errors import Code, LogError
from grit.core.fold import DbtlFolded
from grit.core.ids import Csn, Epoch, LeaderId, LinkId, Lsn, Millis, Offset
from grit.core.limits import Limits
from grit.core.messages import (
    AppliedAsked,
    CommitAsked,
    Decided,
    Declined,
    DescribeAnswered,
    DescribeAsked,
    ExtendAsked,
    GtmHello,
    Message,
    ReadAsked,
    StatusAsked,
    ValidateAsked,
    VoteAsked,
)
from grit.core.queries import Cursor, StoreAnswer
from grit.core.records import (
    FORMAT,
    DbtlRecord,
    DbtmEpoch,
    Entries,
    Fence,
    Genesis,
    GtlRecord,
    Refused,
    Resign,
    Through,
)
from grit.core.steps import (
    DBTL,
    GTL,
    Append,
    AppendRefused,
    AppendUnknown,
    CatchUp,
    DrainAsked,
    Halt,
    LinkClosed,
    LogBegan,
    LogCaughtUp,
    LogFolded,
    Received,
    SeatLost,
    SeatWon,
    Send,
    StepBack,
    Tick,
    Trace,
)

RETRY_MS = 200
"""A claim that did not go through is tried again so much later."""
TAKE_OVER_MS_MAX = 10_000
"""A take-over that does not serve after so long resigns: another replica may be able to."""
POSITION_MS = 200
"""So often an overlay that holds something asks how far the player is."""


Asked = ReadAsked | ExtendAsked | AppliedAsked | ValidateAsked | CommitAsked | StatusAsked
"""What homes ask."""


class DbtmMachine:
    """`step` an event, carry out the effects in order. See `grit.core.steps` and `dbtm.effects`."""

    def __init__(
        self,
        realm: RealmDef,
        *,
        leader_id: LeaderId,
        address: str,
        fresh_log_id: str,
        limits: Limits | None = None,
        is_alone: bool = True,
        has_elector: bool = False,
    ) -> None:
        self._realm = realm.name
        self._leader_id = leader_id
        self._address = address
        self._fresh_log_id = fresh_log_id
        self._limits = limits or Limits()
        self._clock = Clock()
        self._effects: list[Effect] = []
        self._ledger = Ledger(self._realm, self._limits)
        self._desk = StoreDesk(self._ledger, self._effects)
        certifier = Certifier(self._realm, Constraints(realm), self._ledger.history, self._ledger.pending)
        shared = (self._realm, self._ledger, certifier, self._desk, self._effects, self._clock, self._limits)
        self._confirming = Confirming(self._realm, self._ledger, self._effects, self._clock, self._limits)
        self._locals = LocalCommits(*shared)
        self._voting = Voting(*shared)
        aside = (self._desk, self._effects, self._limits)
        self._freshness = Freshness(self._ledger, self._voting.gtl, self._effects)
        told = (self._voting.durable_through, self._other_leader, self._freshness)
        self._reading = Reading(self._realm, self._ledger, *aside, *told)
        self._applying = Applying(self._realm, self._ledger, *aside)
        self._freeing = Freeing(self._ledger, self._voting.gtl, *shared[4:], lambda record: self._append(GTL, record))
        self._brake = Brake(self._ledger, self._limits)
        self._merge = Merge(self._ledger, self._desk, self._clock, lambda: self._retry_in(Phase.MERGING))
        self.phase = Phase.OPENING
        self.epoch = Epoch(0)
        self._cursor: Cursor | None = None
        self._caught_up: set[str] = set()
        self._through_at_end = Through(Csn(0), Offset(0))
        self._appending = 0
        self._retry_at = Millis(0)
        self._asked_position = Millis(0)
        self._is_asking_position = False
        self._appended_at = Millis(0)
        self._token = 0
        self._started = False
        self._is_alone = is_alone
        self._election = Election(leader_id, self._limits.election_timeout_ms, has_elector=has_elector)
        self._checkpoints = Checkpoints(self._ledger.fold, self._limits.checkpoint_records)
        self._probed: set[str] = set()
        self._probe = Look()
        self._claimed_at = Millis(0)
        self._is_out = False

    @property
    def is_drained(self) -> bool:
        """Tell whether it was told to stop, and its epoch, if it had one, is given back."""
        return self._is_out and self.phase in (Phase.FOLLOWING, Phase.OPENING)

    def step(self, now: Millis, event: Event) -> list[Effect]:
        """Take one event; return what to do, in order."""
        self._clock.tick(now)
        if not self._started:
            self._started = True
            self._open()
        self._take(event)
        self._flush()
        self._freshness.carried_out()
        effects, self._effects[:] = list(self._effects), []
        return effects

    def _other_leader(self) -> str:
        """Return the address of who leads, as long as that is somebody else and known."""
        return self._ledger.fold.address if self.phase == Phase.FOLLOWING else ""

    # --- events -------------------------------------------------------------------------------------

    def _take(self, event: Event) -> None:
        if isinstance(event, Received):
            self._arrived(event.link, event.message)
        elif isinstance(event, LogFolded):
            self._folded(event)
        elif isinstance(event, LogBegan):
            self._began(event)
        elif isinstance(event, StoreRead):
            self._store_read(event)
        elif isinstance(event, StoreFailed):
            self._desk.failed(event.id, event.reason)
        elif isinstance(event, Tick):
            self._tick()
        elif isinstance(event, LogCaughtUp):
            self._reached_end(event.log)
        elif isinstance(event, AppendUnknown | AppendRefused):
            self._append_failed(event)
        elif isinstance(event, LinkClosed):
            self._voting.closed(event.link)
            self._reading.closed(event.link)
            self._applying.closed(event.link)
        elif isinstance(event, SeatWon | SeatLost):
            self._election.told(event)
        elif isinstance(event, DrainAsked):
            self._resign()

    def _arrived(self, link: LinkId, message: Message) -> None:
        is_serving = self.phase == Phase.SERVING
        if (
            is_serving
            and isinstance(message, CommitAsked | VoteAsked)
            and self._brake.hold(self._clock.passed, link, message)
        ):
            return
        self._received(link, message)

    def _received(self, link: LinkId, message: Message) -> None:
        if isinstance(message, GtmHello):
            self._voting.hello(link, message)
        elif isinstance(message, VoteAsked):
            self._voting.asked(link, message)
        elif isinstance(message, Decided):
            if self._voting.decided(link, message):
                self._look_again()
        elif isinstance(message, DescribeAsked):
            self._effects.append(Send(link, DescribeAnswered(message.id, self.describe())))
        elif isinstance(message, Asked):
            self._asked(link, message)

    def _asked(self, link: LinkId, message: Asked) -> None:
        is_read = isinstance(message, ReadAsked | ExtendAsked | AppliedAsked)
        if self.phase not in (READING if is_read else (Phase.SERVING,)):
            text = f"realm {self._realm}: its DBTM is {self.phase.value}"
            declined = Declined(message.id, Code.NO_LEADER.value, text, RETRY_MS, self._other_leader())
            self._effects.append(Send(link, declined))
        elif isinstance(message, ReadAsked):
            self._reading.asked(self._clock.passed, link, message)
        elif isinstance(message, ExtendAsked):
            self._reading.extend(self._clock.passed, link, message)
        elif isinstance(message, AppliedAsked):
            self._applying.asked(self._clock.passed, link, message)
        elif isinstance(message, ValidateAsked):
            self._confirming.asked(link, message)
        elif isinstance(message, CommitAsked):
            self._locals.asked(link, message)
        elif self._locals.status(link, message):
            self._append(DBTL, Refused(self.epoch, (message.txid,)))

    def _look_again(self) -> None:
        """A pending global was decided: what waited for it goes on."""
        self._locals.decided()
        self._reading.decided()
        self._confirming.look_again()

    # --- logs ---------------------------------------------------------------------------------------

    def _began(self, event: LogBegan) -> None:
        if event.log == GTL:
            self._voting.gtl.load(event.state)
        else:
            self._ledger.begin(event.state)
        self._freshness.note(event.log)

    def _folded(self, event: LogFolded) -> None:
        if event.log == GTL:
            self._folded_gtl(event)
        else:
            for offset, record in event.records:
                assert isinstance(record, DbtlRecord)
                self._fold_dbtl(offset, record)
            self._confirming.look_again()
        self._reading.folded()
        self._advance()

    def _folded_gtl(self, event: LogFolded) -> None:
        decided = False
        for offset, record in event.records:
            assert isinstance(record, GtlRecord)
            decided |= self._voting.fold(offset, record)
            self._freshness.note(GTL)
            if isinstance(record, Fence):
                self._heed_fence()
        if decided:
            self._look_again()

    def _heed_fence(self) -> None:
        """Another leads, and its epoch is not folded here yet: votes are over; what is in flight is answered then."""
        if self.phase in (Phase.SERVING, Phase.MERGING) and self._voting.gtl.fences[self._realm] > self.epoch:
            self._step_down()
            self.phase = Phase.FOLLOWING

    def _fold_dbtl(self, offset: Offset, record: DbtlRecord) -> None:
        mine = self._is_mine(record)
        self._checkpoints.meet(offset, record, is_live=self.phase != Phase.OPENING)
        folded = self._ledger.fold_record(offset, record)
        self._freshness.note(DBTL)
        self._clock.see(self._ledger.fold.now)
        if mine:
            assert folded.valid or self._ledger.fold.epoch != self.epoch, f"own record at {offset} is void"
            self._appending = max(0, self._appending - 1)
            if folded.valid:
                self._confirming.confirmed()
        self._trace(folded)
        refused = record.txids if folded.valid and isinstance(record, Refused) else ()
        if folded.entries or refused:
            self._locals.folded([(entry.txid, lsn) for lsn, entry in folded.entries], refused)
        self._voting.durable(self._ledger.fold.through.csn)
        if folded.valid and not isinstance(record, DbtmEpoch | Genesis):
            self._sign_of_life(record)
        if isinstance(record, DbtmEpoch):
            self._new_epoch(record, folded.valid)

    def _sign_of_life(self, record: DbtlRecord) -> None:
        """A valid record of the current epoch: its leader lives, or says that it goes."""
        if not isinstance(record, Resign):
            self._election.heard(self._clock.passed)
        elif record.epoch == self.epoch:
            self._election.stay_out(self._clock.passed)
            self._follow()
        else:
            self._election.resigned(self._clock.passed)

    def _trace(self, folded: DbtlFolded) -> None:
        for lsn, entry in folded.entries:
            began = self._ledger.assigned_at(lsn) if entry.trace else None
            if began is not None:
                facts = {"realm": self._realm, "txid": entry.txid, "lsn": lsn}
                self._effects.append(Trace("append", entry.trace, began, self._clock.now, facts))

    def _is_mine(self, record: DbtlRecord) -> bool:
        return isinstance(record, Entries | Refused) and record.epoch == self.epoch and self.epoch != 0

    def _new_epoch(self, record: DbtmEpoch, valid: bool) -> None:
        """Somebody leads from here on: me, or another; or my claim came too late."""
        if valid:
            self._election.began(self._clock.passed)
        mine = record.leader_id == self._leader_id
        if valid and mine and self.phase == Phase.CLAIMING and record.epoch == self.epoch:
            self.phase = Phase.FENCING
            self._append(GTL, Fence(self._realm, self.epoch))
            self._effects.append(CatchUp(GTL))
        elif valid and not mine and self.phase != Phase.OPENING:
            self._follow()
            if self._election.must_step_back():
                self._effects.append(StepBack())
            self._is_stranger()
        elif not valid and mine and record.epoch == self.epoch:
            self._retry_in(Phase.CLAIMING)

    def _reached_end(self, log: str) -> None:
        self._caught_up.add(log)
        self._freshness.reached(log)
        if self._freshness.is_reached(log, self._probe):
            self._probe_answered(log)
        self._reading.folded()
        if log == DBTL and self.phase == Phase.OPENING:
            # What a living leader writes from here on may know more of the GTL than the read that now begins.
            self._through_at_end = self._ledger.fold.through
            # Every global of this realm that the DBTL does not hold lies at or above this offset.
            self._effects.append(CatchUp(GTL, self._ledger.fold.through.offset))
        if log == GTL:
            self._freeing.looked()
        if log == GTL and self.phase == Phase.FENCING and not self._is_fenced():
            self._retry_in(Phase.FENCING)
        self._advance()

    def _advance(self) -> None:
        """Take the next steps of a take-over that what was folded allows."""
        if self.phase == Phase.OPENING and self._caught_up >= {DBTL, GTL, "database"}:
            self._check_identity()
        if self.phase == Phase.CLAIMING and not self.epoch and not self._retry_at and self._ledger.fold.offset:
            self._claim()
        if self.phase == Phase.FENCING and self._is_fenced():
            self._start_merging()
        if self.phase == Phase.MERGING and self._merge.is_durable:
            self._serve()

    def _append(self, log: str, record: GtlRecord | DbtlRecord) -> int:
        self._token += 1
        if log == DBTL:
            self._appending += 1
            self._appended_at = self._clock.passed
            if isinstance(record, Entries | Refused):
                self._confirming.handed()
        self._effects.append(Append(log, self._token, record))
        return self._token

    def _flush(self) -> None:
        """Hand what has gathered to the log, one record at a time; a checkpoint may go beside it."""
        if self.phase == Phase.SERVING:
            self._effects.extend(Append(DBTL, CHECKPOINT_TOKEN, one) for one in self._checkpoints.take_due())
        if self.phase not in LEADING or self._appending:
            return
        through = max(self._voting.through, self._ledger.fold.through, key=lambda one: one.csn)
        record = self._ledger.take_record(self.epoch, self._clock.now, through)
        if record is not None:
            self._append(DBTL, record)
        elif self.phase == Phase.RESIGNING:
            self._append(DBTL, Resign(self.epoch))
        elif self._confirming.is_record_wanted or self._is_renewal_due(through):
            self._append(DBTL, Entries(self.epoch, Lsn(self._ledger.tail + 1), self._clock.now, through, ()))

    def _is_renewal_due(self, through: Through) -> bool:
        """A leader shows life to its standbys; without any it tells, now and then, how far it has followed the GTL."""
        wanted = not self._is_alone or through.csn > self._ledger.fold.through.csn
        return wanted and self._clock.passed - self._appended_at >= self._limits.renewal_ms

    def _append_failed(self, event: AppendUnknown | AppendRefused) -> None:
        """What was appended is unknown, and so is everything after it: lead anew and answer from the fold."""
        if event.token == CHECKPOINT_TOKEN:
            return
        if event.log == DBTL and self.phase != Phase.FOLLOWING:
            if self.phase not in TAKING_OVER:
                self._claimed_at = self._clock.passed
            self._step_down()
            self.phase = Phase.CLAIMING
            self.epoch = Epoch(0)
            self._retry_in(Phase.CLAIMING)
        elif event.log == GTL:
            self._freeing.failed(event)
            self._retry_in(Phase.FENCING)

    def _retry_in(self, phase: Phase) -> None:
        """Try the step of a phase again soon, if it is still in it.

        A step that was taken must not be taken again: a retry that was due in FENCING would merge twice.
        """
        if self.phase == phase:
            self._retry_at = Millis(self._clock.passed + RETRY_MS)

    # --- leadership ---------------------------------------------------------------------------------

    def _open(self) -> None:
        """Read the position of the database, then the DBTL, then the GTL; a shell follows the GTL once it is asked to.

        Read before the DBTL, the GTL would fill the memory with all that it ever decreed for this realm: what the DBTL
        holds of it is known only then.
        """
        self._desk.ask((), self._opened, self._not_opened)

    def _opened(self, answer: StoreAnswer) -> None:
        """The log is read after the position: read before, it might end below what is applied meanwhile."""
        self._cursor = answer.after
        self._caught_up.add("database")
        # What the database has not applied must be folded: the overlay is made of it.
        self._effects.append(CatchUp(DBTL, answer.after.offset if answer.after else Offset(0)))
        if answer.after is not None:
            self._ledger.overlay.applied_through(answer.after.lsn)
        self._advance()

    def _not_opened(self, reason: str) -> None:
        """The database does not answer yet: `tick` asks again."""
        self._retry_in(Phase.OPENING)

    def _check_identity(self) -> None:
        """Compare the logs with what the database has applied, then claim."""
        if self._is_stranger() or self._has_lost():
            return
        if not self._voting.gtl.log_id:
            self._retry_in(Phase.OPENING)
            self._caught_up.discard(GTL)
        elif self._is_alone or self._ledger.fold.resigned or not self._ledger.fold.epoch:
            self._claim()
        else:
            self.phase = Phase.FOLLOWING

    def _is_stranger(self) -> bool:
        """Tell whether the logs and the database do not belong together, and halt then."""
        why = find_stranger(self._realm, self._ledger.fold, self._cursor, self._voting.gtl.log_id)
        if why:
            self._effects.append(Halt(LogError(why)))
        return bool(why)

    def _has_lost(self) -> bool:
        """Tell whether the GTL has lost what this realm's log knows of it, and halt then."""
        why = find_loss(self._realm, self._through_at_end, self._voting.gtl)
        if why:
            self._effects.append(Halt(LogError(why)))
        return bool(why)

    def _claim(self) -> None:
        """Claim the next epoch; an empty log gets its GENESIS first, and the claim follows when that is folded.

        Together they could come apart: a log that begins with a claim is no log, for everybody and for ever.
        """
        if self.phase != Phase.CLAIMING:
            self._claimed_at = self._clock.passed
        self.phase = Phase.CLAIMING
        if self._ledger.fold.offset == 0:
            self._append(DBTL, Genesis(self._fresh_log_id, self._realm, FORMAT))
            return
        fence = self._voting.gtl.fences.get(self._realm, 0)
        self.epoch = Epoch(max(self._ledger.fold.epoch, fence) + 1)
        self._retry_at = Millis(0)
        gtl_log_id = self._voting.gtl.log_id
        self._append(DBTL, DbtmEpoch(self.epoch, self._leader_id, self._address, self._clock.now, gtl_log_id))

    def _is_fenced(self) -> bool:
        fence = self._voting.gtl.fences.get(self._realm, 0)
        if fence > self.epoch:
            self._follow()
        return fence == self.epoch

    def _start_merging(self) -> None:
        """Every committed global of this realm is in the fold now: those above `gtl_through` go to the log."""
        self.phase = Phase.MERGING
        self._retry_at = Millis(0)
        self._appending = 0
        self._merge.begin(self._voting.unmerged())

    def _serve(self) -> None:
        self.phase = Phase.SERVING
        self._retry_at = Millis(0)
        self._locals.fence()
        self._voting.serve(self.epoch)

    def _step_down(self) -> None:
        """Stop what only a leader may do; what is in flight is answered from the fold, later."""
        leader = self._ledger.fold.address
        self._voting.stop()
        self._freeing.stop()
        self._locals.drop(leader)
        self._reading.decline_all(Code.NO_LEADER, f"realm {self._realm} has no leader now", leader)
        self._confirming.decline_all(f"realm {self._realm} has no leader now", leader)
        self._desk.drop()
        self._applying.drop()
        self._is_asking_position = False
        self._ledger.forget_in_flight()
        self._merge.drop()
        self._appending = 0

    def _follow(self) -> None:
        """Another leads: what this one had in flight and is not in the fold by now is void.

        Who followed already goes on with what it reads: nothing of that rests on who leads.
        """
        if self.phase != Phase.FOLLOWING:
            self._step_down()
        self.phase = Phase.FOLLOWING
        self._locals.fence()

    # --- the database and time ----------------------------------------------------------------------

    def _store_read(self, event: StoreRead) -> None:
        if not self._desk.answered(event.id, event.answer):
            reason = f"the database of realm {self._realm} went back (a fail-over, a restore): its overlay is made anew"
            self._effects.append(Restart(reason))

    def _tick(self) -> None:
        now = self._clock.passed
        for link, work in self._brake.release(now):
            self._received(link, work)
        if self._retry_at and now >= self._retry_at:
            self._retry_at = Millis(0)
            self._retry()
        if self.phase == Phase.FOLLOWING:
            self._watch_leader()
        elif self.phase in TAKING_OVER and not self._is_alone and now - self._claimed_at >= TAKE_OVER_MS_MAX:
            self._give_up()
        if self.phase not in READING:
            return
        self._reading.tick(now)
        self._applying.tick(now)
        is_behind = self._ledger.overlay.applied < self._ledger.tail
        if is_behind and not self._is_asking_position and now - self._asked_position >= POSITION_MS:
            self._asked_position = now
            self._is_asking_position = True
            self._desk.ask((), self._position_told, self._position_told)
        if self.phase == Phase.SERVING:
            self._serve_on()

    def _position_told(self, _: StoreAnswer | str) -> None:
        self._is_asking_position = False

    def _serve_on(self) -> None:
        """What time brings to a leader."""
        self._locals.tick()
        self._confirming.look_again()
        if self._voting.drop(self._freeing.tick()):
            self._look_again()

    # --- standing by --------------------------------------------------------------------------------

    def _watch_leader(self) -> None:
        """Nothing heard for the time-out: read both logs to their ends, and the position, before a claim."""
        stands_by = not self._is_alone and not self._is_out
        if stands_by and self._election.must_probe(self._clock.passed, self._ledger.fold.address):
            self._probed = set()
            self._probe = self._freshness.look()
            self._desk.ask(
                (), lambda _: self._probe_answered("database"), lambda _: self._election.stay_out(self._clock.passed)
            )

    def _probe_answered(self, what: str) -> None:
        """All three could be reached, and no sign of life was in the log: claim."""
        self._probed.add(what)
        is_answered = self.phase == Phase.FOLLOWING and self._probed >= {DBTL, GTL, "database"}
        if is_answered and self._election.may_claim(self._clock.passed):
            self._claim()

    def _resign(self) -> None:
        """Told to stop: take nothing new, make durable what is in flight, then say so in the log."""
        self._is_out = True
        if self.phase == Phase.SERVING:
            self._voting.stop()
            self._locals.drop("")
            self._reading.decline_all(Code.NO_LEADER, f"realm {self._realm}: its leader resigns", "")
            self._confirming.decline_all(f"realm {self._realm}: its leader resigns", "")
            self._desk.drop()
            self._is_asking_position = False
            self.phase = Phase.RESIGNING
        elif self.phase in TAKING_OVER:
            self._give_up()

    def _give_up(self) -> None:
        """A take-over that came to nothing: the epoch is given back, if it was won.

        If it was not, nobody has taken the place of the epoch before, and what was in flight then may yet land and count: it is
        answered when a later epoch is folded.
        """
        won = self.phase != Phase.CLAIMING
        epoch = self.epoch
        if won:
            self._follow()
        else:
            self._step_down()
            self.phase = Phase.FOLLOWING
        self._election.stay_out(self._clock.passed)
        if won:
            self._append(DBTL, Resign(epoch))

    def _retry(self) -> None:
        if self.phase == Phase.OPENING:
            if "database" in self._caught_up:
                self._effects.append(CatchUp(GTL))
            else:
                self._desk.ask((), self._opened, self._not_opened)
        elif self.phase == Phase.CLAIMING:
            self._effects.append(CatchUp(DBTL))
            self._claim()
        elif self.phase == Phase.FENCING:
            self._append(GTL, Fence(self._realm, self.epoch))
            self._effects.append(CatchUp(GTL))
        elif self.phase == Phase.MERGING:
            self._start_merging()

    def describe(self) -> dict[str, Any]:
        """Return how this DBTM is, by name."""
        ledger = self._ledger
        return {
            "role": "dbtm",
            "realm": self._realm,
            "phase": self.phase.value,
            "epoch": ledger.fold.epoch,
            "leader": ledger.fold.address,
            "lsn": ledger.tail,
            "applied": ledger.overlay.applied,
            "lag": max(0, ledger.tail - ledger.overlay.applied),
            "gtl_through": self._voting.through.csn,
            "in_flight": ledger.newest - ledger.tail,
            "decrees": self._voting.count_decrees(),
            "pending": len(ledger.pending.parts),
            "overlay": len(ledger.overlay),
            "reading": self._reading.count(),
            "history": ledger.history.size(),
            "validating": self._confirming.count(),
            "held": self._brake.count(),
            "applying": self._applying.count(),
            **self._locals.count(),
        }
