"""Bad input of every kind: one clear line or a typed error, nothing lost, and everybody else goes on."""

import asyncio
import shutil
import socket
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import grpc
import pytest

import grit.client
from grit.cli.main import run
from grit.client import Client, GritError, InvalidRequest, Transaction, TxnAborted
from grit.core.errors import Code
from grit.log.log_file import checksum_of
from grit.pb.v1 import sidecar_pb2 as pb
from grit.pb.v1 import sidecar_pb2_grpc
from grit.wire.errors import error_of_call
from sample_services.demo.deployment import HOST
from tests.e2e.deployment import ENDS_ITS_PROCESSES, LIMIT_S, Deployment
from tests.e2e.deployment import grit as run_grit
from tests.e2e.load import patiently

pytestmark = [pytest.mark.xdist_group("bad input"), ENDS_ITS_PROCESSES]
Body = Callable[[Transaction], Awaitable[object]]

STOCK = {"product": "p", "on_hand": 1, "sold": 0}


@pytest.fixture
async def db(dev: Deployment) -> AsyncIterator[Client]:
    async with grit.client.connect(dev.sidecar) as client:
        yield client
        await commit_something(client)


async def commit_something(client: Client, product: str = "p") -> None:
    """Everybody else goes on."""

    async def write(txn: Transaction) -> None:
        await txn.put("orders.stock", {**STOCK, "product": product})
        await txn.put("carts.carts", {"customer": product, "items": []})

    async with asyncio.timeout(LIMIT_S):
        await patiently(client, write)


# -- requests -------------------------------------------------------------------------------------------------

INVALID: dict[str, tuple[Body, Code, str]] = {
    "unknown realm": (lambda t: t.get("nowhere.stock", "p"), Code.UNKNOWN_COLLECTION, "nowhere"),
    "unknown collection": (lambda t: t.get("orders.stok", "p"), Code.UNKNOWN_COLLECTION, 'did you mean "stock"'),
    "no realm": (lambda t: t.get("stock", "p"), Code.BAD_REQUEST, "stock"),
    "unknown field": (lambda t: t.put("orders.stock", {**STOCK, "onhand": 1}), Code.BAD_REQUEST, "onhand"),
    "unknown field asked for": (lambda t: t.get("orders.stock", "p", fields=["onhand"]), Code.BAD_REQUEST, "onhand"),
    "unknown field in a query": (
        lambda t: t.find("orders.stock", grit.client.field("onhand") == 1),
        Code.BAD_REQUEST,
        "onhand",
    ),
    "wrong type": (lambda t: t.put("orders.stock", {**STOCK, "on_hand": "many"}), Code.TYPE_MISMATCH, "on_hand"),
    "wrong type of a key": (lambda t: t.get("orders.stock", 7), Code.TYPE_MISMATCH, "product"),
    "too many parts of a key": (lambda t: t.get("orders.stock", ("p", "q")), Code.BAD_REQUEST, "1 component"),
    "no value": (lambda t: t.put("orders.stock", {**STOCK, "on_hand": object()}), Code.TYPE_MISMATCH, "object"),
    "beyond 64 bits": (lambda t: t.put("orders.stock", {**STOCK, "on_hand": 1 << 63}), Code.BAD_REQUEST, "64 bits"),
    "longer than the field": (
        lambda t: t.put("orders.stock", {**STOCK, "product": "x" * 41}),
        Code.TOO_LARGE,
        "product",
    ),
    "key missing": (lambda t: t.put("orders.stock", {"on_hand": 1, "sold": 0}), Code.BAD_REQUEST, "product"),
    "larger than a transaction": (
        lambda t: t.put("carts.carts", {"customer": "p", "items": ["x" * (9 << 20)]}),
        Code.TOO_LARGE,
        "bytes",
    ),
}


@pytest.mark.parametrize("name", INVALID)
async def test_an_invalid_request_names_what_is_wrong_and_has_no_effect(db: Client, name: str) -> None:
    body, code, words = INVALID[name]
    with pytest.raises(InvalidRequest) as raised:
        await written_and(db, body)
    assert (raised.value.code, words in raised.value.message) == (code, True), raised.value
    assert "\n" not in raised.value.message
    assert await patiently(db, lambda txn: txn.get("carts.carts", "beside")) is None


async def written_and(db: Client, body: Body) -> None:
    """Write something, and then do what is wrong."""

    async def write(txn: Transaction) -> None:
        await txn.put("carts.carts", {"customer": "beside", "items": []})
        await body(txn)

    await patiently(db, write)


async def test_an_expired_transaction_says_so(db: Client) -> None:
    with pytest.raises(TxnAborted) as raised:
        await read_until_over(db)
    assert raised.value.code == Code.TIMED_OUT


