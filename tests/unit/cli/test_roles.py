"""What the composition root hands from the configuration to the roles."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import grpc
import pytest

from grit.cli.role_names import every_role, parse_roles
from grit.cli.roles import Process
from grit.config.load import parse_config
from grit.pb.v1 import sidecar_pb2 as pb
from grit.pb.v1 import sidecar_pb2_grpc

CONFIG = """
log: {kind: memory}
sidecar: {%s}
realms: {shop: {engine: memory, collections: {items: {key: [id], fields: {id: int}}}}}
"""


@asynccontextmanager
async def running(sidecar: str) -> AsyncIterator[Process]:
    """Run every role in memory; `sidecar` is that section of the configuration."""
    config = parse_config(CONFIG % sidecar, "grit.yaml", Path("/nowhere"), {})
    process = Process(config, every_role(list(config.realms)))
    await process.compose()
    started = []
    try:
        for role in process.roles:
            await role.start()
            started.append(role)
        yield process
    finally:
        for role in reversed(started):
            await role.close()


async def home_of(process: Process) -> str:
    """Begin a transaction at the address of the sidecar; return the home that it names."""
    async with grpc.aio.insecure_channel(process.sidecar_address()) as channel:
        stub: sidecar_pb2_grpc.TransactionsAsyncStub = sidecar_pb2_grpc.TransactionsStub(channel)
        begun = await stub.Begin(pb.BeginRequest(), wait_for_ready=True)
        return begun.home


async def test_a_home_is_where_the_sidecar_listens() -> None:
    async with running('listen: "127.0.0.1:0"') as process:
        assert not process.sidecar_address().endswith(":0")
        assert await home_of(process) == process.sidecar_address()


async def test_a_home_is_what_the_configuration_advertises_while_services_come_to_where_it_listens() -> None:
    async with running('listen: "127.0.0.1:0", advertise: "shop.example:7400"') as process:
        assert process.sidecar_address().startswith("127.0.0.1:")
        assert await home_of(process) == "shop.example:7400"


async def test_a_sidecar_on_a_unix_socket_is_a_home_by_its_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # the path of a socket has 107 characters at most
    async with running('listen: "unix:./s"') as process:
        assert await home_of(process) == process.sidecar_address() == "unix:./s"


@pytest.mark.parametrize(("role", "is_asked"), [("gtm", False), ("dbtm shop", True), ("dbtm shop/2", True)])
async def test_an_elector_is_for_roles_with_replicas(tmp_path: Path, role: str, is_asked: bool) -> None:
    text = CONFIG.replace("{%s}", "{}").replace("engine: memory", 'engine: memory, dbtm: ["h:1", "h:2"]')
    config = parse_config(f'{text}gtm: ["h:3"]\nelector: {{kind: file, path: seats}}\n', "grit.yaml", tmp_path, {})
    process = Process(config, parse_roles(role.split(), config.realms))
    await process.compose()
    assert (tmp_path / "seats").is_dir() is is_asked
