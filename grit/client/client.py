"""The connection of a service to its sidecar, and the loop that runs a body until it commits.

begin --> body --> commit --> result
  ^        |         |-- aborted, unavailable --> pause (full jitter), again with the age kept
  |        |         |-- unknown --> Status until it is known
  |        '-- raises --> were its reads current? -- no --> again
  |                                                 '- yes --> the exception passes
  '----------------------------------------------------------'
"""

import asyncio
import copy
import functools
import random
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from types import TracebackType
from typing import Any, Concatenate, Literal, ParamSpec, Self, TypeVar

import grpc
import msgspec

from grit.client.context import current_transaction, entered
from grit.client.errors import GritError, InvalidRequest, OutcomeUnknown, TxnAborted, Unavailable, invalid, typed
from grit.client.metadata import OutgoingCall
from grit.client.stream import SessionStream
from grit.client.transaction import Transaction
from grit.client.where import Condition
from grit.core.errors import Code
from grit.core.ids import Realm, TxnId
from grit.core.operations import Operation, Result, SessionToken
from grit.core.outcome import Outcome, State
from grit.pb.v1 import sidecar_pb2 as pb
from grit.telemetry.tracing import current_traceparent, start_span
from grit.wire.channel import CHANNEL_OPTIONS, expect_sendable
from grit.wire.errors import error_of_call
from grit.wire.operations import decode_results, encode_operation
from grit.wire.requests import decode_cancel, decode_status, decode_token, encode_condition, encode_token

P = ParamSpec("P")
T = TypeVar("T")

PAUSE_S_FIRST, PAUSE_S_MAX = 0.004, 0.5
"""The longest pause before the second attempt, and before any: each is drawn from 0 to it (full jitter)."""
RESOLVE_S_MAX = 30.0
"""An outcome that cannot be learnt for so long is raised as OutcomeUnknown."""
STATUS_PAUSE_S = 0.05
ATTEMPTS_MAX = 8


Isolation = Literal["strict", "snapshot"]
Ack = Literal["decided", "applied"]
_ACKS: Mapping[str, pb.Ack.ValueType] = {"decided": pb.ACK_DECIDED, "applied": pb.ACK_APPLIED}
_ISOLATIONS: Mapping[str, pb.Isolation.ValueType] = {
    "strict": pb.ISOLATION_STRICT_SERIALIZABLE,
    "snapshot": pb.ISOLATION_SNAPSHOT,
}


class Begin(msgspec.Struct, frozen=True, kw_only=True):
    """How a transaction begins. `timeout_ms` 0 = the sidecar's default; `staleness` in milliseconds, 0 = not bounded."""

    name: str = ""
    timeout_ms: int = 0
    idempotency_key: str = ""
    read_only: bool = False
    isolation: Isolation = "strict"
    staleness: int = 0
    ack: Ack = "decided"
    age: int = 0


class Past:
    """What a session has seen: grows with every answer, and goes with every transaction that is begun."""

    def __init__(self, token: SessionToken) -> None:
        self.token = token

    def see(self, token: SessionToken) -> None:
        """Take what a transaction has read, or has written."""
        self.token = self.token.merged(token)


class Transacted(msgspec.Struct, frozen=True):
    """What `Client.transact` did.

    Attributes:
        results: Of the operations, in order.
        repeated: An earlier transaction had committed with the idempotency key: this one applied nothing.
        token: What it has read and written: see `Client.session`.
        applied: With ack "applied": every database has it. False: not yet, as far as is known.
    """

    txid: str
    results: tuple[Result, ...]
    result: bytes
    repeated: bool
    token: SessionToken = SessionToken()
    applied: bool = False


