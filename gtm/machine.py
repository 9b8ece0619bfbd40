"""The GTM: orders the transactions that touch several realms (protocol.md sections 6 and 7). Pure.

    STARTING --first event--> CLAIMING --own GTM_EPOCH folded--> SERVING --append unknown--> CLAIMING
                                 |                                  |
                                 +----- a greater foreign epoch ----+--> FOLLOWING

    CLAIMING: read the GTL to its end; GENESIS if it is empty, fold to it; GTM_EPOCH{newest + 1}, fold to it.

    a transaction:  queue --round--> votes --evaluate--> outbox --COMMITS--> the fold --> answer, push

Everything in flight is decided by the fold alone. An append whose fate is unknown ends the epoch: after the next own
GTM_EPOCH is folded, what is not in the fold never will be, because its record carries a lower epoch. So it is aborted
then, and not before. An append that certainly did not happen used no number; nothing else is in flight, so the
numbers of the next record are again those of the fold.

A GTM that follows folds the log as it grows, and claims when `Election` says so. One that is told to stop takes nothing
new, decides what is in progress, appends RESIGN, and follows for the rest of its life.
"""

from enum import StrEnum
from typing import Any

from grit.core.checkpoints import CHECKPOINT_TOKEN, Checkpoints
from grit.core.election import Election
from grit.core.errors import Code, LogError
from grit.core.fold import GtlFold, GtlFolded
from grit.core.ids import Epoch, LeaderId, LinkId, Millis, Realm
from grit.core.messages import (
    CancelAsked,
    DbtmHello,
    Decision,
    Declined,
    DescribeAnswered,
    DescribeAsked,
    GtmHello,
    Message,
    StatusAsked,
    SubmitAsked,
    Votes,
)
from grit.core.outcome import Outcome, State, aborted
from grit.core.records import FORMAT, Commits, DbtmEpoch, Entries, Fence, Genesis, GtlRecord, GtmEpoch, Refused, Resign
from grit.core.steps import (
    GTL,
    Append,
    AppendRefused,
    AppendUnknown,
    CatchUp,
    CloseLink,
    DrainAsked,
    Halt,
    LinkClosed,
    LinkOpened,
    LogBegan,
    LogCaughtUp,
    LogFolded,
    Received,
    SeatLost,
    SeatWon,
    Send,
    SharedEffect,
    SharedEvent,
    StepBack,
)
from gtm.config import GtmConfig
from gtm.desk import Desk
from gtm.outbox import Outbox
from gtm.realms import RealmLink, Realms
from gtm.rounds import Transaction
from gtm.voting import Voting


class Leadership(StrEnum):
    """Where this process stands; see the drawing above."""

    STARTING = "STARTING"
    CLAIMING = "CLAIMING"
    SERVING = "SERVING"
    FOLLOWING = "FOLLOWING"
    HALTED = "HALTED"


