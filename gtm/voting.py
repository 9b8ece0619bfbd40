r"""Rounds: what is put to the vote, the votes that come back, and what becomes of them (protocol.md section 6).

queue --open_round--> voting: one round --close_round--> evaluated --> outbox, in the order of the log
                        ^   |                               \-------> aborted; every asked realm is told
                        |   v
                      the realms: asked, and asked again when they come back with less than that round
"""

from grit.core.fold import GtlFold
from grit.core.ids import Epoch, Millis, Realm, TxnId
from grit.core.messages import DbtmHello, Decision, Votes
from grit.core.outcome import Outcome, aborted
from grit.core.steps import Send, SharedEffect
from gtm.config import GtmConfig
from gtm.desk import Desk
from gtm.evaluate import evaluate
from gtm.outbox import Outbox
from gtm.realms import RealmLink, Realms
from gtm.rounds import Round, Transaction


class Voting:
    """The round that votes, in one epoch of the GTM. Driven by the machine, whose parts the arguments are."""

    def __init__(
        self,
        config: GtmConfig,
        fold: GtlFold,
        realms: Realms,
        desk: Desk,
        outbox: Outbox,
        effects: list[SharedEffect],
    ) -> None:
        self._config = config
        self._fold = fold
        self._realms = realms
        self._desk = desk
        self._outbox = outbox
        self._effects = effects
        self._epoch = Epoch(0)
        self._round: Round | None = None
        self._round_number = 0

    @property
    def count(self) -> int:
        """How many transactions are being voted on."""
        return len(self._round.txns) if self._round is not None else 0

    def begin(self, epoch: Epoch) -> None:
        """Begin an epoch, without votes; what was being voted on is the caller's to abort."""
        self._epoch = epoch
        self._round = None

    def folded(self) -> None:
        """The GTL was read to its end: the fences of the votes that are in are folded, if there are any."""
        if self._round is not None:
            self._round.has_folded = True

    # --- rounds ----------------------------------------------------------------------------------------

    def open_round(self) -> None:
        """Put what has arrived to the vote: one round at a time."""
        while self._round is None and len(self._desk.queue) and not self._must_wait():
            txns = self._take_from_queue()
            if txns:
                self._begin_round(txns)

    def _must_wait(self) -> bool:
        return self._outbox.is_full or self._realms.are_awaited(self._desk.now)

    def _take_from_queue(self) -> list[Transaction]:
        """Return the oldest that can be voted on; those that cannot are aborted."""
        queue, txns, size = self._desk.queue, list[Transaction](), 0
        while len(queue) and len(txns) < self._config.round_max:
            size += queue.oldest_bytes()
            if txns and size > self._config.round_bytes_max:
                break
            txn = queue.pop()
            refusal = self._desk.find_known(txn) or self._desk.find_refusal(txn)
            if refusal is None:
                txns.append(txn)
            else:
                self._desk.finish(txn, refusal)
        return txns

    def _begin_round(self, txns: list[Transaction]) -> None:
        self._round_number += 1
        deadline = Millis(self._desk.now + self._config.vote_timeout_ms)
        self._round = Round(self._round_number, tuple(txns), deadline)
        for txn in txns:
            txn.is_asked = True
        self._round.unasked.update(self._round.realms)

    def ask(self) -> None:
        """Send their parts to the realms that have not been sent them; one without a link is asked when it is back."""
        if self._round is None:
            return
        for realm in sorted(self._round.unasked):
            peer = self._realms.get(realm)
            if peer is not None:
                self._effects.append(Send(peer.link, self._round.request_to(realm, self._epoch)))
        self._round.unasked.clear()

    def take(self, realm: Realm, votes: Votes) -> None:
        """Keep the votes on the round that votes; those on others come too late."""
        if self._round is None or votes.round != self._round.number or realm not in self._round.realms:
            return
        self._round.ballots.setdefault(realm, votes)

    def close_round(self) -> None:
        """Evaluate the round when all votes are in, or at its deadline."""
        voted = self._round
        if voted is None:
            return
        is_late = self._desk.now >= voted.deadline
        if not is_late and (voted.silent or self._has_unfolded_votes(voted)):
            return
        for realm in voted.silent:
            peer = self._realms.get(realm)
            if peer is not None:
                peer.is_silent = True
        self._round = None
        self._evaluate(voted)

    def _has_unfolded_votes(self, voted: Round) -> bool:
        """Tell whether a vote is of an epoch whose fence may stand in the part of the GTL that was not read yet."""
        if voted.has_folded:
            return False
        return any(votes.dbtm_epoch > self._fold.fences.get(realm, 0) for realm, votes in voted.ballots.items())

    def _evaluate(self, voted: Round) -> None:
        txns = {txn.txid: txn for txn in voted.txns}
        for txn in voted.txns:
            if txn.txid in self._fold.refused:
                self.abort(txns.pop(txn.txid), self._desk.voided(txn))
        conditions = {c for ballot in voted.ballots.values() for vote in ballot.votes for c in vote.conditions}
        result = evaluate(
            [txn.candidate for txn in txns.values()],
            voted.ballots,
            fences=self._fold.fences,
            dead={txid for txid in conditions if txid in self._fold.refused or txid in self._desk.aborted},
        )
        for drop in result.dropped:
            txn = txns[drop.txid]
            self.abort(txn, aborted(txn.txid, drop.code, drop.message, age=txn.age, conflict=drop.conflict))
        self._outbox.add(voted, [txns[txid] for txid in result.admitted])

    def abort(self, txn: Transaction, outcome: Outcome) -> None:
        """Abort a transaction that never reached the log; every realm that was asked hears of it."""
        for realm in txn.realms:
            self._realms.tell(realm, Decision(txn.txid, False))
        self._desk.finish(txn, outcome)

    # --- realms that come back -------------------------------------------------------------------------

    def resume_realms(self) -> None:
        """Take up with realms whose hello counts: their fence is folded."""
        for peer in self._realms:
            if peer.hello is not None and not peer.is_resumed and peer.has_newest_fence(self._fold):
                peer.is_resumed = True
                self._resume(peer, peer.hello)

    def _resume(self, peer: RealmLink, hello: DbtmHello) -> None:
        """Tell the outcomes that the realm waits for; put the round to the vote again, or take its votes.

        What committed stands in the GTL: the push carries the realm's last Csn, and the realm sees what it misses.
        """
        for votes in hello.votes:
            for vote in votes.votes:
                if self._is_dead(vote.txid):
                    self._realms.tell(peer.realm, Decision(vote.txid, False))
        peer.is_owed_push = True
        if self._round is None or peer.realm not in self._round.realms:
            return
        if hello.round < self._round.number:
            self._round.ballots.pop(peer.realm, None)
            self._round.unasked.add(peer.realm)
        else:
            lost = Votes(self._epoch, hello.dbtm_epoch, self._round.number, ())
            listed = [votes for votes in hello.votes if votes.round == self._round.number]
            self._round.ballots.setdefault(peer.realm, (listed or [lost])[0])

    def _is_dead(self, txid: TxnId) -> bool:
        """Tell whether a transaction that was voted on in this epoch certainly never commits."""
        return self._desk.find(txid) is None and txid not in self._fold.committed and not self._fold.is_expired(txid)