class Client:
    """A service's connection to its sidecar; made by `connect`.

    Args:
        address: host:port of the sidecar.
        service: Who this is: shown to those that its transactions win against.
        chance: For jitter.
    """

    def __init__(self, address: str, *, service: str = "", chance: random.Random | None = None) -> None:
        self.service = service
        self._channel = grpc.aio.insecure_channel(address, options=CHANNEL_OPTIONS)
        self._streams: dict[str, SessionStream] = {}
        self._chance = chance or random.Random()
        self._address = address
        self._past: Past | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """End the connection; what is open at the sidecar times out there."""
        for stream in self._streams.values():
            await stream.close()
        await self._channel.close()

    def session(self, token: SessionToken | None = None) -> "Client":
        """Return a session on this connection: each of its transactions sees at least what those before it saw or wrote.

        Strict transactions see the newest state anyhow; it is snapshots that must not lead a user into the past.

        Args:
            token: Where another session left off: its `token`, or that of a transaction.
        """
        session = copy.copy(self)
        session._past = Past(token or SessionToken())
        return session

    @property
    def token(self) -> SessionToken:
        """Return what this session has seen; nothing, when it is none."""
        return SessionToken() if self._past is None else self._past.token

    def transactional(
        self,
        max_attempts: int = ATTEMPTS_MAX,
        *,
        timeout_ms: int = 0,
        name: str = "",
        idempotency_key: str = "",
        read_only: bool = False,
        isolation: Isolation = "strict",
        staleness: int = 0,
        ack: Ack = "decided",
    ) -> Callable[[Callable[Concatenate[Transaction, P], Awaitable[T]]], Callable[P, Coroutine[Any, Any, T]]]:
        """Make of `async def body(txn, ...)` a function that runs it in a transaction, again when it must.

        The body may run several times: what it does besides the transaction must bear that. An exception of the
        body rolls back, and passes once the reads that led to it are known to be current.

        Args:
            max_attempts: How often it is run at most.
            timeout_ms: Of each attempt.
            name: For messages and traces; the function's own by default.
            idempotency_key: At most one transaction with it ever commits; see `Client.transact`. A transaction that wrote
                nothing ignores it.
            read_only: Writes are refused, those of called services too.
            isolation: "snapshot" reads from one cut over all realms, which need not be the newest state.
            staleness: With `read_only`: as `read_only`.
            ack: "applied" answers when every database has what was written, or after some seconds: `Transaction.applied`.

        Raises:
            TxnAborted: From the function: every attempt was aborted.
            Unavailable: From the function: the sidecar or a role could not be reached, on every attempt.
            OutcomeUnknown: From the function: the outcome is not known to anybody.
        """

        def decorate(body: Callable[Concatenate[Transaction, P], Awaitable[T]]) -> Callable[P, Coroutine[Any, Any, T]]:
            begin = Begin(
                name=(name or body.__name__)[:64],
                timeout_ms=timeout_ms,
                idempotency_key=idempotency_key,
                read_only=read_only,
                isolation=isolation,
                staleness=staleness,
                ack=ack,
            )

            @functools.wraps(body)
            async def run(*args: P.args, **kwargs: P.kwargs) -> T:
                attempts = _Attempts(self, begin, max_attempts)
                results: list[T] = []
                while not attempts.is_done:
                    async with attempts as txn:
                        results = [await body(txn, *args, **kwargs)]
                return results[0]

            return run

        return decorate

    def transaction(
        self,
        *,
        timeout_ms: int = 0,
        name: str = "",
        idempotency_key: str = "",
        read_only: bool = False,
        isolation: Isolation = "strict",
        ack: Ack = "decided",
    ) -> AbstractAsyncContextManager[Transaction]:
        """Return `async with db.transaction() as txn`: one attempt, committed at the end of the block.

        The arguments are those of `transactional`.

        Raises:
            TxnAborted: From the block's end, or in place of an exception that was made of stale reads.
            GritError: As `transactional`.
        """
        begin = Begin(
            name=name,
            timeout_ms=timeout_ms,
            idempotency_key=idempotency_key,
            read_only=read_only,
            isolation=isolation,
            ack=ack,
        )
        return _Attempts(self, begin, 1)

    def read_only(
        self, *, isolation: Isolation = "strict", staleness: int = 0, timeout_ms: int = 0, name: str = ""
    ) -> AbstractAsyncContextManager[Transaction]:
        """Return `async with db.read_only() as txn`: one attempt that only reads.

        With "snapshot" it reads at any replica, from one cut, conflicts with nobody, and asks no leader to confirm.

        Args:
            isolation: As `transactional`.
            staleness: A snapshot, whose cut is at most so many milliseconds older than its begin, by the logs' time. 0: the
                newest state, or with "snapshot" a cut of any age.
            timeout_ms: Of the attempt.
            name: For messages and traces.

        Raises:
            GritError: As `transaction`; Unavailable with LAGGING when no replica can show that it is so new.
        """
        begin = Begin(name=name, timeout_ms=timeout_ms, read_only=True, isolation=isolation, staleness=staleness)
        return _Attempts(self, begin, 1)

    def joined(self) -> Transaction:
        """Return the caller's transaction, in a service that is called with one.

        Raises:
            InvalidRequest: There is none: the call carried no `grit-txn`, or the server has no `JoinInterceptor`.
        """
        txn = current_transaction()
        if txn is None or not txn.call:
            raise invalid(
                "not called in a transaction: the caller's CallInterceptor or this JoinInterceptor is missing"
            )
        return txn

    async def transact(
        self,
        operations: Sequence[Operation],
        *,
        conditions: Sequence[Condition] = (),
        result: bytes = b"",
        idempotency_key: str = "",
        timeout_ms: int = 0,
        name: str = "",
        max_attempts: int = ATTEMPTS_MAX,
        ack: Ack = "decided",
    ) -> Transacted:
        """Begin, check the conditions, run the operations and commit, in one round trip; again when aborted.

        Args:
            operations: Of `grit.core.operations`.
            conditions: Made by `exists` and `absent`; CONSTRAINT when one does not hold.
            result: Kept with the idempotency key, and returned to whoever sends that key again; at most 4 KiB.
            idempotency_key: With it a lost answer is found again; without it that is OutcomeUnknown.
            timeout_ms: Of each attempt.
            name: For messages and traces.
            max_attempts: How often at most.
            ack: As `transactional`.

        Raises:
            GritError: As `transactional`; InvalidRequest.
        """
        begin = Begin(name=name, timeout_ms=timeout_ms, idempotency_key=idempotency_key)
        request = pb.TransactRequest(
            ack=_ack_of(ack),
            conditions=[encode_condition(one.core) for one in conditions],
            operations=[encode_operation(one) for one in operations],
            result=result,
            packed_results=True,
        )
        retries = _Retries(max_attempts, self._chance)
        while True:
            request.begin.CopyFrom(self.begin_request(msgspec.structs.replace(begin, age=retries.age)))
            try:
                response = await self._transact(request)
            except OutcomeUnknown:
                if not idempotency_key:
                    raise
                outcome = await self.resolve(pb.StatusRequest(idempotency_key=idempotency_key))
                if outcome.state == State.COMMITTED:
                    return Transacted(outcome.txid, (), outcome.result, repeated=True)
                if not retries.may_go_on():
                    raise
            except (TxnAborted, Unavailable) as error:
                if not retries.take(error):
                    raise
            else:
                commit = response.commit
                token = decode_token(commit.session)
                self.see(token)
                results = tuple(decode_results(commit.results))
                return Transacted(commit.txn_id, results, commit.result, commit.repeated_key, token, commit.applied)
            await retries.pause()

    async def status(self, txid: str = "", realms: Sequence[str] = (), *, idempotency_key: str = "") -> Outcome:
        """Tell what became of a transaction, or of an idempotency key.

        A transaction that nobody knows can never commit afterwards. Asking for a key changes nothing: NOT_COMMITTED
        means that it is safe to run again with the same key.

        Args:
            txid: Of the transaction.
            realms: Those that it touched, when another sidecar than its home is asked.
            idempotency_key: In place of `txid`; the outcome of one that committed has its `result`.

        Raises:
            GritError: Unavailable; InvalidRequest: both are given, or none.
        """
        if bool(txid) == bool(idempotency_key):
            raise invalid("status is of a transaction or of an idempotency_key: give one of them")
        if idempotency_key:
            request = pb.StatusRequest(idempotency_key=idempotency_key)
        else:
            request = pb.StatusRequest(txn_id=txid, realms=realms)
        return decode_status(await self.stream().ask("status", request))

    async def cancel(self, idempotency_key: str) -> Outcome:
        """Refuse an idempotency key for good: nothing that is not committed with it ever will be.

        Returns:
            ABORTED; or COMMITTED with the result, when it is too late.

        Raises:
            GritError: Unavailable; InvalidRequest.
        """
        response = await self.stream().ask("cancel", pb.CancelRequest(idempotency_key=idempotency_key))
        return decode_cancel(response)

    def stream(self, home: str = "") -> SessionStream:
        """Return the session with a home; "" = this sidecar, which relays to others."""
        stream = self._streams.get(home)
        if stream is None:
            stream = self._streams[home] = SessionStream(self._channel, home)
        return stream

    async def begin(self, begin: Begin) -> Transaction:
        """Begin a transaction at this sidecar.

        Raises:
            GritError: Unavailable; InvalidRequest.
        """
        _ack_of(begin.ack)
        response: pb.BeginResponse = await self.stream().ask("begin", self.begin_request(begin))
        has_key = bool(begin.idempotency_key)
        return Transaction(
            self.stream(), response.txn_id, response.home, response.timeout_ms, has_key=has_key, see=self.see
        )

    def join(self, call: OutgoingCall) -> Transaction:
        """Return the transaction that a call came in."""
        return Transaction(self.stream(call.home), call.txid, call.home, call.deadline_ms, call.call)

    def begin_request(self, begin: Begin) -> pb.BeginRequest:
        """Return how a transaction begins, as a message.

        Raises:
            InvalidRequest: An isolation that there is not; a staleness below 0.
        """
        if begin.isolation not in _ISOLATIONS:
            raise invalid(f"isolation is {' or '.join(map(repr, _ISOLATIONS))}, not {begin.isolation!r}")
        if not 0 <= begin.staleness < 1 << 32:
            raise invalid(f"staleness is in milliseconds, from 0 on, not {begin.staleness!r}")
        return pb.BeginRequest(
            staleness_ms=begin.staleness,
            isolation=_ISOLATIONS[begin.isolation],
            timeout_ms=begin.timeout_ms,
            idempotency_key=begin.idempotency_key,
            read_only=begin.read_only,
            age=begin.age,
            traceparent=current_traceparent(),
            service=self.service,
            name=begin.name,
            session=encode_token(self.token),
        )

    def see(self, token: SessionToken) -> None:
        """Take what a transaction has read, or has written, if this is a session."""
        if self._past is not None:
            self._past.see(token)

    async def resolve(self, request: pb.StatusRequest) -> Outcome:
        """Ask Status until it knows; UNKNOWN when it cannot be learnt, or is no longer remembered."""
        try:
            async with asyncio.timeout(RESOLVE_S_MAX):
                while True:
                    try:
                        outcome = decode_status(await self.stream().ask("status", request))
                    except Unavailable:
                        await asyncio.sleep(STATUS_PAUSE_S)
                        continue
                    if outcome.state != State.RUNNING:
                        return outcome
                    await asyncio.sleep(STATUS_PAUSE_S)
        except TimeoutError:
            text = f"Status could not be asked for {RESOLVE_S_MAX:g} s"
            return Outcome(TxnId(request.txn_id), State.UNKNOWN, Code.UNKNOWN.value, text)

    async def _transact(self, request: pb.TransactRequest) -> pb.TransactResponse:
        call: grpc.aio.UnaryUnaryMultiCallable[bytes, pb.TransactResponse] = self._channel.unary_unary(
            "/grit.pb.v1.Transactions/Transact", response_deserializer=pb.TransactResponse.FromString
        )
        try:
            return await call(expect_sendable(request.SerializeToString()))
        except GritError as error:
            raise typed(error) from error
        except grpc.aio.AioRpcError as failure:
            raise typed(error_of_call(failure, commits=True)) from failure