class GtmMachine:
    """One GTM process.

    Its first step, whatever the event, asks to catch up with the GTL and so begins to claim.

    Args:
        config: Limits and times; they bound every table.
        leader_id: Random per process start.
        address: Where sidecars reach this process; stands in its GTM_EPOCH.
        log_id: Random; becomes the identity of the GTL if this process is the one that begins it.
        is_alone: No other replica is configured: it claims when it starts, and need not show life.
        has_elector: An external elector says which replica tries first.
    """

    def __init__(
        self,
        config: GtmConfig,
        leader_id: LeaderId,
        address: str,
        log_id: str,
        *,
        is_alone: bool = True,
        has_elector: bool = False,
    ) -> None:
        self._config = config
        self._leader_id = leader_id
        self._address = address
        self._log_id = log_id
        self._fold = GtlFold(GTL)
        self._effects: list[SharedEffect] = []
        self._realms = Realms(self._fold)
        self._desk = Desk(config, self._fold, self._realms, self._effects)
        self._outbox = Outbox(config)
        self._voting = Voting(config, self._fold, self._realms, self._desk, self._outbox, self._effects)
        self._state = Leadership.STARTING
        self._epoch = Epoch(0)
        self._claim: Epoch | None = None
        self._is_catching_up = False
        self._claim_at: Millis | None = None
        self._token = 0
        self._token_min = 1
        self._commits_token = 0
        self._refusal_token = 0
        self._now = Millis(0)
        self._is_alone = is_alone
        self._election = Election(leader_id, config.election_timeout_ms, has_elector=has_elector)
        self._checkpoints = Checkpoints(self._fold, config.checkpoint_records)
        self._is_first_look = True
        self._appended_at = Millis(0)
        self._resigned_epoch = Epoch(0)

    @property
    def is_serving(self) -> bool:
        """Tell whether this process leads."""
        return self._state == Leadership.SERVING

    @property
    def fold(self) -> GtlFold:
        """The fold of the GTL; to be read, not changed."""
        return self._fold

    @property
    def is_drained(self) -> bool:
        """Tell whether it was told to stop, nobody waits for an outcome of it, and its epoch is given back."""
        return (
            self._desk.is_draining and self._desk.is_idle and self._state in (Leadership.FOLLOWING, Leadership.HALTED)
        )

    def step(self, now: Millis, event: SharedEvent) -> list[SharedEffect]:
        """Take an event at `now`, by the shell's wall clock; return what is to be done, in order."""
        if self._state == Leadership.HALTED:
            return []
        # A wall clock may jump back; deadlines go by what has passed, and do not wait for it to come again.
        self._now = self._desk.now = Millis(self._now + max(0, now - self._desk.wall))
        self._desk.wall = now
        if self._state == Leadership.STARTING:
            self._begin_claim()
        self._take(event)
        self._advance()
        effects = self._effects[:]
        self._effects.clear()
        return effects

    def _take(self, event: SharedEvent) -> None:
        if isinstance(event, Received):
            self._received(event.link, event.message)
        elif isinstance(event, LogFolded):
            self._log_folded(event)
        elif isinstance(event, LogBegan):
            self._fold.load(event.state)
        elif isinstance(event, LogCaughtUp):
            self._caught_up()
        elif isinstance(event, LinkOpened):
            self._link_opened(event)
        elif isinstance(event, LinkClosed):
            self._realms.close(event.link)
        elif isinstance(event, AppendUnknown | AppendRefused):
            self._append_failed(event)
        elif isinstance(event, SeatWon | SeatLost):
            self._election.told(event)
        elif isinstance(event, DrainAsked):
            self._drain()
        else:
            self._tick()

    def _advance(self) -> None:
        """Do whatever has become possible. Every event may have made it so, time alone too."""
        if self._claim_at is not None and self._now >= self._claim_at:
            self._begin_claim()
        if self._state != Leadership.SERVING:
            return
        self._voting.resume_realms()
        self._voting.close_round()
        self._append_commits()
        # Outcomes before the next parts: a vote must not be spoilt by what is decided.
        self._effects += self._realms.pushes(self._now, self._epoch, self._config.quiet_push_ms)
        self._voting.open_round()
        self._voting.ask()
        self._append_refusal()
        self._effects += [Append(GTL, CHECKPOINT_TOKEN, one) for one in self._checkpoints.take_due()]
        self._renew_or_resign()

    # --- leadership ------------------------------------------------------------------------------------

    def _tick(self) -> None:
        if self._state == Leadership.SERVING:
            self._greet_again()
        elif self._stands_by and self._election.must_probe(self._now, self._fold.address):
            self._catch_up()

    @property
    def _stands_by(self) -> bool:
        return self._state == Leadership.FOLLOWING and not self._is_alone and not self._desk.is_draining

    def _drain(self) -> None:
        """Take nothing new. Who leads decides what is in progress and resigns; a claim under way is given up.

        Not so a claim for whose epoch somebody waits: only in that is it known what an append came to whose end was not.
        """
        self._desk.is_draining = True
        if self._state in (Leadership.STARTING, Leadership.CLAIMING) and self._desk.is_idle:
            self._follow()

    def _renew_or_resign(self) -> None:
        """A leader shows life to its standbys when it has nothing to write; one that is told to stop gives up last."""
        if self._desk.is_draining and self._desk.is_idle and self._resigned_epoch != self._epoch:
            self._resigned_epoch = self._epoch
            self._append(Resign(self._epoch))
        elif self._is_renewal_due:
            self._append(Commits(self._epoch, self._fold.next_csn, self._desk.clock, ()))

    @property
    def _is_renewal_due(self) -> bool:
        """Behind a record that is on its way a renewal would be void: it carries the same number."""
        is_quiet = not self._outbox.in_flight and self._now - self._appended_at >= self._config.quiet_push_ms
        return is_quiet and not self._is_alone

    def _begin_claim(self) -> None:
        """Claim an epoch, from the end of the log on; a claim under way is given up."""
        self._state = Leadership.CLAIMING
        self._claim = self._claim_at = None
        self._token_min = self._token + 1
        self._catch_up()

    def _catch_up(self) -> None:
        self._is_catching_up = True
        self._effects.append(CatchUp(GTL))

    def _caught_up(self) -> None:
        self._is_catching_up = False
        self._voting.folded()
        if self._state == Leadership.FOLLOWING and self._election.may_claim(self._now):
            self._begin_claim()
        self._claim_if_read()

    def _claim_if_read(self) -> None:
        """Append the claim, or the GENESIS, when the log was read to its end and no claim is under way."""
        if self._state != Leadership.CLAIMING or self._is_catching_up or self._claim or self._claim_at is not None:
            return
        is_first, self._is_first_look = self._is_first_look, False
        if is_first and not self._is_alone and self._fold.epoch and not self._fold.resigned:
            self._state = Leadership.FOLLOWING
            return
        # A claim must not overtake the GENESIS, which may yet be refused: it would spoil the log as its first record.
        if self._fold.offset == 0:
            self._append(Genesis(self._log_id, Realm(""), FORMAT))
            return
        self._claim = Epoch(self._fold.epoch + 1)
        self._append(GtmEpoch(self._claim, self._leader_id, self._address, self._desk.clock))

    def _epoch_folded(self, record: GtmEpoch) -> None:
        """A valid epoch: the one that is claimed, or somebody's that came before or instead."""
        self._election.began(self._now)
        if record.leader_id == self._leader_id:
            if record.epoch == self._claim:
                self._serve(record.epoch)
        elif self._epoch > 0 or self._claim is not None:
            # Who has led, and lost its epoch while it did not know its own, follows too: it was replaced on purpose.
            self._follow()
        if self._state == Leadership.FOLLOWING and self._election.must_step_back():
            self._effects.append(StepBack())

    def _serve(self, epoch: Epoch) -> None:
        """Lead: what was in flight and is not in the fold never will be; votes of other epochs are nothing."""
        self._state, self._epoch, self._claim = Leadership.SERVING, epoch, None
        self._desk.refusals.forget_in_flight()
        self._abort_undecided()
        self._realms.grace_until = Millis(self._now + self._config.vote_timeout_ms)
        for peer in self._realms.links():
            peer.forget_hello()
            self._greet(peer)

    def _follow(self) -> None:
        self._state, self._epoch, self._claim = Leadership.FOLLOWING, Epoch(0), None
        self._token_min = self._token + 1
        self._abort_undecided()
        self._desk.send_away(self._fold.address)
        for peer in self._realms.links():
            peer.forget_hello()

    def _abort_undecided(self) -> None:
        self._voting.begin(self._epoch)
        self._outbox.take_all()
        for txn in self._desk.asked_transactions():
            message = f"GTM epoch {self._fold.epoch} began before it was decided"
            self._desk.finish(txn, aborted(txn.txid, Code.FENCED, message, age=txn.age))

    # --- the log ---------------------------------------------------------------------------------------

    def _append(self, record: GtlRecord) -> int:
        self._token += 1
        self._appended_at = self._now
        self._effects.append(Append(GTL, self._token, record))
        return self._token

    def _append_failed(self, event: AppendUnknown | AppendRefused) -> None:
        """Unknown: another epoch tells. Refused: nothing was lost, who waits is told so, the next may be tried."""
        if event.token < self._token_min:
            return  # Of an epoch that was given up since: whatever it carried has been dealt with.
        if isinstance(event, AppendUnknown):
            self._begin_claim()
        elif event.token == self._refusal_token:
            self._refusal_token = 0
            self._desk.refusal_failed(event.reason)
        elif event.token == self._commits_token:
            self._commits_token = 0
            for txn in self._outbox.land():
                message = f"the global log cannot be written: {event.reason}"
                self._voting.abort(txn, _realm_down(txn, message, self._config.retry_after_ms))
        elif self._state == Leadership.CLAIMING:
            self._claim = None
            self._claim_at = Millis(self._now + self._config.claim_retry_ms)

    def _log_folded(self, event: LogFolded) -> None:
        for offset, record in event.records:
            try:
                assert not isinstance(record, DbtmEpoch | Entries), f"a record of a DBTL came from the GTL: {record}"
                self._checkpoints.meet(
                    offset, record, is_live=self._state in (Leadership.SERVING, Leadership.FOLLOWING)
                )
                folded = self._fold.apply(offset, record)
            except LogError as error:
                self._state = Leadership.HALTED
                self._effects.append(Halt(error))
                return
            self._folded(record, folded)

    def _folded(self, record: object, folded: GtlFolded) -> None:
        if isinstance(record, Commits):
            if folded.valid:
                self._election.heard(self._now)
            self._commits_folded(record, folded)
        elif isinstance(record, Resign) and folded.valid:
            self._resignation_folded(record)
        elif isinstance(record, Refused):
            self._desk.refused(record)
        elif isinstance(record, GtmEpoch) and folded.valid:
            self._epoch_folded(record)
        elif isinstance(record, Fence) and folded.valid:
            self._fence_folded(record)
        elif isinstance(record, Genesis):
            self._claim_if_read()

    def _resignation_folded(self, record: Resign) -> None:
        """The epoch is over: of this process, or of one that it stands by for."""
        if record.epoch == self._epoch:
            self._election.stay_out(self._now)
            self._follow()
        else:
            self._election.resigned(self._now)

    def _commits_folded(self, record: Commits, folded: GtlFolded) -> None:
        if self._outbox.is_in_flight(record):
            if not folded.valid:
                self._begin_claim()
                return
            self._outbox.land()
        for decree in folded.decrees:
            txn = self._desk.find(decree.entry.txid)
            if txn is not None:
                committed = Outcome(txn.txid, State.COMMITTED, csn=decree.csn, result=txn.request.result)
                self._desk.finish(txn, committed if decree.committed else self._desk.voided(txn))
            for part in decree.entry.parts:
                decision = Decision(decree.entry.txid, decree.committed, decree.csn, part.prev_csn)
                self._realms.tell(part.realm, decision)

    def _fence_folded(self, record: Fence) -> None:
        """A realm has a new leader: it is asked again what it votes for, unless it has said so before."""
        peer = self._realms.get(record.realm)
        if self._state == Leadership.SERVING and (peer is None or not peer.has_newest_fence(self._fold)):
            for each in self._realms.links_of(record.realm):
                self._greet(each)

    # --- links -----------------------------------------------------------------------------------------

    def _link_opened(self, event: LinkOpened) -> None:
        role, name = event.peer
        if role != "dbtm":
            return
        peer = self._realms.open(Realm(name), event.link)
        if self._state == Leadership.SERVING:
            self._greet(peer)

    def _greet(self, peer: RealmLink) -> None:
        peer.greeted_at = self._now
        self._effects.append(Send(peer.link, GtmHello(self._epoch)))

    def _greet_again(self) -> None:
        """Ask again who has not answered, or fell silent: a DBTM that could not answer may be able to now."""
        for peer in self._realms.links():
            is_lost = not peer.is_usable(self._fold)
            if is_lost and self._now - peer.greeted_at >= self._config.hello_retry_ms:
                self._greet(peer)

    def _received(self, link: LinkId, message: Message) -> None:
        peer = self._realms.on_link(link)
        if peer is not None:
            self._heard(peer, message)
        elif isinstance(message, DescribeAsked):
            self._effects.append(Send(link, DescribeAnswered(message.id, self.describe())))
        elif isinstance(message, SubmitAsked | StatusAsked | CancelAsked):
            self._asked(link, message)

    def _asked(self, link: LinkId, message: SubmitAsked | StatusAsked | CancelAsked) -> None:
        if self._state != Leadership.SERVING:
            text = f"this GTM is {self._state.value.lower()}"
            leader = "" if self._fold.address == self._address else self._fold.address
            declined = Declined(message.id, Code.NO_LEADER.value, text, self._config.retry_after_ms, leader)
            self._effects.append(Send(link, declined))
        elif isinstance(message, SubmitAsked):
            self._desk.submit(link, message)
        elif isinstance(message, StatusAsked):
            self._desk.status(link, message)
        else:
            self._desk.cancel(link, message)

    def _heard(self, peer: RealmLink, message: Message) -> None:
        peer.is_silent = False
        if self._state != Leadership.SERVING:
            return
        if isinstance(message, DbtmHello) and message.realm != peer.realm:
            reason = f"realm {message.realm} answers where realm {peer.realm} should: check the addresses"
            self._effects.append(CloseLink(peer.link, reason))
        elif isinstance(message, DbtmHello) and message.gtm_epoch == self._epoch:
            peer.hear(message)
            self._realms.speak(peer)
            self._fold_up_to(message.dbtm_epoch, peer.realm)
        elif isinstance(message, Votes) and message.gtm_epoch == self._epoch and self._is_speaker(peer):
            peer.dbtm_epoch = max(peer.dbtm_epoch, message.dbtm_epoch)
            self._voting.take(peer.realm, message)
            self._fold_up_to(message.dbtm_epoch, peer.realm)

    def _is_speaker(self, peer: RealmLink) -> bool:
        return peer.hello is not None and self._realms.get(peer.realm) is peer

    def _fold_up_to(self, dbtm_epoch: Epoch, realm: Realm) -> None:
        if dbtm_epoch > self._fold.fences.get(realm, 0) and not self._is_catching_up:
            self._catch_up()

    # --- the log, written ---------------------------------------------------------------------------

    def _append_commits(self) -> None:
        record = self._outbox.build(self._fold, self._epoch, self._desk.clock)
        if record is not None:
            self._commits_token = self._append(record)

    def _append_refusal(self) -> None:
        record = self._desk.refusals.build()
        if record is not None:
            self._refusal_token = self._append(record)

    # --- for people ------------------------------------------------------------------------------------

    def describe(self) -> dict[str, Any]:
        """Return how this GTM is, in plain values: for `grit status`."""
        return {
            "role": "gtm",
            "state": self._state.value,
            "epoch": self._fold.epoch,
            "leader": self._fold.address,
            "next_csn": self._fold.next_csn,
            "waiting": self._desk.waiting_count,
            "voting": self._voting.count,
            "in_flight": len(self._outbox),
            "committed": self._desk.committed_count,
            "aborts": dict(sorted(self._desk.aborts.items())),
            "realms": {peer.realm: self._describe_realm(peer) for peer in self._realms},
        }

    def _describe_realm(self, peer: RealmLink) -> dict[str, Any]:
        if peer.hello is None:
            state = "greeted"
        elif peer.is_silent:
            state = "silent"
        else:
            state = "usable" if peer.is_usable(self._fold) else "fenced"
        fence = self._fold.fences.get(peer.realm, 0)
        return {"link": state, "fence": fence, "last_csn": self._fold.last_csn.get(peer.realm, 0)}


def _realm_down(txn: Transaction, message: str, retry_after_ms: int) -> Outcome:
    return aborted(txn.txid, Code.REALM_DOWN, message, age=txn.age, retry_after_ms=retry_after_ms)
