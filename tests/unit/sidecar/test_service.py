"""The public surface over real gRPC."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any, cast

import grpc
import pytest
from grpc_health.v1 import health_pb2

from grit.core.errors import Code, ConfigError, GritError
from grit.core.ids import Millis, Realm, make_txn_id
from grit.core.limits import Limits
from grit.core.messages import CommitAsked
from grit.core.operations import Condition, Get, Operation, Put, RowResult
from grit.pb.v1 import admin_pb2, admin_pb2_grpc, sidecar_pb2_grpc
from grit.pb.v1 import sidecar_pb2 as pb
from grit.sidecar.app import SidecarRole
from grit.sidecar.service import _Stream
from grit.wire.errors import error_of_call
from grit.wire.operations import decode_results, encode_operation
from grit.wire.requests import encode_condition
from tests.unit.sidecar.roles import Roles, deployment, sidecar
from tests.unit.sidecar.shop import BASKET, CARTS, CATALOGUE, ITEMS, STOCK, item, key

Deployed = tuple[Roles, SidecarRole, "sidecar_pb2_grpc.TransactionsAsyncStub"]


@pytest.fixture
async def deployed() -> AsyncIterator[Deployed]:
    async with deployment() as (roles, role), grpc.aio.insecure_channel(role.address) as channel:
        yield roles, role, stub_of(channel)


def stub_of(channel: grpc.aio.Channel) -> "sidecar_pb2_grpc.TransactionsAsyncStub":
    stub: sidecar_pb2_grpc.TransactionsAsyncStub = sidecar_pb2_grpc.TransactionsStub(channel)
    return stub


def operations(*given: Operation) -> list[pb.Operation]:
    return [encode_operation(one) for one in given]


def put(number: int, **fields: object) -> Put:
    return Put(STOCK, ITEMS, item(number, **fields))


def cart(owner: str) -> Put:
    return Put(BASKET, CARTS, {"owner": owner})


async def failure(call: "grpc.aio.UnaryUnaryCall[Any, Any]") -> GritError:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return error_of_call(caught.value, commits=False)


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not holds():  # noqa: ASYNC110 - what is waited for tells nobody
            await asyncio.sleep(0.005)


async def test_a_transaction_begins_runs_and_commits(deployed: Deployed) -> None:
    roles, role, stub = deployed
    begun = await stub.Begin(pb.BeginRequest())
    assert begun.home == role.address
    executed = await stub.Execute(
        pb.ExecuteRequest(
            txn_id=begun.txn_id, sequence=1, operations=operations(put(1, price=2), Get(STOCK, ITEMS, key(1)))
        )
    )
    assert decode_results(executed.results)[1] == RowResult(item(1, price=2))
    assert list(executed.realms) == ["stock"]
    committed = await stub.Commit(pb.CommitRequest(txn_id=begun.txn_id, sequence=2, operations=operations(cart("a"))))
    assert committed.csn == 1
    assert roles.realms["basket"].rows("carts") == {key("a"): {"owner": "a"}}


async def test_a_local_commit_tells_its_lsn(deployed: Deployed) -> None:
    committed = await deployed[2].Transact(pb.TransactRequest(operations=operations(put(1))))
    assert dict(committed.commit.lsns) == {"stock": 1}


async def test_transact_holds_its_conditions(deployed: Deployed) -> None:
    absent = encode_condition(Condition(STOCK, ITEMS, key(1), present=False))
    request = pb.TransactRequest(conditions=[absent], operations=operations(put(1)))
    await deployed[2].Transact(request)
    assert (await failure(deployed[2].Transact(request))).code == Code.CONSTRAINT


async def test_a_session_answers_out_of_order_by_id(deployed: Deployed) -> None:
    roles, _, stub = deployed
    roles.mute = lambda message: isinstance(message, CommitAsked)
    stream = stub.Session()
    await stream.write(pb.ClientFrame(id=1, transact=pb.TransactRequest(operations=operations(put(1)))))
    await stream.write(pb.ClientFrame(id=2, begin=pb.BeginRequest()))
    answer = await read(stream)
    assert (answer.id, answer.WhichOneof("response")) == (2, "begin")
    roles.mute = lambda _: False
    roles.break_links()
    answer = await read(stream)
    assert answer.id == 1
    assert answer.error.code == Code.REFUSED
    await stream.done_writing()
    assert await stream.read() is grpc.aio.EOF


async def read(stream: "grpc.aio.StreamStreamCall[pb.ClientFrame, pb.ServerFrame]") -> pb.ServerFrame:
    async with asyncio.timeout(10):
        frame = await stream.read()
    assert isinstance(frame, pb.ServerFrame)
    return frame


async def test_a_client_that_goes_away_leaves_the_sidecar_well(deployed: Deployed) -> None:
    _, role, stub = deployed
    failures: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: failures.append(context))
    stream = stub.Session()
    await stream.write(pb.ClientFrame(id=1, begin=pb.BeginRequest()))
    await read(stream)
    await stream.write(pb.ClientFrame(id=2, begin=pb.BeginRequest()))
    stream.cancel()
    async with grpc.aio.insecure_channel(role.address) as channel:
        await stub_of(channel).Begin(pb.BeginRequest())
        await until(lambda: not any("session reader" in task.get_name() for task in asyncio.all_tasks()))
    assert failures == []


async def test_a_server_that_stops_while_a_session_is_read_ends_the_session() -> None:
    class Stopped:
        """What gRPC hands a handler whose server stops: reading raises."""

        def __aiter__(self) -> "Stopped":
            return self

        async def __anext__(self) -> bytes:
            raise grpc.aio.BaseError("Server already stopped.")

    stream = _Stream(cast(Any, None), cast(Any, None))  # neither is reached: no frame comes
    async with asyncio.timeout(10):
        await stream.run(Stopped())


async def test_a_frame_that_is_none_ends_the_stream_with_one_line(deployed: Deployed) -> None:
    _, role, _ = deployed
    async with grpc.aio.insecure_channel(role.address) as channel:
        multi: grpc.aio.StreamStreamMultiCallable[bytes, bytes] = channel.stream_stream(
            "/grit.pb.v1.Transactions/Session"
        )
        call = multi()
        await call.write(b"\xff\xff\xff")
        answer = await call.read()
        assert isinstance(answer, bytes)
        assert pb.ServerFrame.FromString(answer).error.code == Code.BAD_REQUEST


async def test_a_frame_without_a_request_is_unsupported(deployed: Deployed) -> None:
    stream = deployed[2].Session()
    await stream.write(pb.ClientFrame(id=7))
    assert (await read(stream)).error.code == Code.UNSUPPORTED
    stream.cancel()


@pytest.mark.parametrize(
    ("begin", "code"),
    [
        (pb.BeginRequest(staleness_ms=5), Code.BAD_REQUEST),
        (pb.BeginRequest(session=pb.SessionToken(csn=-1)), Code.BAD_REQUEST),
        (pb.BeginRequest(session=pb.SessionToken(lsns={"stock": -1})), Code.BAD_REQUEST),
        (pb.BeginRequest(timeout_ms=10**9), Code.BAD_REQUEST),
    ],
)
async def test_a_begin_that_cannot_be_had_is_refused_clearly(
    deployed: Deployed, begin: pb.BeginRequest, code: Code
) -> None:
    assert (await failure(deployed[2].Begin(begin))).code == code


async def test_a_read_only_transaction_is_refused_its_first_write(deployed: Deployed) -> None:
    begun = await deployed[2].Begin(pb.BeginRequest(read_only=True))
    execute = pb.ExecuteRequest(txn_id=begun.txn_id, operations=operations(put(1)))
    assert (await failure(deployed[2].Execute(execute))).code == Code.BAD_REQUEST


async def test_a_commit_says_that_it_is_applied_when_that_was_asked_for(deployed: Deployed) -> None:
    for ack, applied in ((pb.ACK_APPLIED, True), (pb.ACK_UNSPECIFIED, False)):
        request = pb.TransactRequest(ack=ack, operations=operations(put(1)))
        assert (await deployed[2].Transact(request)).commit.applied == applied


@pytest.mark.parametrize(
    ("txid", "code"),
    [("nonsense", Code.BAD_REQUEST), (make_txn_id(Millis(1), 1), Code.NO_SUCH_TRANSACTION)],
)
async def test_an_unknown_transaction_is_told_in_one_line(deployed: Deployed, txid: str, code: Code) -> None:
    error = await failure(deployed[2].Execute(pb.ExecuteRequest(txn_id=txid)))
    assert error.code == code
    assert "\n" not in error.message


async def test_a_finished_transaction_says_how_it_ended(deployed: Deployed) -> None:
    begun = await deployed[2].Begin(pb.BeginRequest())
    await deployed[2].Commit(pb.CommitRequest(txn_id=begun.txn_id))
    error = await failure(deployed[2].Commit(pb.CommitRequest(txn_id=begun.txn_id)))
    assert error.code == Code.NO_SUCH_TRANSACTION
    assert "has committed" in error.message


async def test_a_rolled_back_transaction_may_be_rolled_back_again(deployed: Deployed) -> None:
    begun = await deployed[2].Begin(pb.BeginRequest())
    for _ in range(2):
        assert not (await deployed[2].Rollback(pb.RollbackRequest(txn_id=begun.txn_id))).reads_valid


async def test_a_wrong_operation_names_its_place_and_dooms_the_transaction(deployed: Deployed) -> None:
    begun = await deployed[2].Begin(pb.BeginRequest())
    wrong = Put(STOCK, ITEMS, {"id": 2, "colour": "red"})
    request = pb.ExecuteRequest(txn_id=begun.txn_id, operations=operations(put(1), wrong))
    error = await failure(deployed[2].Execute(request))
    assert error.code == Code.BAD_REQUEST
    assert error.message.startswith("operations[1]: stock.items")
    assert (await failure(deployed[2].Commit(pb.CommitRequest(txn_id=begun.txn_id)))).code == Code.BAD_REQUEST


async def test_a_value_made_of_stale_reads_is_a_conflict_and_no_data_error(deployed: Deployed) -> None:
    roles, _, stub = deployed
    roles.realms["stock"].load("items", {key(1): item(1, on_hand=1)})
    begun = await stub.Begin(pb.BeginRequest())
    await stub.Execute(pb.ExecuteRequest(txn_id=begun.txn_id, operations=operations(Get(STOCK, ITEMS, key(1)))))
    roles.realms["stock"].load("items", {key(1): item(1, on_hand=9)})
    request = pb.ExecuteRequest(txn_id=begun.txn_id, operations=operations(put(1, on_hand=-1)))
    assert (await failure(stub.Execute(request))).code == Code.READ_CONFLICT


async def test_status_of_an_open_transaction_is_running(deployed: Deployed) -> None:
    begun = await deployed[2].Begin(pb.BeginRequest())
    status = await deployed[2].Status(pb.StatusRequest(txn_id=begun.txn_id))
    assert status.outcome == pb.OUTCOME_RUNNING


async def test_status_of_a_committed_and_of_a_rolled_back_transaction(deployed: Deployed) -> None:
    committed = await deployed[2].Transact(pb.TransactRequest(operations=operations(put(1))))
    status = await deployed[2].Status(pb.StatusRequest(txn_id=committed.commit.txn_id))
    assert status.outcome == pb.OUTCOME_COMMITTED
    begun = await deployed[2].Begin(pb.BeginRequest())
    await deployed[2].Rollback(pb.RollbackRequest(txn_id=begun.txn_id))
    status = await deployed[2].Status(pb.StatusRequest(txn_id=begun.txn_id))
    assert status.outcome == pb.OUTCOME_ABORTED


async def test_another_sidecar_learns_the_outcome_from_the_arbiters(deployed: Deployed) -> None:
    roles, _, stub = deployed
    local = await stub.Transact(pb.TransactRequest(operations=operations(put(1))))
    everywhere = await stub.Transact(pb.TransactRequest(operations=operations(put(2), cart("a"))))
    never = make_txn_id(Millis(1_000_000), 5)
    async with sidecar(roles) as other, grpc.aio.insecure_channel(other.address) as channel:
        for txid, outcome in (
            (local.commit.txn_id, pb.OUTCOME_COMMITTED),
            (everywhere.commit.txn_id, pb.OUTCOME_COMMITTED),
            (never, pb.OUTCOME_ABORTED),
        ):
            status = await stub_of(channel).Status(pb.StatusRequest(txn_id=txid, realms=["stock"]))
            assert status.outcome == outcome
    assert never in roles.realms["stock"].refused


async def test_an_idempotency_key_commits_once_and_keeps_its_result(deployed: Deployed) -> None:
    stub = deployed[2]
    begin = pb.BeginRequest(idempotency_key="k")
    assert (await stub.Status(pb.StatusRequest(idempotency_key="k"))).outcome == pb.OUTCOME_NOT_COMMITTED
    first = await stub.Transact(pb.TransactRequest(begin=begin, operations=operations(put(1)), result=b"one"))
    again = await stub.Transact(pb.TransactRequest(begin=begin, operations=operations(put(2)), result=b"two"))
    assert again.commit.repeated_key
    assert (again.commit.txn_id, again.commit.result) == (first.commit.txn_id, b"one")
    assert (await stub.Status(pb.StatusRequest(idempotency_key="k"))).commit.result == b"one"
    assert (await stub.Cancel(pb.CancelRequest(idempotency_key="k"))).outcome == pb.OUTCOME_COMMITTED
    assert (await stub.Cancel(pb.CancelRequest(idempotency_key="x"))).outcome == pb.OUTCOME_ABORTED


async def test_a_commit_whose_answer_is_lost_is_settled_by_status(deployed: Deployed) -> None:
    roles, _, stub = deployed
    roles.mute = lambda message: isinstance(message, CommitAsked)
    call = stub.Transact(pb.TransactRequest(operations=operations(put(1))))
    await until(lambda: bool(roles.swallowed))
    async with asyncio.timeout(10):
        roles.break_links()
        assert (await failure(call)).code == Code.REFUSED
    assert roles.realms.locals == []


async def test_a_sidecar_without_its_roles_is_unavailable_not_stuck() -> None:
    roles = Roles()
    async with sidecar(roles) as role, grpc.aio.insecure_channel(role.address) as channel:
        request = pb.TransactRequest(operations=operations(put(1)))
        async with asyncio.timeout(20):
            error = await failure(stub_of(channel).Transact(request))
        assert error.code == Code.NO_LEADER
        assert "dbtm stock" in error.message
        assert "no link" in role.problem()


async def test_the_table_of_open_transactions_is_bounded() -> None:
    async with deployment(Limits(open_transactions=1)) as (_, role), grpc.aio.insecure_channel(role.address) as channel:
        begun = await stub_of(channel).Begin(pb.BeginRequest())
        error = await failure(stub_of(channel).Begin(pb.BeginRequest()))
        assert error.code == Code.OVERLOADED
        assert error.retry_after_ms > 0
        await stub_of(channel).Rollback(pb.RollbackRequest(txn_id=begun.txn_id))
        await stub_of(channel).Begin(pb.BeginRequest())


async def test_a_transaction_past_its_time_is_removed() -> None:
    async with deployment() as (_, role), grpc.aio.insecure_channel(role.address) as channel:
        begun = await stub_of(channel).Begin(pb.BeginRequest(timeout_ms=1))
        await until(lambda: not len(role._sessions))
        assert (await failure(stub_of(channel).Commit(pb.CommitRequest(txn_id=begun.txn_id)))).code == Code.TIMED_OUT


async def test_draining_begins_nothing_and_aborts_what_stays_open() -> None:
    async with deployment() as (_, role), grpc.aio.insecure_channel(role.address) as channel:
        begun = await stub_of(channel).Begin(pb.BeginRequest())
        await role.drain()
        assert (await failure(stub_of(channel).Begin(pb.BeginRequest()))).code == Code.SHUTTING_DOWN
        assert (await failure(stub_of(channel).Commit(pb.CommitRequest(txn_id=begun.txn_id)))).code == Code.LOST_HOME
        check: grpc.aio.UnaryUnaryMultiCallable[Any, Any] = channel.unary_unary(
            "/grpc.health.v1.Health/Check",
            request_serializer=health_pb2.HealthCheckRequest.SerializeToString,
            response_deserializer=health_pb2.HealthCheckResponse.FromString,
        )
        answer = await check(health_pb2.HealthCheckRequest())
        assert answer.status == health_pb2.HealthCheckResponse.NOT_SERVING


async def test_a_port_in_use_is_one_clear_line(deployed: Deployed) -> None:
    roles, role, _ = deployed
    second = SidecarRole(
        CATALOGUE, roles.links, role.address, gtm=("gtm",), dbtms={Realm(r): () for r in CATALOGUE}, limits=Limits()
    )
    with pytest.raises(ConfigError, match="cannot listen on"):
        await second.start()
    await second.close()


async def test_admin_status_asks_every_role(deployed: Deployed) -> None:
    _, role, stub = deployed
    await stub.Transact(pb.TransactRequest(operations=operations(put(1))))
    async with grpc.aio.insecure_channel(role.address) as channel:
        admin = admin_pb2_grpc.AdminStub(channel)
        status = (await admin.Status(admin_pb2.AdminStatusRequest())).deployment
    assert status.committed == 1
    assert [(one.role, one.realm) for one in status.roles][:3] == [(1, ""), (2, ""), (3, "basket")]
    assert {realm.realm: realm.lsn for realm in status.realms} == {"basket": 0, "social": 0, "stock": 1}


async def test_a_call_for_another_home_is_piped_there(deployed: Deployed) -> None:
    roles, home, stub = deployed
    begun = await stub.Begin(pb.BeginRequest())
    metadata = (("grit-home", home.address),)
    async with sidecar(roles) as other, grpc.aio.insecure_channel(other.address) as channel:
        request = pb.ExecuteRequest(txn_id=begun.txn_id, operations=operations(put(1)), call_id=f"{begun.txn_id}-1")
        await stub_of(channel).Execute(request, metadata=metadata)
        stream = stub_of(channel).Session(metadata=metadata)
        confirm = pb.ConfirmCallRequest(
            txn_id=begun.txn_id, call=pb.ConfirmedCall(call_id=f"{begun.txn_id}-1", operations=1)
        )
        await stream.write(pb.ClientFrame(id=1, confirm_call=confirm))
        assert (await read(stream)).WhichOneof("response") == "confirm_call"
        await stream.done_writing()
        error = await failure(stub_of(channel).Rollback(pb.RollbackRequest(txn_id="nonsense"), metadata=metadata))
        assert error.code == Code.BAD_REQUEST
    await stub.Commit(pb.CommitRequest(txn_id=begun.txn_id))
    assert key(1) in roles.realms["stock"].rows("items")


async def test_a_request_that_names_another_home_is_forwarded(deployed: Deployed) -> None:
    roles, home, stub = deployed
    begun = await stub.Begin(pb.BeginRequest())
    async with sidecar(roles) as other, grpc.aio.insecure_channel(other.address) as channel:
        opened = await stub_of(channel).OpenCall(pb.OpenCallRequest(txn_id=begun.txn_id, home=home.address))
        assert opened.call_id == f"{begun.txn_id}-h1"


async def test_what_was_relayed_once_is_not_relayed_again(deployed: Deployed) -> None:
    metadata = (("grit-home", "127.0.0.1:1"), ("grit-relayed", "1"))
    error = await failure(deployed[2].Begin(pb.BeginRequest(), metadata=metadata))
    assert error.code == Code.NO_SUCH_TRANSACTION
