"""Requests of the public surface, each from its message to its answer; gRPC itself is `service`'s.

Every handler lets its session take the request before it first waits: requests of one stream reach their transaction in
the order in which they came.
"""

from collections.abc import Awaitable, Callable, Iterable, Mapping

from google.protobuf.message import Message as ProtoMessage

from grit.core.catalog import RealmDef
from grit.core.errors import GritError
from grit.core.ids import Lsn, Realm, TxnId
from grit.core.limits import Limits
from grit.core.operations import Begin, Operation
from grit.core.outcome import State
from grit.core.validate import validated, validated_begin, validated_condition
from grit.pb.v1 import sidecar_pb2 as pb
from grit.sidecar.events import (
    CallConfirmed,
    CallDone,
    CallDropped,
    CallJoined,
    CallOpened,
    CallTaken,
    CommitRequested,
    Committed,
    OperationsAsked,
    Reply,
    Request,
    Results,
    RollbackRequested,
    RolledBack,
)
from grit.sidecar.outcomes import Outcomes
from grit.sidecar.sessions import Open, Sessions
from grit.telemetry.tracing import start_span
from grit.wire.errors import encode_error
from grit.wire.operations import decode_operation, encode_result
from grit.wire.requests import (
    decode_begin,
    decode_condition,
    decode_txn_id,
    encode_commit,
    encode_status,
    encode_token,
)

Handler = Callable[[ProtoMessage], Awaitable[ProtoMessage]]


