"""The desk of the leader: what sidecars ask, and what they are answered (protocol.md sections 6 and 7).

Outcomes come from the fold. What is not there is in progress (the caller waits for it), unknown (refused first, then
answered from the fold), or was aborted by this very process before the log knew it.
"""

from collections import Counter

from grit.core.errors import Code
from grit.core.fold import LIFE_MS, GtlFold
from grit.core.ids import LinkId, Millis, TxnId, began_at, is_txn_id
from grit.core.messages import CancelAsked, Declined, OutcomeAnswered, StatusAsked, SubmitAsked
from grit.core.outcome import Outcome, State, aborted
from grit.core.records import Refused
from grit.core.steps import Send, SharedEffect, Trace
from gtm.config import GtmConfig
from gtm.realms import Realms
from gtm.refusals import Refusals
from gtm.rounds import Aborted, Asker, KeyWaiters, Queue, Transaction


class Desk:
    """The transactions in progress and everybody who waits for an answer.

    Args:
        config: The limits.
        fold: The machine's fold of the GTL.
        realms: The links to the realms: who cannot vote is refused at once.
        effects: Where answers go; the machine's.

    Attributes:
        wall: The wall clock of the event; it may jump.
        now: Milliseconds that have passed, for deadlines; only their differences mean something.
        is_draining: Nothing new is taken.
    """

    def __init__(self, config: GtmConfig, fold: GtlFold, realms: Realms, effects: list[SharedEffect]) -> None:
        self._config = config
        self._fold = fold
        self._realms = realms
        self._effects = effects
        self._by_txid: dict[TxnId, Transaction] = {}
        self._by_key: dict[str, TxnId] = {}
        self._waiting_for_key = KeyWaiters()
        self.wall = Millis(0)
        self.now = Millis(0)
        self.is_draining = False
        self.queue = Queue()
        self.refusals = Refusals()
        self.aborted = Aborted(config.aborted_max)
        self.committed_count = 0
        self.aborts: Counter[str] = Counter()

    @property
    def clock(self) -> Millis:
        """The GTM's clock: its own, or the largest time in the log if that is ahead."""
        return max(self.wall, self._fold.now)

    @property
    def is_idle(self) -> bool:
        """Tell whether nobody waits for an answer."""
        return not (self._by_txid or len(self._waiting_for_key) or len(self.refusals))

    @property
    def waiting_count(self) -> int:
        """How many transactions wait for a round, or for their key."""
        return len(self.queue) + len(self._waiting_for_key)

    def find(self, txid: TxnId) -> Transaction | None:
        """Return the transaction in progress with this id."""
        return self._by_txid.get(txid)

    def asked_transactions(self) -> list[Transaction]:
        """Return those whose realms have been asked, in the order of age."""
        asked = [txn for txn in self._by_txid.values() if txn.is_asked]
        return sorted(asked, key=lambda txn: (txn.age, txn.txid))

    # --- requests --------------------------------------------------------------------------------------

    def submit(self, link: LinkId, request: SubmitAsked) -> None:
        """Take a transaction in, or answer at once."""
        asker = Asker(link, request.id)
        fault = self._find_fault(request)
        if self.is_draining:
            self.decline(asker, Code.SHUTTING_DOWN, "this GTM is about to stop")
            return
        if fault:
            self.decline(asker, Code.BAD_REQUEST, fault)
            return
        # An age in the future would be one that nobody gave; it must not outlive the clock either.
        age = min(request.age, self.clock) if request.age > 0 else self.clock
        self._consider(Transaction(request, age, self.now, [asker]))

    def status(self, link: LinkId, request: StatusAsked) -> None:
        """Tell what became of a key, or of a txid; one that is not known is refused first."""
        asker = Asker(link, request.id)
        if request.key:
            self._answer(asker, self._key_status(request.key))
        elif not is_txn_id(request.txid):
            self.decline(asker, Code.BAD_REQUEST, f"{request.txid!r} is no transaction id")
        else:
            self._txid_status(asker, request.txid)

    def cancel(self, link: LinkId, request: CancelAsked) -> None:
        """Refuse a key for good, unless it has committed."""
        asker = Asker(link, request.id)
        known = self._known_key(TxnId(""), request.key, age=0)
        waiting = self.refusals.key_askers(request.key)
        if not request.key:
            self.decline(asker, Code.BAD_REQUEST, "there is no idempotency key to cancel")
        elif known is not None:
            self._answer(asker, known)
        elif waiting is None and (self._has_too_many_keys(request.key) or self._has_too_many_refusals()):
            self._overloaded(asker, "too many idempotency keys or refusals")
        elif waiting is not None and waiting >= self._config.askers_max:
            self._overloaded(asker, "too many callers cancel this idempotency key")
        else:
            self.refusals.cancel(request.key, asker)

    def _find_fault(self, request: SubmitAsked) -> str:
        realms = [realm for realm, _ in request.parts]
        if not is_txn_id(request.txid):
            return f"{request.txid!r} is no transaction id"
        if not realms or len(set(realms)) < len(realms):
            return f"txn {request.txid} must have one part of each realm that it touched, and at least one"
        if len(request.result) > self._config.result_bytes_max:
            return (
                f"txn {request.txid}: a result of {len(request.result)} bytes, at most {self._config.result_bytes_max}"
            )
        return ""

    # --- admission -------------------------------------------------------------------------------------

    def _consider(self, txn: Transaction) -> None:
        """Answer from what is known, or join who is in progress, or admit. `txn` is in no table yet."""
        known = self.find_known(txn) or self.aborted.get(txn.txid)
        if known is not None:
            self._answer_all(txn, known)
        elif not self._joins(txn):
            refusal = self.find_refusal(txn)
            if refusal is not None:
                self._remember_abort(refusal)
                self._answer_all(txn, refusal)
            else:
                self._admit(txn)

    def _joins(self, txn: Transaction) -> bool:
        """Let it wait for the same txid in progress, or for its refusal, if there is one."""
        waiting = self.refusals.askers(txn.txid)
        same = self._by_txid.get(txn.txid)
        for asker in txn.askers:
            if same is not None:
                self._join(same, asker)
            elif waiting is not None and waiting >= self._config.askers_max:
                self._overloaded(asker, f"too many callers wait for txn {txn.txid}")
            elif waiting is not None:
                self.refusals.refuse(txn.txid, asker, txn.age)
        return same is not None or waiting is not None

    def _join(self, txn: Transaction, asker: Asker) -> None:
        if len(txn.askers) < self._config.askers_max:
            txn.askers.append(asker)
        else:
            self._overloaded(asker, f"too many callers wait for txn {txn.txid}")

    def find_refusal(self, txn: Transaction) -> Outcome | None:
        """Return why it cannot be put to the vote now."""
        began, clock = began_at(txn.txid), self.clock
        if began < clock - LIFE_MS:
            return aborted(txn.txid, Code.TIMED_OUT, f"began {clock - began} ms ago, at most {LIFE_MS}", age=txn.age)
        if began > clock + LIFE_MS:
            message = f"began at {began}, the clock of the GTM says {clock}: set the clock of the sidecar"
            return aborted(txn.txid, Code.CLOCK_SKEW, message, age=txn.age)
        realm = self._realms.find_down(txn.realms, self.now)
        if realm is None:
            return None
        return aborted(txn.txid, Code.REALM_DOWN, f"realm {realm} has no DBTM that votes", age=txn.age)

    def _admit(self, txn: Transaction) -> None:
        key = txn.request.key
        if self.waiting_count >= self._config.waiting_max:
            self._overload_all(txn, "too many transactions wait")
        elif key and key in self._by_key:
            self._waiting_for_key.add(txn)
        elif key and self._has_too_many_keys(key):
            self._overload_all(txn, "too many idempotency keys")
        else:
            if key:
                self._by_key[key] = txn.txid
            self._by_txid[txn.txid] = txn
            self.queue.push(txn)

    def _has_too_many_keys(self, key: str) -> bool:
        # Old keys are never forgotten for new ones: a key that was forgotten could commit twice.
        if key in self._by_key:
            return False
        held = len(self._fold.keys) + len(self._fold.cancelled) + len(self._by_key) + self.refusals.keys
        return held >= self._config.keys_max

    def _has_too_many_refusals(self) -> bool:
        return len(self.refusals) >= self._config.refusals_max

    # --- what is known ---------------------------------------------------------------------------------

    def find_known(self, txn: Transaction) -> Outcome | None:
        """Return what the fold says of the transaction, or else of its key; None: nothing yet."""
        known = self._known(txn.txid, txn.age)
        if known is None and txn.request.key:
            known = self._known_key(txn.txid, txn.request.key, txn.age)
        return known

    def _known(self, txid: TxnId, age: int) -> Outcome | None:
        """Return what the fold says of `txid`; None: nothing yet."""
        if txid in self._fold.committed:
            return Outcome(txid, State.COMMITTED, csn=self._fold.committed[txid])
        if txid in self._fold.refused:
            return aborted(txid, Code.REFUSED, "its outcome was asked for before it was decided", age=age)
        if self._fold.is_expired(txid):
            return Outcome(txid, State.UNKNOWN, Code.EXPIRED.value, "it began too long ago to be remembered")
        return None

    def _known_key(self, txid: TxnId, key: str, age: int) -> Outcome | None:
        """Return what the fold says of `key`; None: it is free."""
        holder = self._fold.keys.get(key)
        if holder is not None:
            return Outcome(holder.txid, State.COMMITTED, csn=holder.csn, result=holder.result)
        if key in self._fold.cancelled:
            return aborted(txid, Code.REFUSED, "its idempotency key was cancelled", age=age)
        return None

    def _key_status(self, key: str) -> Outcome:
        known = self._known_key(TxnId(""), key, age=0)
        if known is not None and known.state == State.COMMITTED:
            return known
        if known is not None:
            return Outcome(TxnId(""), State.NOT_COMMITTED, known.code, known.message)
        if key in self._by_key:
            return Outcome(self._by_key[key], State.RUNNING)
        return Outcome(TxnId(""), State.NOT_COMMITTED)

    def _txid_status(self, asker: Asker, txid: TxnId) -> None:
        # Not from `aborted`: what only this process knows dies with it, so it is refused in the log like any other.
        known = self._known(txid, age=0)
        txn = self._by_txid.get(txid)
        waiting = self.refusals.askers(txid)
        if known is not None:
            self._answer(asker, known)
        elif txn is not None:
            self._join(txn, asker)
        elif (waiting is None and self._has_too_many_refusals()) or (waiting or 0) >= self._config.askers_max:
            self._overloaded(asker, "too many refusals are on their way")
        else:
            self.refusals.refuse(txid, asker)

    # --- outcomes --------------------------------------------------------------------------------------

    def voided(self, txn: Transaction) -> Outcome:
        """Return the outcome of a transaction whose entry was folded as voided."""
        known = self.find_known(txn)
        if known is not None and known.state == State.UNKNOWN:
            return aborted(txn.txid, Code.TIMED_OUT, "it began too long ago when its entry was written", age=txn.age)
        return known or aborted(txn.txid, Code.FENCED, "a realm changed its leader before the entry", age=txn.age)

    def finish(self, txn: Transaction, outcome: Outcome) -> None:
        """Answer everybody who waits for `txn`, and let the next one with its key try."""
        del self._by_txid[txn.txid]
        if outcome.state == State.ABORTED:
            self._remember_abort(outcome)
        else:
            self.committed_count += 1
        self._answer_all(txn, outcome)
        if txn.request.trace:
            facts = {"txid": txn.txid, "csn": outcome.csn, "code": outcome.code, "realms": ",".join(txn.realms)}
            self._effects.append(Trace("commit", txn.request.trace, txn.first_seen, self.now, facts))
        if txn.request.key:
            del self._by_key[txn.request.key]
            for waiting in self._waiting_for_key.take(txn.request.key):
                self._consider(waiting)

    def refused(self, record: Refused) -> None:
        """A refusal was folded, whoever wrote it: answer from the fold who waited for it."""
        self.refusals.folded(record)
        for txid in record.txids:
            for asker, age in self.refusals.take_txid(txid):
                known = self._known(txid, age)
                assert known is not None, f"txn {txid} is neither committed nor refused nor expired after its refusal"
                self._answer(asker, known)
        for key in record.keys:
            for asker in self.refusals.take_key(key):
                outcome = self._known_key(TxnId(""), key, age=0)
                assert outcome is not None, f"key {key} is neither committed nor cancelled after its refusal"
                self._answer(asker, outcome)

    def refusal_failed(self, reason: str) -> None:
        """The log did not take the refusal: decline whoever waits for it."""
        record = self.refusals.in_flight()
        self.refusals.forget_in_flight()
        askers = [asker for txid in record.txids for asker, _ in self.refusals.take_txid(txid)]
        askers += [asker for key in record.keys for asker in self.refusals.take_key(key)]
        for asker in askers:
            self._overloaded(asker, f"the global log cannot be written: {reason}")

    def send_away(self, leader: str) -> None:
        """Decline everybody who waits, with nothing done: this process leads no more."""
        txns = [self.queue.pop() for _ in range(len(self.queue))]
        askers = self.refusals.take_all()
        for txn in [*txns, *self._waiting_for_key.take_all()]:
            askers += txn.askers
        for txn in txns:
            del self._by_txid[txn.txid]
            self._by_key.pop(txn.request.key, None)
        for asker in askers:
            self.decline(asker, Code.NO_LEADER, "this GTM does not lead", leader=leader)

    def decline(self, asker: Asker, code: Code, message: str, *, leader: str = "") -> None:
        """Answer that nothing was done."""
        retry_after_ms = 0 if code == Code.BAD_REQUEST else self._config.retry_after_ms
        self._effects.append(Send(asker.link, Declined(asker.id, code.value, message, retry_after_ms, leader)))

    def _overloaded(self, asker: Asker, message: str) -> None:
        self.decline(asker, Code.OVERLOADED, message)

    def _overload_all(self, txn: Transaction, message: str) -> None:
        for asker in txn.askers:
            self._overloaded(asker, message)

    def _answer_all(self, txn: Transaction, outcome: Outcome) -> None:
        for asker in txn.askers:
            self._answer(asker, outcome)

    def _answer(self, asker: Asker, outcome: Outcome) -> None:
        self._effects.append(Send(asker.link, OutcomeAnswered(asker.id, outcome, self._fold.now)))

    def _remember_abort(self, outcome: Outcome) -> None:
        # Also who was never voted on: what made it abort may pass, and a second copy would commit.
        self.aborts[outcome.code] += 1
        self.aborted.add(outcome)
