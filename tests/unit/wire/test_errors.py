"""Errors both ways: over a real call, in a frame, and when nobody of ours answered."""

from collections.abc import AsyncIterator, Awaitable, Callable

import grpc
import pytest

from grit.core.errors import Code, GritError, Kind
from grit.core.ids import Collection, Lsn, Realm, TxnId
from grit.core.keys import encode_key
from grit.core.outcome import Conflict, Outcome, State
from grit.pb.v1 import sidecar_pb2 as pb
from grit.pb.v1 import sidecar_pb2_grpc as rpc
from grit.wire.channel import CHANNEL_OPTIONS, SERVER_OPTIONS
from grit.wire.errors import ERROR_ENTRY, MESSAGE_MAX, abort, decode_error, encode_error, error_of_call, status_of
from grit.wire.requests import decode_begin, decode_status, decode_txn_id, encode_commit, encode_status

CONFLICT = Conflict(
    Realm("shop"),
    Collection("stock"),
    encode_key(["s1", 9]),
    TxnId("t-0000000000a-000000000000000b"),
    "checkout, shop",
    Lsn(9120),
    Lsn(9104),
    predicate=True,
)


def parts(error: GritError) -> tuple[object, ...]:
    return error.code, error.kind, error.message, error.retry_after_ms, error.age, error.conflict


@pytest.mark.parametrize("code", Code)
def test_every_code_arrives_as_it_was_sent(code: Code) -> None:
    error = GritError(code, "what, and what to do", retry_after_ms=7, age=11, conflict=CONFLICT)
    assert parts(decode_error(pb.Error.FromString(encode_error(error).SerializeToString()))) == parts(error)


def test_a_conflict_is_readable_by_people_too() -> None:
    details = encode_error(GritError(Code.READ_CONFLICT, "m", conflict=CONFLICT)).details
    assert (details.key, details.winner_service) == ("(s1,9)", "checkout, shop")


@pytest.mark.parametrize("kind", range(1, 5))
def test_a_code_of_a_newer_sidecar_keeps_its_kind(kind: int) -> None:
    error = decode_error(pb.Error(kind=pb.ErrorKind.ValueType(kind), code="NEWER", message="m"))
    assert error.kind == list(Kind)[kind - 1]
    assert error.message == "NEWER: m"


def test_an_error_of_no_known_kind_may_have_committed() -> None:
    assert decode_error(pb.Error(code="NEWER")).kind == Kind.OUTCOME_UNKNOWN


STATUS = {
    Kind.INVALID_REQUEST: {"INVALID_ARGUMENT", "PERMISSION_DENIED", "FAILED_PRECONDITION"},
    Kind.TXN_ABORTED: {"ABORTED"},
    Kind.OUTCOME_UNKNOWN: {"UNKNOWN"},
    Kind.UNAVAILABLE: {"UNAVAILABLE"},
}


@pytest.mark.parametrize("code", Code)
def test_the_status_of_a_code_is_one_of_its_kind(code: Code) -> None:
    assert status_of(code).name in STATUS[code.kind]


def test_statuses_tell_invalid_requests_apart() -> None:
    assert status_of(Code.NOT_AUTHORISED) == grpc.StatusCode.PERMISSION_DENIED
    assert status_of(Code.NOT_FOUND) == grpc.StatusCode.FAILED_PRECONDITION
    assert status_of(Code.TYPE_MISMATCH) == grpc.StatusCode.INVALID_ARGUMENT


Context = grpc.aio.ServicerContext[pb.CommitRequest, pb.CommitResponse]


class FailingSidecar:
    """Ends every commit as it was told."""

    def __init__(self) -> None:
        self.fail: Callable[[Context], Awaitable[None]] | None = None

    async def commit(self, _: pb.CommitRequest, context: Context) -> pb.CommitResponse:
        assert self.fail is not None
        await self.fail(context)
        return pb.CommitResponse()

    def handler(self) -> grpc.GenericRpcHandler:
        commit = grpc.unary_unary_rpc_method_handler(
            self.commit,
            request_deserializer=pb.CommitRequest.FromString,
            response_serializer=pb.CommitResponse.SerializeToString,
        )
        return grpc.method_handlers_generic_handler("grit.pb.v1.Transactions", {"Commit": commit})