class Requests:
    """Every request by its name in a frame: `begin`, `execute`, ...

    Attributes:
        home: host:port at which called services reach this sidecar.
    """

    def __init__(
        self, catalogue: Mapping[Realm, RealmDef], limits: Limits, sessions: Sessions, outcomes: Outcomes
    ) -> None:
        self.home = ""
        self._catalogue = catalogue
        self._limits = limits
        self._sessions = sessions
        self._outcomes = outcomes

    async def begin(self, request: pb.BeginRequest) -> pb.BeginResponse:
        """Begin a transaction."""
        with start_span("sidecar.begin", request.traceparent):
            found = self._begin(request)
        return pb.BeginResponse(txn_id=found.session.txid, timeout_ms=self._sessions.left_ms(found), home=self.home)

    async def execute(self, request: pb.ExecuteRequest) -> pb.ExecuteResponse:
        """Run operations."""
        found = self._find(request.txn_id)
        operations, refusal = self._operations(request.operations)
        with start_span("sidecar.execute", found.trace, txid=request.txn_id, operations=len(request.operations)):
            reply = await self._sessions.ask(
                found,
                lambda number: OperationsAsked(number, operations, request.call_id, request.sequence, refusal),
            )
        assert isinstance(reply, Results)
        packed = request.packed_results
        return pb.ExecuteResponse(
            results=[encode_result(result, packed=packed) for result in reply.results],
            realms=[str(realm) for realm in reply.realms],
            session=encode_token(reply.token),
        )

    async def commit(self, request: pb.CommitRequest) -> pb.CommitResponse:
        """Commit."""
        found = self._find(request.txn_id)
        operations, refusal = self._operations(request.operations)
        confirmed = tuple((call.call_id, call.operations) for call in request.confirmed_calls)
        with start_span("sidecar.commit", found.trace, txid=request.txn_id):
            reply = await self._sessions.ask(
                found,
                lambda number: CommitRequested(
                    number,
                    operations,
                    (),
                    request.sequence,
                    request.result,
                    confirmed,
                    refusal,
                    request.ack == pb.ACK_APPLIED,
                ),
            )
        return _commit_response(found.session.txid, reply, packed=request.packed_results)

    async def rollback(self, request: pb.RollbackRequest) -> pb.RollbackResponse:
        """End without effect; harmless when it has ended."""
        txid = decode_txn_id(request.txn_id)
        if not self._sessions.is_open(txid) and not request.validate:
            return pb.RollbackResponse()
        found = self._sessions.find(txid)
        with start_span("sidecar.rollback", found.trace, txid=request.txn_id):
            reply = await self._sessions.ask(found, lambda number: RollbackRequested(number, request.validate))
        assert isinstance(reply, RolledBack)
        stale = None if reply.stale is None else encode_error(reply.stale)
        return pb.RollbackResponse(reads_valid=reply.reads_valid, conflict=stale)

    async def transact(self, request: pb.TransactRequest) -> pb.TransactResponse:
        """Begin, check, run and commit in one."""
        with start_span("sidecar.transact", request.begin.traceparent):
            conditions = tuple(
                validated_condition(decode_condition(one, f"conditions[{at}]"), self._catalogue, self._limits)
                for at, one in enumerate(request.conditions)
            )
            operations, refusal = self._operations(request.operations)
            if refusal is not None:
                raise refusal
            found = self._begin(request.begin)
            reply = await self._sessions.ask(
                found,
                lambda number: CommitRequested(
                    number,
                    operations,
                    conditions,
                    result=request.result,
                    ack_applied=request.ack == pb.ACK_APPLIED,
                ),
            )
        commit = _commit_response(found.session.txid, reply, packed=request.packed_results)
        return pb.TransactResponse(commit=commit)

    async def status(self, request: pb.StatusRequest) -> pb.StatusResponse:
        """Tell what became of a transaction or a key."""
        subject = request.WhichOneof("subject")
        if subject == "idempotency_key":
            return encode_status(await self._outcomes.of_key(request.idempotency_key))
        txid = decode_txn_id(request.txn_id)
        outcome = await self._outcomes.of_transaction(txid, map(Realm, request.realms))
        is_local = bool(outcome.lsn) and len(request.realms) == 1
        return encode_status(outcome, {Realm(request.realms[0]): outcome.lsn} if is_local else {})

    async def cancel(self, request: pb.CancelRequest) -> pb.CancelResponse:
        """Refuse a key for good."""
        if not request.idempotency_key:
            raise GritError.bad_request("cancel needs an idempotency_key")
        status = encode_status(await self._outcomes.cancel(request.idempotency_key))
        commit = status.commit if status.HasField("commit") else None
        return pb.CancelResponse(outcome=status.outcome, commit=commit)

    async def open_call(self, request: pb.OpenCallRequest) -> pb.OpenCallResponse:
        """Mint the id of a call."""
        found = self._find(request.txn_id)
        taken = await self._call(found, lambda number: CallOpened(number, request.parent_call_id))
        left_ms = self._sessions.left_ms(found)
        return pb.OpenCallResponse(call_id=taken, timeout_ms=left_ms, home=self.home)

    async def join(self, request: pb.JoinRequest) -> pb.JoinResponse:
        """Let a called service enter."""
        found = self._find(request.txn_id)
        with start_span("sidecar.join", request.traceparent or found.trace, service=request.service):
            await self._call(found, lambda number: CallJoined(number, request.call_id, request.run_id))
        return pb.JoinResponse(timeout_ms=self._sessions.left_ms(found), read_only=found.begin.read_only)

    async def call_done(self, request: pb.CallDoneRequest) -> pb.CallDoneResponse:
        """Take how many operations a call made."""
        found = self._find(request.txn_id)
        await self._call(found, lambda number: CallDone(number, request.call_id, request.operations))
        return pb.CallDoneResponse()

    async def confirm_call(self, request: pb.ConfirmCallRequest) -> pb.ConfirmCallResponse:
        """Take that the caller saw the answer."""
        found, call = self._find(request.txn_id), request.call
        await self._call(found, lambda number: CallConfirmed(number, call.call_id, call.operations))
        return pb.ConfirmCallResponse()

    async def drop_call(self, request: pb.DropCallRequest) -> pb.DropCallResponse:
        """Discard what a call did."""
        found = self._find(request.txn_id)
        await self._call(found, lambda number: CallDropped(number, request.call_id))
        return pb.DropCallResponse()

    async def _call(self, found: Open, make: Callable[[int], Request]) -> str:
        reply = await self._sessions.ask(found, make)
        assert isinstance(reply, CallTaken)
        return reply.call

    def _begin(self, request: pb.BeginRequest) -> Open:
        begin: Begin = validated_begin(decode_begin(request), self._limits)
        return self._sessions.begin(begin)

    def _find(self, text: str) -> Open:
        return self._sessions.find(decode_txn_id(text))

    def _operations(self, operations: Iterable[pb.Operation]) -> tuple[tuple[Operation, ...], GritError | None]:
        """Return the operations up to the first that is wrong, and what is wrong with it.

        A value may be wrong because of what the body read, so the session tells it, after those before it.
        """
        good: list[Operation] = []
        for at, one in enumerate(operations):
            place = f"operations[{at}]"
            try:
                good.append(validated(decode_operation(one, place), self._catalogue, self._limits))
            except GritError as error:
                return tuple(good), GritError(error.code, f"{place}: {error.message}")
        return tuple(good), None


def _commit_response(asked: TxnId, reply: Reply, *, packed: bool) -> pb.CommitResponse:
    assert isinstance(reply, Committed)
    outcome = reply.outcome
    assert outcome.state == State.COMMITTED
    lsns = {reply.realms[0]: outcome.lsn} if outcome.lsn and len(reply.realms) == 1 else dict[Realm, Lsn]()
    response = encode_commit(asked, outcome, lsns, reply.results, token=reply.token, packed=packed)
    response.applied = reply.is_applied
    return response
