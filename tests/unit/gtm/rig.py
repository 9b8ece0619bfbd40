"""A GTM machine without a shell: a log that is a list, links that are lists, and time that stands until it is moved."""

from typing import TypeVar

from grit.core.errors import Code
from grit.core.ids import Epoch, LeaderId, LinkId, Millis, Offset, Realm, TxnId, make_txn_id
from grit.core.messages import (
    CancelAsked,
    DbtmHello,
    Decided,
    Decision,
    Declined,
    GtmHello,
    Message,
    OutcomeAnswered,
    StatusAsked,
    SubmitAsked,
    Vote,
    VoteAsked,
    Votes,
)
from grit.core.outcome import Outcome
from grit.core.records import Commits, DbtmEpoch, Entries, Fence, GtlRecord, Refused
from grit.core.steps import (
    GTL,
    Append,
    AppendRefused,
    AppendUnknown,
    CatchUp,
    LinkClosed,
    LinkOpened,
    LogCaughtUp,
    LogFolded,
    Received,
    Send,
    SharedEffect,
    SharedEvent,
    Tick,
)
from gtm.config import GtmConfig
from gtm.machine import GtmMachine

START = Millis(1_000_000_000)
SIDECAR = LinkId(1)
A, B, C = Realm("a"), Realm("b"), Realm("c")
_LINKS = {A: LinkId(11), B: LinkId(12), C: LinkId(13)}

M = TypeVar("M")


def txn(number: int, *, began: int = START) -> TxnId:
    """Return the id of a transaction; a greater number is a greater id."""
    return make_txn_id(Millis(began), number)


