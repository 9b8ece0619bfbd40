"""The open transactions of a home: their sessions, who waits for their answers, and what is remembered of ended ones."""

import asyncio
import itertools
import secrets
import struct
import time
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterator, Mapping
from functools import partial

import msgspec

from grit.core.catalog import RealmDef
from grit.core.errors import Code, GritError
from grit.core.ids import Millis, Realm, TxnId, make_txn_id
from grit.core.limits import Limits
from grit.core.messages import (
    AppliedAsked,
    CommitAsked,
    ExtendAsked,
    ReadAsked,
    StatusAsked,
    SubmitAsked,
    ValidateAsked,
)
from grit.core.operations import Begin
from grit.runtime.loop import Loop
from grit.sidecar.clock import Clock
from grit.sidecar.events import (
    Answer,
    Answered,
    AskGtm,
    AskRealm,
    Effect,
    Event,
    Expired,
    Finished,
    Lost,
    Reply,
    Request,
    Tick,
    ToAnswer,
)
from grit.sidecar.peers import Asker, PeerAnswer, Peers
from grit.sidecar.session import Options, Session
from grit.telemetry.tracing import current_traceparent, record_span

TICK_MS = 20
ENDED_MAX = 100_000
"""So many ended transactions are remembered, to say what became of them."""
DRAWN = 512
"""Ids of transactions whose random bits are drawn together."""
_SPANS = {
    ReadAsked: "sidecar.read",
    ExtendAsked: "sidecar.extend",
    ValidateAsked: "sidecar.validate",
    AppliedAsked: "sidecar.ask_applied",
    CommitAsked: "sidecar.commit_local",
    SubmitAsked: "sidecar.commit_global",
    StatusAsked: "sidecar.ask_status",
}


class _Step(msgspec.Struct, frozen=True, eq=False):
    """An event for one session; None: for all."""

    session: Session | None
    event: Event


class _Done(msgspec.Struct, frozen=True, eq=False):
    """An effect of one session."""

    session: Session
    effect: Effect


class Open(msgspec.Struct, frozen=True, eq=False):
    """One open transaction. `trace`: the traceparent that its reads and its commit belong to."""

    session: Session
    begin: Begin
    trace: str


