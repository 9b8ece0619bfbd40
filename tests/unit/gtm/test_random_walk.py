"""A GTM among unreliable realms and an unreliable log, at random: what it says is always what the log says.

The seed stands in the name of the test. A walk ends with everybody well again, so that everything must be answered.
"""

import random
from collections.abc import Callable

import pytest

from grit.core.errors import Code
from grit.core.fold import Decree, GtlFold
from grit.core.ids import Csn, Epoch, Offset, Realm, TxnId
from grit.core.messages import Decided, Decision, Declined, OutcomeAnswered, Vote, VoteAsked, Votes
from grit.core.outcome import State
from grit.core.records import Fence, Refused
from grit.core.steps import GTL, Append, AppendRefused, AppendUnknown, LinkClosed
from gtm.config import GtmConfig
from tests.unit.gtm.rig import SIDECAR, A, B, C, Rig, txn

REALMS = (A, B, C)
STEPS = 250
CONFIG = GtmConfig(round_max=4, record_entries_max=3, vote_timeout_ms=50, hello_retry_ms=50, quiet_push_ms=20)


class Walk:
    """One random walk. `late`: appends of unknown fate that may still land."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self.rig = Rig(CONFIG)
        self.rig.serve(*REALMS)
        self.requests: dict[int, TxnId] = {}
        self.txids: list[TxnId] = []
        self.late: list[Append] = []
        self.answered: dict[Realm, VoteAsked] = {}
        self.is_down: set[Realm] = set()
        self.links = {realm: [self.rig.links[realm]] for realm in REALMS}

    def run(self) -> None:
        """Walk, then recover."""
        moves: list[tuple[Callable[[], None], int]] = [
            (self.submit, 12),
            (self.vote, 12),
            (self.land, 5),
            (self.rig.fold, 8),
            (self.rig.settle, 6),
            (self.pass_time, 2),
            (self.status, 1),
            (self.refuse, 1),
            (self.fail_append, 3),
            (self.land_late, 2),
            (self.drop_link, 1),
            (self.reopen, 8),
            (self.fence, 1),
        ]
        for _ in range(STEPS):
            self.chance.choices([move for move, _ in moves], [weight for _, weight in moves])[0]()
        self.recover()

    def recover(self) -> None:
        """Let everything be well until nobody waits any more."""
        self.rig.settle()
        for _ in range(60):
            for realm in REALMS:
                self.is_down.add(realm)
            self.reopen()
            self.vote(always_yes=True)
            self.rig.settle()
            self.rig.pass_time(60)
            self.rig.settle()

    # --- moves -----------------------------------------------------------------------------------------

    def submit(self) -> None:
        """A new transaction, or sometimes a second copy of one."""
        if self.txids and self.chance.random() < 0.1:
            txid = self.chance.choice(self.txids)
        else:
            txid = txn(len(self.txids) + 1, began=self.rig.now)
            self.txids.append(txid)
        realms = random.Random(txid).sample(REALMS, random.Random(txid).randint(1, 3))
        key = self.chance.choice(["", "", "", "k1", "k2"])
        self.requests[self.rig.submit(txid, *realms, key=key, age=self.rig.now - self.chance.randint(0, 9))] = txid

    def status(self) -> None:
        """A question about one of the transactions, or one that nobody submitted."""
        txid = self.chance.choice([*self.txids, txn(10_000 + self.chance.randint(0, 5), began=self.rig.now)])
        self.requests[self.rig.ask_status(txid)] = txid

    def refuse(self) -> None:
        """A participant frees itself."""
        if self.txids:
            self.rig.log.append(Refused(Epoch(0), (self.chance.choice(self.txids[-5:]),)))

    def vote(self, *, always_yes: bool = False) -> None:
        """Let every realm answer what it was asked last, now and then with a no, an edge or a condition."""
        for realm in REALMS:
            asked = self.rig.asked(realm)
            if realm in self.is_down or not asked or asked[-1] is self.answered.get(realm):
                continue
            if always_yes or self.chance.random() < 0.8:
                self.answered[realm] = asked[-1]
                self.rig.hear(realm, self.make_votes(realm, asked[-1], always_yes=always_yes))

    def make_votes(self, realm: Realm, asked: VoteAsked, *, always_yes: bool) -> Votes:
        members = [part[0] for part in asked.parts]
        votes = []
        for member in members:
            code = "" if always_yes else self.chance.choice(["", "", "", "", Code.READ_CONFLICT.value])
            conditions = (self.chance.choice(self.txids),) if not always_yes and self.chance.random() < 0.1 else ()
            votes.append(Vote(member, code, "no", None, conditions))
        edges = [(self.chance.choice(members), self.chance.choice(members)) for _ in range(2)]
        return Votes(asked.gtm_epoch, self.rig.machine.fold.fences[realm], asked.round, tuple(votes), tuple(edges))

    def pass_time(self) -> None:
        """Some milliseconds, sometimes enough for a time-out."""
        self.rig.pass_time(self.chance.choice([1, 1, 1, 1, 5, 60]))

    def land(self) -> None:
        """What is pending reaches the log; it is not folded yet."""
        self.rig.land()

    def fail_append(self) -> None:
        """The oldest pending append fails; an unknown one may have landed, or may land later."""
        if not self.rig.pending:
            return
        append = self.rig.pending.pop(0)
        fate = self.chance.choice(["refused", "lost", "landed", "late"])
        if fate == "refused":
            self.rig.step(AppendRefused(GTL, append.token, "disk full"))
            return
        if fate == "landed":
            self.put(append)
        elif fate == "late":
            self.late.append(append)
        self.rig.step(AppendUnknown(GTL, append.token))

    def land_late(self) -> None:
        """An append of unknown fate lands after all."""
        if self.late:
            self.put(self.late.pop())

    def put(self, append: Append) -> None:
        """Append it to the log, past whatever is pending."""
        kept, self.rig.pending = self.rig.pending, [append]
        self.rig.land()
        self.rig.pending = kept

    def drop_link(self) -> None:
        """A realm loses its link, and whatever was on it."""
        realm = self.chance.choice(REALMS)
        self.is_down.add(realm)
        self.rig.step(LinkClosed(self.rig.links[realm]))

    def reopen(self) -> None:
        """Realms without link come back, under a new link; some have lost the round."""
        for realm in sorted(self.is_down):
            self.rig.settle()
            self.rig.open(realm)
            self.links[realm].append(self.rig.links[realm])
            self.rig.hello(realm, at=0)
        self.is_down.clear()

    def fence(self) -> None:
        """A realm gets a new leader."""
        realm = self.chance.choice(REALMS)
        newest = max(record.epoch for record in self.rig.log if isinstance(record, Fence) and record.realm == realm)
        self.rig.log.append(Fence(realm, Epoch(newest + 1)))
        self.is_down.add(realm)

    # --- what must be true -----------------------------------------------------------------------------

    def decisions(self, realm: Realm) -> list[Decision]:
        """Return the outcomes that the realm was sent over all its links."""
        pushes = [push for link in self.links[realm] for push in self.rig.sent(Decided, link)]
        return [decision for push in pushes for decision in push.decisions]

    def decrees(self) -> list[Decree]:
        """Return what a stranger folds from the log."""
        fold = GtlFold()
        return [d for i, record in enumerate(self.rig.log) for d in fold.apply(Offset(i), record).decrees]


@pytest.fixture(params=range(40))
def walk(request: pytest.FixtureRequest) -> Walk:
    """Return a walk that has ended."""
    made = Walk(request.param)
    made.run()
    return made


def test_what_is_said_is_what_the_log_says(walk: Walk) -> None:
    rig, decrees = walk.rig, walk.decrees()
    committed = {decree.entry.txid: decree.csn for decree in decrees if decree.committed}
    assert len(committed) == sum(decree.committed for decree in decrees)

    # Everybody is answered once.
    answers = [m for m in rig.sent(object, SIDECAR) if isinstance(m, OutcomeAnswered | Declined)]
    assert sorted(answer.id for answer in answers) == sorted(walk.requests)

    # COMMITTED and ABORTED agree with the log, for ever.
    for answer in answers:
        if isinstance(answer, OutcomeAnswered) and answer.outcome.state == State.COMMITTED:
            assert committed[answer.outcome.txid] == answer.outcome.csn
        elif isinstance(answer, OutcomeAnswered):
            assert answer.outcome.state == State.ABORTED
            assert answer.outcome.txid not in committed

    # A key binds one.
    keys = [decree.entry.key for decree in decrees if decree.committed and decree.entry.key]
    assert len(keys) == len(set(keys))


def test_pushes_agree_with_the_log(walk: Walk) -> None:
    decrees = {decree.csn: decree for decree in walk.decrees()}
    chain: dict[tuple[Realm, Csn], Csn] = {}
    last: dict[Realm, Csn] = {}
    for csn in sorted(decrees):
        for part in decrees[csn].entry.parts:
            chain[part.realm, csn] = last.get(part.realm, Csn(0))
            last[part.realm] = csn
            assert part.prev_csn == chain[part.realm, csn]
    committed = {decree.entry.txid for decree in decrees.values() if decree.committed}
    for realm in REALMS:
        for decision in walk.decisions(realm):
            if decision.csn == 0:
                assert decision.txid not in committed
            else:
                decree = decrees[decision.csn]
                assert (decision.txid, decision.committed) == (decree.entry.txid, decree.committed)
                assert decision.prev_csn == chain[realm, decision.csn]
        numbered = [decision.csn for decision in walk.decisions(realm) if decision.csn]
        assert numbered == sorted(set(numbered))


def test_the_walks_go_where_it_hurts() -> None:
    codes: set[str] = set()
    epochs, voided, committed = 0, 0, 0
    for seed in range(40):
        walk = Walk(seed)
        walk.run()
        codes |= {answer.outcome.code for answer in walk.rig.sent(OutcomeAnswered, SIDECAR)}
        voided += sum(not decree.committed for decree in walk.decrees())
        committed += sum(decree.committed for decree in walk.decrees())
        epochs = max(epochs, walk.rig.machine.fold.epoch)
    assert {"", "READ_CONFLICT", "CONTENTION", "REALM_DOWN", "FENCED", "REFUSED"} <= codes
    assert epochs > 3
    assert voided > 10
    assert committed > 200