class Rig:
    """Drives one machine; `has_elector`: it is one of several replicas, and somebody outside says who tries first.

    Attributes:
        log: The records of the GTL. Others' may be appended to it at any time; `settle` folds them.
        pending: Appends that the machine asked for and that have neither landed nor failed.
        effects: Every effect so far.
    """

    def __init__(
        self,
        config: GtmConfig | None = None,
        *,
        log: list[GtlRecord] | None = None,
        name: str = "g1",
        has_elector: bool = False,
    ) -> None:
        self.config = config or GtmConfig()
        me = (LeaderId(name), f"host-{name}", f"log-of-{name}")
        self.machine = GtmMachine(self.config, *me, is_alone=not has_elector, has_elector=has_elector)
        self.log = [] if log is None else log
        self.now = START
        self.pending: list[Append] = []
        self.effects: list[SharedEffect] = []
        self.links = dict(_LINKS)
        self._catch_ups = 0
        self._folded = 0
        self._ids = 0
        self._looked = 0

    # --- time and events -------------------------------------------------------------------------------

    def step(self, event: SharedEvent) -> list[SharedEffect]:
        """Take one event; keep what it asks for."""
        effects = self.machine.step(self.now, event)
        self.effects += effects
        self.pending += [effect for effect in effects if isinstance(effect, Append)]
        self._catch_ups += sum(isinstance(effect, CatchUp) for effect in effects)
        return effects

    def pass_time(self, ms: int) -> None:
        """Move the clock, then tick."""
        self.now = Millis(self.now + ms)
        self.step(Tick())

    def settle(self) -> None:
        """Let all appends land, fold the log to its end, and finish reads to the end, until nothing moves."""
        while self.pending or self._catch_ups or self._folded < len(self.log):
            self.land()
            self.fold()
            while self._catch_ups:
                self._catch_ups -= 1
                self.step(LogCaughtUp(GTL))

    def caught_up(self) -> None:
        """Fold the log to its end, and finish one read to the end."""
        self.fold()
        self._catch_ups -= 1
        self.step(LogCaughtUp(GTL))

    def land(self) -> None:
        """Put what is pending into the log, unfolded."""
        for append in self.pending:
            assert not isinstance(append.record, DbtmEpoch | Entries)
            self.log.append(append.record)
        self.pending.clear()

    def fold(self) -> None:
        """Fold the log to its end."""
        fresh = tuple((Offset(i), self.log[i]) for i in range(self._folded, len(self.log)))
        self._folded = len(self.log)
        if fresh:
            self.step(LogFolded(GTL, fresh))

    def lose(self, *, landed: bool) -> None:
        """Let the one pending append end as unknown; whether it landed shows when the log is folded."""
        (append,) = self.pending
        if landed:
            self.land()
        self.pending.clear()
        self.step(AppendUnknown(GTL, append.token))

    def refuse_append(self, reason: str = "disk full") -> None:
        """Let the one pending append fail for certain."""
        (append,) = self.pending
        self.pending.clear()
        self.step(AppendRefused(GTL, append.token, reason))

    # --- a cluster -------------------------------------------------------------------------------------

    def serve(self, *realms: Realm) -> None:
        """Start, claim, and let these realms answer; each has a DBTM of epoch 1."""
        self.step(Tick())
        self.settle()
        for realm in realms:
            if realm not in self.machine.fold.fences:
                self.log.append(Fence(realm, Epoch(1)))
        self.settle()
        for realm in realms:
            self.open(realm)
            self.hello(realm)

    def open(self, realm: Realm) -> None:
        """Open a link of the realm in place of the one before, under a new number."""
        self.step(LinkClosed(self.links[realm]))
        self.links[realm] = LinkId(self.links[realm] + 100)
        self.step(LinkOpened(self.links[realm], ("dbtm", realm)))

    def hello(self, realm: Realm, *, epoch: int | None = None, at: int = 0, votes: tuple[Votes, ...] = ()) -> None:
        """Let the realm answer GTM_HELLO."""
        mine = self.machine.fold.fences[realm] if epoch is None else Epoch(epoch)
        self.hear(realm, DbtmHello(realm, self.machine.fold.epoch, mine, at, votes))

    def hear(self, realm: Realm, message: Message) -> None:
        """Let a message come from the realm."""
        self.step(Received(self.links[realm], message))

    def submit(
        self, txid: TxnId, *realms: Realm, age: int = 0, key: str = "", result: bytes = b"", link: LinkId = SIDECAR
    ) -> int:
        """Submit a transaction; return the id of the request."""
        self._ids += 1
        parts = tuple((realm, f"{txid} in {realm}".encode()) for realm in realms)
        self.step(Received(link, SubmitAsked(self._ids, txid, age, parts, key, result)))
        return self._ids

    def ask_status(self, txid: TxnId) -> int:
        """Ask what became of a transaction; return the id of the request."""
        self._ids += 1
        self.step(Received(SIDECAR, StatusAsked(self._ids, txid)))
        return self._ids

    def ask_key_status(self, key: str) -> int:
        """Ask what became of a key; return the id of the request."""
        self._ids += 1
        self.step(Received(SIDECAR, StatusAsked(self._ids, TxnId(""), key)))
        return self._ids

    def cancel(self, key: str) -> int:
        """Cancel a key; return the id of the request."""
        self._ids += 1
        self.step(Received(SIDECAR, CancelAsked(self._ids, key)))
        return self._ids

    def votes(
        self,
        realm: Realm,
        *,
        edges: tuple[tuple[TxnId, TxnId], ...] = (),
        epoch: int | None = None,
        **said: Vote,
    ) -> Votes:
        """Return yes to all parts of the last VOTE to the realm, but for what is said otherwise by index: v0, v1, ..."""
        asked = self.asked(realm)[-1]
        votes = tuple(said.get(f"v{i}", Vote(part[0])) for i, part in enumerate(asked.parts))
        mine = self.machine.fold.fences[realm] if epoch is None else Epoch(epoch)
        return Votes(asked.gtm_epoch, mine, asked.round, votes, edges)

    def vote(self, *realms: Realm) -> None:
        """Let the realms say yes to everything that they were asked last."""
        for realm in realms:
            self.hear(realm, self.votes(realm))

    # --- what came of it -------------------------------------------------------------------------------

    def sent(self, kind: type[M], link: LinkId) -> list[M]:
        """Return the messages of a kind that were sent over a link, in order."""
        sends = [effect for effect in self.effects if isinstance(effect, Send)]
        return [send.message for send in sends if send.link == link and isinstance(send.message, kind)]

    def asked(self, realm: Realm) -> list[VoteAsked]:
        """Return the VOTEs that the realm was sent over its newest link."""
        return self.sent(VoteAsked, self.links[realm])

    def hellos(self, realm: Realm) -> list[GtmHello]:
        """Return the hellos that the realm was sent over its newest link."""
        return self.sent(GtmHello, self.links[realm])

    def decided(self, realm: Realm) -> list[Decided]:
        """Return the pushes that the realm was sent over its newest link."""
        return self.sent(Decided, self.links[realm])

    def decisions(self, realm: Realm) -> list[Decision]:
        """Return the outcomes that the realm was sent over its newest link."""
        return [decision for decided in self.decided(realm) for decision in decided.decisions]

    def commits(self) -> list[Commits]:
        """Return the COMMITS records that the machine asked to append."""
        return [e.record for e in self.effects if isinstance(e, Append) and isinstance(e.record, Commits)]

    def refusals(self) -> list[Refused]:
        """Return the REFUSED records that the machine asked to append."""
        return [e.record for e in self.effects if isinstance(e, Append) and isinstance(e.record, Refused)]

    def outcomes(self, request: int, link: LinkId = SIDECAR) -> list[Outcome]:
        """Return all answers to a request."""
        return [answer.outcome for answer in self.sent(OutcomeAnswered, link) if answer.id == request]

    def outcome(self, request: int) -> Outcome:
        """Return the only answer to a request."""
        (outcome,) = self.outcomes(request)
        return outcome

    def declined(self, request: int) -> Declined:
        """Return the only refusal of a request."""
        (declined,) = [message for message in self.sent(Declined, SIDECAR) if message.id == request]
        return declined

    def assert_aborted(self, request: int, code: Code) -> Outcome:
        """Check that a request was answered ABORTED, once, for this reason."""
        outcome = self.outcome(request)
        assert (outcome.state, outcome.code) == ("ABORTED", code), outcome
        return outcome