class Sessions:
    """The table of sessions.

    Args:
        catalogue: Of the deployment.
        limits: Bounds of the table and of each transaction.
        peers: Whom sessions ask.
        clock: Theirs.
    """

    def __init__(self, catalogue: Mapping[Realm, RealmDef], limits: Limits, peers: Peers, clock: Clock) -> None:
        self.committed = 0
        self.aborts: Counter[str] = Counter()
        self._catalogue = catalogue
        self._limits = limits
        self._peers = peers
        self._clock = clock
        self._open: dict[TxnId, Open] = {}
        self._ended: OrderedDict[TxnId, Finished] = OrderedDict()
        self._requests = itertools.count(1)
        self._chance = _random_bits()
        self._waiting: dict[int, asyncio.Future[Reply]] = {}
        self._loop: Loop[_Step, _Done] = Loop(self._step, self._perform, clock.passed)
        self._is_draining = False
        self._empty = asyncio.Event()
        self._empty.set()

    def __len__(self) -> int:
        return len(self._open)

    def start(self) -> None:
        """Begin to tell the sessions the time."""
        self._loop.ticker(TICK_MS, partial(_Step, None, Tick()))

    def begin(self, begin: Begin) -> Open:
        """Open a transaction; `begin` is validated.

        Raises:
            GritError: SHUTTING_DOWN, OVERLOADED.
        """
        if self._is_draining:
            raise GritError(Code.SHUTTING_DOWN, "this sidecar is shutting down: use another one", retry_after_ms=1_000)
        if len(self._open) >= self._limits.open_transactions:
            most = self._limits.open_transactions
            raise GritError(
                Code.OVERLOADED, f"this sidecar has {most:,} open transactions, its limit", retry_after_ms=100
            )
        now = self._clock.now()
        trace = current_traceparent() or begin.traceparent
        options = Options(
            deadline=Millis(self._clock.passed() + begin.timeout_ms),
            idempotency_key=begin.idempotency_key,
            read_only=begin.read_only,
            snapshot=begin.snapshot,
            staleness_ms=begin.staleness_ms,
            past=begin.session,
            age=begin.age,
            trace=trace,
            origin=begin.origin,
            limits=self._limits,
        )
        session = Session(make_txn_id(now, next(self._chance)), self._catalogue, options, self._peers.ids)
        found = self._open[session.txid] = Open(session, begin, trace)
        self._empty.clear()
        return found

    def find(self, txid: TxnId) -> Open:
        """Return an open transaction.

        Raises:
            GritError: NO_SUCH_TRANSACTION, or what an ended one ended with.
        """
        found = self._open.get(txid)
        if found is not None:
            return found
        ended = self._ended.get(txid)
        if ended is None:
            raise GritError(
                Code.NO_SUCH_TRANSACTION,
                f"transaction {txid} is not open here: it was never begun at this sidecar, or it ended long ago",
            )
        raise ended.error or GritError(Code.NO_SUCH_TRANSACTION, f"transaction {txid} has committed")

    def is_open(self, txid: TxnId) -> bool:
        """Tell whether it is open."""
        return txid in self._open

    def ended(self, txid: TxnId) -> Finished | None:
        """Return how a transaction of this home ended, as long as it is remembered."""
        return self._ended.get(txid)

    def left_ms(self, found: Open) -> int:
        """Return what is left of its time."""
        return max(1, found.session.deadline - self._clock.passed())

    def ask(self, found: Open, make: Callable[[int], Request]) -> asyncio.Future[Reply]:
        """Let the session take a request, now; the future is its answer, or raises GritError."""
        request = next(self._requests)
        future: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        self._waiting[request] = future
        self._loop.post(_Step(found.session, make(request)))
        return future

    async def drain(self, wait_ms: int) -> None:
        """Begin nothing any more; give what is open so much time, then abort what is not deciding."""
        self._is_draining = True
        try:
            async with asyncio.timeout(wait_ms / 1000):
                await self._empty.wait()
        except TimeoutError:
            error = GritError(Code.LOST_HOME, "the sidecar that began this transaction has shut down")
            for found in list(self._open.values()):
                self._loop.post(_Step(found.session, Expired(error)))

    def close(self) -> None:
        """Drop everything."""
        self._loop.close()
        error = GritError(Code.UNKNOWN, "the sidecar stopped before it knew the outcome: ask Status at another one")
        for future in self._waiting.values():
            if not future.done():
                future.set_exception(error)
        self._waiting.clear()

    def _step(self, now: Millis, step: _Step) -> list[_Done]:
        sessions = [step.session] if step.session else [found.session for found in self._open.values()]
        return [_Done(session, effect) for session in sessions for effect in session.step(now, step.event)]

    def _perform(self, done: _Done) -> None:
        effect, session = done.effect, done.session
        if isinstance(effect, Answer):
            self._answer(effect)
        elif isinstance(effect, Finished):
            self._finish(session, effect)
        elif isinstance(effect, AskGtm):
            self._peers.ask(None, effect.message, self._asker(session, effect))
        else:
            asker = self._asker(session, effect)
            self._peers.ask(effect.realm, effect.message, asker, anywhere=effect.anywhere, beside=effect.beside)

    def _asker(self, session: Session, ask: AskRealm | AskGtm) -> Asker:
        began_ns = time.time_ns()
        number = ask.message.id

        def answered(message: PeerAnswer) -> None:
            self._record(session, ask, began_ns)
            assert isinstance(message, ToAnswer)
            self._loop.post(_Step(session, Answered(message)))

        return Asker(answered, lambda: self._loop.post(_Step(session, Lost(number))))

    def _record(self, session: Session, ask: AskRealm | AskGtm, began_ns: int) -> None:
        found = self._open.get(session.txid)
        if found is not None and found.trace:
            realm = {"realm": str(ask.realm)} if isinstance(ask, AskRealm) else {}
            facts = {"txid": str(session.txid), **realm}
            record_span(_SPANS[type(ask.message)], began_ns, time.time_ns(), found.trace, attributes=facts)

    def _answer(self, effect: Answer) -> None:
        future = self._waiting.pop(effect.request, None)
        if future is None or future.done():
            return
        if isinstance(effect.reply, GritError):
            future.set_exception(effect.reply)
        else:
            future.set_result(effect.reply)

    def _finish(self, session: Session, effect: Finished) -> None:
        del self._open[session.txid]
        if not self._open:
            self._empty.set()
        self._ended[session.txid] = effect
        if len(self._ended) > ENDED_MAX:
            self._ended.popitem(last=False)
        if effect.error is None:
            self.committed += 1
        elif effect.error.code != Code.NO_SUCH_TRANSACTION:  # which is how a roll-back ends
            self.aborts[effect.error.code.value] += 1


def _random_bits() -> Iterator[int]:
    """Yield 64 random bits again and again; the system is asked for many at a time, because asking takes a thread switch."""
    while True:
        for (bits,) in struct.iter_unpack("<Q", secrets.token_bytes(8 * DRAWN)):
            yield bits
