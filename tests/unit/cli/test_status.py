"""`grit status`: what it prints, and how it ends."""

import json
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import pytest

from grit.cli.main import run
from grit.cli.status_text import is_serving, status_lines
from grit.pb.v1 import admin_pb2 as pb
from grit.pb.v1 import admin_pb2_grpc
from grit.wire.admin import decode_deployment


def deployment(*, gtm_state: "pb.RoleState.ValueType" = pb.ROLE_STATE_SERVING, reason: str = "") -> pb.DeploymentStatus:
    return pb.DeploymentStatus(
        now_ms=1_700_000_000_000,
        roles=[
            pb.RoleStatus(role=pb.ROLE_SIDECAR, state=pb.ROLE_STATE_SERVING, address="127.0.0.1:7400"),
            pb.RoleStatus(role=pb.ROLE_GTM, state=gtm_state, epoch=3, address="127.0.0.1:7410", reason=reason),
            pb.RoleStatus(role=pb.ROLE_DBTM, realm="orders", state=pb.ROLE_STATE_SERVING, epoch=12),
        ],
        global_log=pb.GlobalLogStatus(epoch=3, csn=1_234, voting=2),
        realms=[
            pb.RealmStatus(
                realm="orders",
                engine="sqlite",
                lsn=2_000,
                applied_lsn=1_990,
                lag=10,
                pending=3,
                parked=4,
                hot_keys=[pb.HotKey(collection="stock", key="(lamp)", conflicts=9)],
            )
        ],
        abort_causes=[pb.AbortCause(code="READ_CONFLICT", count=5)],
        committed=77,
        open=8,
    )


class Answers(admin_pb2_grpc.AdminServicer):
    """A sidecar that says what it was told to say."""

    def __init__(self) -> None:
        self.answer = deployment()

    def Status(self, request: pb.AdminStatusRequest, context: Any) -> pb.AdminStatusResponse:
        return pb.AdminStatusResponse(deployment=self.answer)


@pytest.fixture
def answers() -> Answers:
    return Answers()


@pytest.fixture
def address(answers: Answers) -> Iterator[str]:
    server = grpc.server(ThreadPoolExecutor(1))
    admin_pb2_grpc.add_AdminServicer_to_server(answers, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield f"127.0.0.1:{port}"
    server.stop(None).wait()


def test_the_table_shows_roles_positions_and_causes() -> None:
    text = "\n".join(status_lines(decode_deployment(deployment())))
    lines = [line.split() for line in text.splitlines()]
    assert ["gtm", "-", "serving", "3", "127.0.0.1:7410"] in lines
    assert ["dbtm", "orders", "serving", "12", "-"] in lines
    assert ["orders", "sqlite", "2,000", "1,990", "10", "0", "3", "4", "0"] in lines
    assert "global log: epoch 3, Csn 1,234, 2 voting" in text
    assert "8 open, 77 committed, without effect: READ_CONFLICT 5" in text
    assert "hot key: orders.stock/(lamp): 9 conflicts" in text


def test_of_a_realm_that_does_not_answer_no_number_is_made_up() -> None:
    message = deployment()
    message.roles[2].state = pb.ROLE_STATE_UNREACHABLE
    assert ["orders", "sqlite", *"???????"] in [line.split() for line in status_lines(decode_deployment(message))]


def test_a_role_that_does_not_serve_is_a_finding_and_says_why() -> None:
    status = decode_deployment(deployment(gtm_state=pb.ROLE_STATE_UNREACHABLE, reason="no answer within 1 s"))
    assert not is_serving(status)
    assert any(line.endswith("no answer within 1 s") for line in status_lines(status))


def test_status_asks_the_sidecar_and_tells_by_its_exit_status(
    answers: Answers, address: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["status", "--sidecar", address]) == 0
    assert "gtm" in capsys.readouterr().out
    answers.answer = deployment(gtm_state=pb.ROLE_STATE_TAKING_OVER, reason="claiming")
    assert run(["status", "--sidecar", address]) == 1
    assert "taking_over" in capsys.readouterr().out


def test_the_sidecar_of_the_configuration_is_asked(
    address: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "grit.yaml"
    realms = "realms: {a: {engine: memory, collections: {b: {key: [c], fields: {c: int}}}}}"
    config.write_text(f"log: {{kind: memory}}\nsidecar: {{listen: '{address}'}}\n{realms}\n")
    assert run(["status", "-c", str(config), "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["realms"][0]["lsn"] == 2_000
    assert [role["state"] for role in facts["roles"]] == ["SERVING"] * 3


def test_a_sidecar_that_cannot_be_reached_is_one_line_and_status_3(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{held.getsockname()[1]}"
        assert run(["status", "--sidecar", address]) == 3
    told = capsys.readouterr().err
    assert f"the sidecar at {address} does not answer" in told
    assert told.count("\n") == 1


def test_sidecar_and_configuration_exclude_each_other(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["status", "--sidecar", "127.0.0.1:1", "-c", "grit.yaml"]) == 3
    assert "not both" in capsys.readouterr().err


@pytest.mark.parametrize("is_up", [True, False])
def test_watch_goes_on_until_ctrl_c_also_while_the_sidecar_is_away(address: str, is_up: bool) -> None:
    where = address if is_up else "127.0.0.1:1"
    command = [sys.executable, "-m", "grit.cli", "status", "--json", "--watch", "--sidecar", where]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(2)]
        process.send_signal(signal.SIGINT)
        left, _ = process.communicate(timeout=30)
    assert all(
        line.startswith('{"now_ms"' if is_up else "the sidecar at 127.0.0.1:1 does not answer") for line in lines
    )
    assert (process.returncode, "Traceback" in left) == (0 if is_up else 3, False)