async def read_until_over(db: Client) -> None:
    async with asyncio.timeout(LIMIT_S), db.transaction(timeout_ms=200) as txn:
        while True:
            await txn.get("carts.carts", "p")


async def refusal_of(call: Awaitable[Any]) -> GritError:
    """Return the typed error of a raw call: what a client in any language sees."""
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await call
    assert raised.value.code() in {grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.FAILED_PRECONDITION}
    assert "Traceback" not in str(raised.value.details())
    return error_of_call(raised.value, commits=False)


@pytest.mark.parametrize(
    ("txid", "code"),
    [
        ("t-00000000001-0000000000000001", Code.NO_SUCH_TRANSACTION),
        ("", Code.BAD_REQUEST),
        ("t-1", Code.BAD_REQUEST),
        ("T-00000000001-0000000000000001\n", Code.BAD_REQUEST),
    ],
)
async def test_a_transaction_that_is_not_of_this_sidecar_is_refused_by_every_call(
    dev: Deployment, txid: str, code: Code
) -> None:
    async with grpc.aio.insecure_channel(dev.sidecar) as channel:
        stub: Any = sidecar_pb2_grpc.TransactionsStub(channel)
        for call in (
            stub.Execute(pb.ExecuteRequest(txn_id=txid)),
            stub.Commit(pb.CommitRequest(txn_id=txid)),
            stub.Rollback(pb.RollbackRequest(txn_id=txid, validate=True)),
        ):
            assert (await refusal_of(call)).code == code


async def test_a_finished_transaction_takes_nothing_more(dev: Deployment) -> None:
    async with grpc.aio.insecure_channel(dev.sidecar) as channel:
        stub: Any = sidecar_pb2_grpc.TransactionsStub(channel)
        txid = (await stub.Begin(pb.BeginRequest())).txn_id
        await stub.Commit(pb.CommitRequest(txn_id=txid))
        assert (await refusal_of(stub.Execute(pb.ExecuteRequest(txn_id=txid)))).code == Code.NO_SUCH_TRANSACTION


async def test_a_used_transaction_object_says_that_it_is_over(db: Client) -> None:
    txn = await patiently(db, itself)
    with pytest.raises(InvalidRequest, match="is over") as raised:
        await txn.get("carts.carts", "p")
    assert raised.value.code == Code.NO_SUCH_TRANSACTION


async def itself(txn: Transaction) -> Transaction:
    return txn


GOOD_TXN = "t-00000000001-0000000000000001"


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ("", "home is missing"),
        ("garbage", "home is missing"),
        (f"{GOOD_TXN};home=x", "call is missing"),
        ("t-1;home=127.0.0.1:1;call=t-1-1;deadline=5", "not a transaction id"),
        (f"{GOOD_TXN};home=127.0.0.1:1;call=other-1;deadline=5", "not a call of"),
        (f"{GOOD_TXN};home=a b;call={GOOD_TXN}-1;deadline=5", "home is not host:port"),
        (f"{GOOD_TXN};home=127.0.0.1:1;call={GOOD_TXN}-1;deadline=soon", "deadline is not a number"),
    ],
)
async def test_malformed_metadata_is_refused_before_the_handler_runs(db: Client, entry: str, words: str) -> None:
    ran: list[bytes] = []

    async def handle(request: bytes, context: Any) -> bytes:
        ran.append(request)
        return request

    handlers = grpc.method_handlers_generic_handler("shop.Shop", {"Buy": grpc.unary_unary_rpc_method_handler(handle)})
    server = grpc.aio.server(interceptors=[grit.client.JoinInterceptor(db)])
    server.add_generic_rpc_handlers((handlers,))
    port = server.add_insecure_port(f"{HOST}:0")
    await server.start()
    async with grpc.aio.insecure_channel(f"{HOST}:{port}") as channel:
        call: Any = channel.unary_unary("/shop.Shop/Buy")
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await call(b"x", metadata=(("grit-txn", entry),))
        assert raised.value.code() == grpc.StatusCode.INVALID_ARGUMENT
        assert words in str(raised.value.details())
        assert await call(b"y") == b"y", "a call without a transaction is none of our business"
    await server.stop(None)
    assert ran == [b"y"]


# -- ports ----------------------------------------------------------------------------------------------------

GARBAGE = {
    "http": b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
    "zeros": bytes(4_096),
    "ones": b"\xff" * 4_096,
    "the beginning of something long": b"\x7f\xff\xff\xff\x00",
    "nothing": b"",
    "noise": bytes(range(256)) * 300,
}