@pytest.fixture
async def failing() -> AsyncIterator[tuple[FailingSidecar, "rpc.TransactionsAsyncStub"]]:
    server = grpc.aio.server(options=SERVER_OPTIONS)
    sidecar = FailingSidecar()
    server.add_generic_rpc_handlers((sidecar.handler(),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}", options=CHANNEL_OPTIONS) as channel:
        yield sidecar, rpc.TransactionsStub(channel)
    await server.stop(None)


async def failure_of(stub: "rpc.TransactionsAsyncStub") -> grpc.aio.AioRpcError:
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await stub.Commit(pb.CommitRequest(), timeout=20)
    return raised.value


async def test_an_error_comes_through_a_call_with_its_status(
    failing: tuple[FailingSidecar, "rpc.TransactionsAsyncStub"],
) -> None:
    sidecar, stub = failing
    error = GritError(Code.READ_CONFLICT, "changed", age=5, conflict=CONFLICT)
    sidecar.fail = lambda context: abort(context, error)
    failure = await failure_of(stub)
    assert failure.code() == grpc.StatusCode.ABORTED
    assert parts(error_of_call(failure, commits=True)) == parts(error)


async def test_a_message_of_any_length_and_script_comes_through(
    failing: tuple[FailingSidecar, "rpc.TransactionsAsyncStub"],
) -> None:
    sidecar, stub = failing
    sidecar.fail = lambda context: abort(context, GritError(Code.BAD_REQUEST, "é" * 100_000))
    error = error_of_call(await failure_of(stub), commits=True)
    assert error.code == Code.BAD_REQUEST
    assert 0 < len(error.message) <= MESSAGE_MAX


@pytest.mark.parametrize(
    "status", [grpc.StatusCode.ABORTED, grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.INVALID_ARGUMENT]
)
async def test_a_bare_status_on_a_commit_is_an_unknown_outcome_whatever_it_says(
    status: grpc.StatusCode, failing: tuple[FailingSidecar, "rpc.TransactionsAsyncStub"]
) -> None:
    sidecar, stub = failing
    sidecar.fail = lambda context: context.abort(status, "a proxy")
    failure = await failure_of(stub)
    assert error_of_call(failure, commits=True).code == Code.UNKNOWN
    assert error_of_call(failure, commits=False).kind == Kind.UNAVAILABLE


async def test_an_entry_that_is_no_error_counts_as_none(
    failing: tuple[FailingSidecar, "rpc.TransactionsAsyncStub"],
) -> None:
    sidecar, stub = failing
    sidecar.fail = lambda context: context.abort(grpc.StatusCode.ABORTED, "x", ((ERROR_ENTRY, b"\xff\xff"),))
    assert error_of_call(await failure_of(stub), commits=True).code == Code.UNKNOWN


async def test_a_dead_sidecar_leaves_a_commit_unknown() -> None:
    async with grpc.aio.insecure_channel("127.0.0.1:1", options=CHANNEL_OPTIONS) as channel:
        failure = await failure_of(rpc.TransactionsStub(channel))
    assert error_of_call(failure, commits=True).code == Code.UNKNOWN


TXN = TxnId("t-0000000000a-000000000000000b")
OTHER = TxnId("t-0000000000a-000000000000000c")


def test_a_commit_answers_the_earlier_transaction_of_its_key() -> None:
    outcome = Outcome(OTHER, State.COMMITTED, result=b"kept")
    response = encode_commit(TXN, outcome, {Realm("shop"): Lsn(3)}, (), packed=False)
    assert (response.txn_id, response.repeated_key, response.result) == (OTHER, True, b"kept")
    assert dict(response.lsns) == {"shop": 3}
    assert not encode_commit(OTHER, outcome, {}).repeated_key


@pytest.mark.parametrize("state", State)
def test_an_outcome_arrives_as_it_was_sent(state: State) -> None:
    outcome = Outcome(TXN, state) if state == State.COMMITTED else Outcome(TxnId(""), state, "EXPIRED", "m", age=3)
    assert decode_status(encode_status(outcome)) == outcome


def test_an_outcome_of_a_newer_sidecar_is_unknown() -> None:
    assert decode_status(pb.StatusResponse.FromString(b"\x08\x63")).state == State.UNKNOWN


def test_a_begin_says_who_begins() -> None:
    begin = decode_begin(pb.BeginRequest(service="shop", name="checkout", age=4, isolation=pb.ISOLATION_SNAPSHOT))
    assert (begin.origin, begin.age, begin.snapshot) == ("checkout, shop", 4, True)


@pytest.mark.parametrize(
    ("begin", "code"),
    [
        (pb.BeginRequest(service="s" * 65), Code.TOO_LARGE),
        (pb.BeginRequest(isolation=pb.Isolation.ValueType(9)), Code.BAD_REQUEST),
    ],
)
def test_a_malformed_begin_is_refused(begin: pb.BeginRequest, code: Code) -> None:
    with pytest.raises(GritError) as raised:
        decode_begin(begin)
    assert raised.value.code == code


@pytest.mark.parametrize("text", ["", "t-1", "T-0000000000a-000000000000000b", TXN + "0"])
def test_what_is_no_transaction_id_is_refused(text: str) -> None:
    with pytest.raises(GritError, match="not a transaction id"):
        decode_txn_id(text)