def _ack_of(ack: str) -> pb.Ack.ValueType:
    if ack not in _ACKS:
        raise invalid(f"ack is {' or '.join(map(repr, _ACKS))}, not {ack!r}")
    return _ACKS[ack]


class _Retries:
    """How often something has been tried, and the age that goes with it."""

    def __init__(self, attempts_max: int, chance: random.Random) -> None:
        assert attempts_max > 0
        self.age = 0
        self._left = attempts_max
        self._ceiling_s = PAUSE_S_FIRST
        self._least_s = 0.0
        self._chance = chance

    def take(self, error: TxnAborted | Unavailable | GritError) -> bool:
        """Take why the attempt failed; tell whether there is another."""
        self.age = error.age or self.age
        self._least_s = error.retry_after_ms / 1000
        return self.may_go_on()

    def may_go_on(self) -> bool:
        """Use up one attempt; tell whether there is another."""
        self._left -= 1
        return self._left > 0

    async def pause(self) -> None:
        """Wait: at random from 0 to a limit that doubles, but no less than the sidecar asked for."""
        await asyncio.sleep(self._least_s + self._chance.uniform(0, self._ceiling_s))
        self._ceiling_s = min(2 * self._ceiling_s, PAUSE_S_MAX)
        self._least_s = 0.0