@pytest.mark.parametrize("kind", GARBAGE)
async def test_garbage_on_a_port_ends_that_connection_only(dev: Deployment, db: Client, kind: str) -> None:
    async def write(txn: Transaction) -> None:
        await txn.put("carts.carts", {"customer": "during", "items": []})
        for address in (dev.gtm, dev.dbtm_orders, dev.sidecar):
            await asyncio.to_thread(send_garbage, address, GARBAGE[kind])
        await txn.put("orders.stock", {**STOCK, "product": "during"})

    await patiently(db, write)
    assert dev.processes["dev"].is_running
    assert "Traceback" not in dev.processes["dev"].output


def send_garbage(address: str, data: bytes) -> None:
    """Send it, say that there is no more, and read until the other side has ended the connection."""
    host, _, port = address.rpartition(":")
    with closing(socket.create_connection((host, int(port)), timeout=LIMIT_S)) as peer:
        try:
            peer.sendall(data)
            peer.shutdown(socket.SHUT_WR)
            while peer.recv(65_536):
                pass
        except TimeoutError:
            raise
        except OSError:
            pass  # reset, or gone already: it did not want to hear all of it


@pytest.mark.parametrize("role", ["gtm", "dbtm orders", "sidecar"])
def test_a_port_in_use_is_one_line_and_the_owner_goes_on(dev: Deployment, role: str) -> None:
    address = {"gtm": dev.gtm, "dbtm orders": dev.dbtm_orders, "sidecar": dev.sidecar}[role]
    expect_refusal(dev, role, address, "in use")


def test_a_metrics_port_in_use_is_one_line(own: Deployment, dev: Deployment) -> None:
    port = dev.gtm.rpartition(":")[2]
    expect_refusal(own, "gtm", port, "in use", "--metrics-port", port)


# -- folders and configuration --------------------------------------------------------------------------------


def expect_refusal(deployment: Deployment, roles: str, *words_and_options: str) -> str:
    """Start roles that cannot: exit status 3 and one line of error, with these words; return the line."""
    split = next((i for i, word in enumerate(words_and_options) if word.startswith("--")), len(words_and_options))
    words, options = words_and_options[:split], words_and_options[split:]
    done = run_grit("serve", *roles.split(), "-c", deployment.config, *options)
    said = done.stdout + done.stderr
    assert done.returncode == 3, said
    assert "Traceback" not in said
    lines = [line for line in said.splitlines() if "[error" in line or line.startswith("grit: ")]
    assert len(lines) == 1, said
    assert [word for word in words if word not in lines[0]] == [], lines[0]
    return lines[0]


def replaced(deployment: Deployment, before: str, after: str) -> None:
    text = deployment.config.read_text(encoding="utf-8")
    assert before in text
    deployment.config.write_text(text.replace(before, after), encoding="utf-8")


@pytest.mark.parametrize("role", ["gtm", "dbtm orders", "player orders"])
def test_a_log_folder_that_cannot_be_made_is_one_line_with_the_remedy(own: Deployment, role: str) -> None:
    (own.folder / "file").touch()
    replaced(own, "path: var/log", "path: file/log")
    expect_refusal(own, role, "file/log", "Not a directory", "log.path")


def test_a_database_folder_that_cannot_be_made_is_one_line(own: Deployment) -> None:
    (own.folder / "file").touch()
    replaced(own, "url: var/orders.db", "url: file/orders.db")
    expect_refusal(own, "player orders", "realm orders", "file", "the realm's url")


def test_a_trace_file_that_cannot_be_written_is_one_line(own: Deployment) -> None:
    (own.folder / "file").touch()
    expect_refusal(own, "gtm", "file/trace", "--trace-file", str(own.folder / "file" / "trace"))


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        ("engine: sqlite", "engine: sqlit", ('did you mean "sqlite"',)),
        ("path: var/log", "path: ${NOWHERE}", ('"${NAME}"',)),
        ("path: var/log", 'path: "${NOWHERE}"', ("NOWHERE",)),
    ],
)
def test_a_wrong_configuration_is_one_line_with_file_line_and_column(
    own: Deployment, before: str, after: str, words: tuple[str, ...]
) -> None:
    replaced(own, before, after)
    line = expect_refusal(own, "gtm", *words)
    place = line.removeprefix("grit: ").split(": ")[0]
    file, at, column = place.rsplit(":", 2)
    assert (file, at.isdecimal(), column.isdecimal()) == (str(own.config), True, True)


@pytest.mark.parametrize(
    ("shape", "engine", "role"),
    [
        ("sqlite", "mysql", "dbtm orders"),
        ("document", "mongodb", "player carts"),
        ("graph", "neo4j", "dbtm social player social"),
    ],
)
def test_an_engine_without_an_adapter_in_this_release_is_one_line(
    own: Deployment, shape: str, engine: str, role: str
) -> None:
    replaced(own, f"engine: {shape}", f"engine: {engine}")
    expect_refusal(own, role, f"realm {role.split()[1]}", f"'{engine}'", "in this release")


# -- logs -----------------------------------------------------------------------------------------------------


def filled(deployment: Deployment) -> None:
    """Run a deployment, commit some, wait until it is applied, stop it."""

    async def fill() -> None:
        async with grit.client.connect(deployment.sidecar) as client:
            for number in range(5):
                await commit_something(client, f"p{number}")

    deployment.start_dev()
    asyncio.run(fill())
    deployment.until_applied()
    assert deployment.processes["dev"].stop() == 0


def edit_log(deployment: Deployment, name: str, statement: str, *values: object) -> None:
    with closing(sqlite3.connect(log_file(deployment, name))) as database, database:
        database.execute(statement, values)


def log_file(deployment: Deployment, name: str) -> Path:
    return deployment.folder / "var" / "log" / f"{name}.log.db"


def contents(deployment: Deployment) -> tuple[list[Any], list[Any]]:
    """Return the rows of a database and its cursor."""
    with closing(sqlite3.connect(deployment.folder / "var" / "orders.db")) as database:
        return (
            database.execute("SELECT * FROM stock ORDER BY product").fetchall(),
            database.execute("SELECT * FROM grit_position").fetchall(),
        )


@pytest.fixture(scope="module")
def stopped(tmp_path_factory: pytest.TempPathFactory) -> Deployment:
    """A deployment that has run; to be copied, not to be started."""
    deployment = Deployment(tmp_path_factory.mktemp("stopped") / "run")
    try:
        filled(deployment)
    finally:
        deployment.stop()
    return deployment


@pytest.fixture
def past(own: Deployment, stopped: Deployment) -> Deployment:
    """A deployment with logs and databases of the past, on ports of its own."""
    shutil.copytree(stopped.folder / "var", own.folder / "var")
    return own


def test_the_copy_of_a_deployment_runs(past: Deployment) -> None:
    past.start_dev()
    past.expect_valid()


@pytest.mark.parametrize("role", ["player orders", "dbtm orders"])
def test_a_log_shorter_than_what_the_database_has_applied_is_refused(past: Deployment, role: str) -> None:
    before = contents(past)
    edit_log(past, "dbtl.orders", "DELETE FROM records WHERE offset >= 4")
    expect_refusal(past, role, "dbtl.orders", "offset")
    assert contents(past) == before


@pytest.mark.parametrize("role", ["player orders", "dbtm orders"])
def test_a_log_of_another_deployment_is_refused(
    past: Deployment, tmp_path: Path, role: str, foreign: Deployment
) -> None:
    before = contents(past)
    shutil.copy(log_file(foreign, "dbtl.orders"), log_file(past, "dbtl.orders"))
    expect_refusal(
        past, role, "dbtl.orders", "the database of realm orders", "from log" if "player" in role else "follows log"
    )
    assert contents(past) == before


@pytest.fixture(scope="module")
def foreign(tmp_path_factory: pytest.TempPathFactory) -> Deployment:
    """Another deployment that has run, with the same catalogue."""
    deployment = Deployment(tmp_path_factory.mktemp("foreign") / "run")
    try:
        filled(deployment)
    finally:
        deployment.stop()
    return deployment


def test_a_global_log_of_another_deployment_is_refused(past: Deployment, foreign: Deployment) -> None:
    shutil.copy(log_file(foreign, "gtl"), log_file(past, "gtl"))
    expect_refusal(past, "dbtm orders gtm", "GTL", "check")


def test_a_log_under_a_wrong_name_is_refused(past: Deployment) -> None:
    shutil.copy(log_file(past, "dbtl.carts"), log_file(past, "dbtl.orders"))
    expect_refusal(past, "dbtm orders", "dbtl.orders", "realm carts")


@pytest.mark.parametrize(
    ("role", "log"), [("gtm", "gtl"), ("dbtm orders", "dbtl.orders"), ("player orders", "dbtl.orders")]
)
def test_an_unknown_record_format_is_refused_with_the_offset(
    past: Deployment, capsys: pytest.CaptureFixture[str], role: str, log: str
) -> None:
    with closing(sqlite3.connect(log_file(past, log))) as database:
        ((offset, payload),) = database.execute("SELECT offset, payload FROM records ORDER BY offset DESC LIMIT 1")
    future = b"\x09" + payload[1:]
    statement = "INSERT INTO records (offset, payload, checksum) VALUES (?, ?, ?)"
    edit_log(past, log, statement, offset + 1, future, checksum_of(offset + 1, future))
    expect_refusal(past, role, log, f"offset {offset + 1}", "record format 9", "newer")
    assert run(["log", "dump", log, "-c", str(past.config), "--from", str(offset)]) == 3
    told = capsys.readouterr()
    assert told.out.startswith(f"{log} {offset} ")
    assert told.err.count("\n") == 1
    assert run(["check", "log", str(past.config)]) == 1