class _Attempts(AbstractAsyncContextManager[Transaction]):
    """Attempts at one body: each `async with` is one, until `is_done`.

    As a context manager it sees whatever the body raises, and swallows what a further attempt will make up for.
    """

    def __init__(self, client: Client, begin: Begin, attempts_max: int) -> None:
        self.is_done = False
        self._client = client
        self._begin = begin
        self._retries = _Retries(attempts_max, client._chance)
        self._txn: Transaction | None = None
        self._entered: Any = None
        self._span: Any = None

    async def __aenter__(self) -> Transaction:
        self._span = start_span("client.transaction", attempt_of=self._begin.name)
        self._span.__enter__()
        while True:
            try:
                begin = msgspec.structs.replace(self._begin, age=self._retries.age)
                self._txn = await self._client.begin(begin)
                break
            except Unavailable as error:
                if not self._retries.take(error):
                    self._span.__exit__(None, None, None)
                    raise
                await self._retries.pause()
        self._entered = entered(self._txn)
        self._entered.__enter__()
        return self._txn

    async def __aexit__(
        self, kind: type[BaseException] | None, raised: BaseException | None, traceback: TracebackType | None
    ) -> bool:
        self._entered.__exit__(None, None, None)
        try:
            retry = await (self._commit() if raised is None else self._raised(raised))
        finally:
            self._span.__exit__(None, None, None)
        if retry is None:
            self.is_done = raised is None
            return False
        if not self._retries.take(retry):
            raise retry from raised
        await self._retries.pause()
        return True

    async def _commit(self) -> GritError | None:
        """Commit; return what makes another attempt necessary."""
        txn = self._txn
        assert txn is not None
        try:
            await txn.commit(_ack_of(self._begin.ack))
        except (TxnAborted, Unavailable) as error:
            await self._end(txn)
            return error
        except OutcomeUnknown as error:
            return await self._resolved(txn, error)
        except InvalidRequest:
            await self._end(txn)  # the home may not have heard of it, and would hold the transaction until its time-out
            raise
        return None

    async def _resolved(self, txn: Transaction, unknown: OutcomeUnknown) -> GritError | None:
        """Find out what became of a commit whose answer was lost."""
        request = pb.StatusRequest(txn_id=txn.txid, realms=sorted(txn.realms))
        outcome = await self._client.resolve(request)
        if outcome.state == State.COMMITTED:
            lsns = {Realm(next(iter(txn.realms))): outcome.lsn} if outcome.lsn else {}
            txn.saw(SessionToken(lsns, outcome.csn))
            if outcome.txid != txn.txid:
                txn.repeats(outcome.result)
            return None
        error = typed(outcome.error())
        if isinstance(error, TxnAborted):
            return error
        raise error from unknown

    async def _raised(self, raised: BaseException) -> GritError | None:
        """Take what the body raised: it is true only if what the body saw was current."""
        txn = self._txn
        assert txn is not None
        if not isinstance(raised, Exception):
            await self._end(txn)  # cancelled, or worse: nothing is waited for
            return None
        if isinstance(raised, Unavailable):
            await self._end(txn)
            return raised
        try:
            return await txn.rollback(validate=True)
        except (TxnAborted, Unavailable) as error:
            return error
        except InvalidRequest:
            return None  # already over, and why is what the body raised

    async def _end(self, txn: Transaction) -> None:
        await txn.rollback(validate=False)


def connect(address: str, *, service: str = "") -> Client:
    """Return the connection of this service to its sidecar; `async with` closes it.

    Args:
        address: host:port. Nothing is sent before the first transaction.
        service: Who this is, for others.
    """
    return Client(address, service=service)
