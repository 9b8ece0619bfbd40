"""The sample services are started with options that they have, and call each other where they are."""

import re

import grpc
import pytest
from click import Command, Context

from grit.client import Client
from grit.config.load import load_config
from sample_services.serving import service_command
from sample_services.shop.__main__ import run as shop_command
from tests.unit.k8s.rendered import BASE, FOLDERS, POD_IP, ROOT, Container, config_of, of_kind, roles, services

pytestmark = pytest.mark.parametrize("folder", FOLDERS)


def register(server: grpc.aio.Server, db: Client) -> None:
    """Answer nothing: only the command line is looked at."""


def name_of_service(container: Container) -> str:
    return container.args[0].removeprefix("sample_services.")


def parsed(container: Container) -> Context:
    """Return the command line of a service as it takes it."""
    name = name_of_service(container)
    command: Command = shop_command if name == "shop" else service_command(name, register)
    return command.make_context(name, container.args[1:])


def test_every_service_can_be_started_as_a_module(folder: str) -> None:
    for container in services(folder):
        assert (ROOT / container.args[0].replace(".", "/") / "__main__.py").is_file(), container.place


def test_there_is_a_service_for_every_realm_and_the_shop(folder: str) -> None:
    realms = load_config(ROOT / BASE / "grit.yaml", {}).realms
    assert sorted(name_of_service(one) for one in services(folder)) == sorted([*realms, "shop"])


def test_a_service_listens_for_other_pods_on_its_port(folder: str) -> None:
    for container in services(folder):
        options = parsed(container).params
        assert (options["host"], options["port"]) == ("0.0.0.0", container.ports["grpc"]), container.place


def test_a_service_uses_the_sidecar_of_its_pod(folder: str) -> None:
    for container in services(folder):
        (sidecar,) = (one for one in roles(folder) if one.pod is container.pod)
        assert container.environ["POD_IP"] == POD_IP
        assert parsed(container).params["sidecar"] == config_of(folder, sidecar).sidecar.listen


def test_the_shop_calls_every_service_by_the_name_and_port_of_its_service(folder: str) -> None:
    known = {
        f"{one['metadata']['name']}:{port['port']}"
        for one in of_kind(folder, "Service")
        for port in one["spec"]["ports"]
    }
    (shop,) = (one for one in services(folder) if name_of_service(one) == "shop")
    for name, address in parsed(shop).params.items():
        if name in {"host", "port", "sidecar", "trace_file"}:
            continue
        assert address in known
        assert re.fullmatch(rf"marketplace-{name}:\d+", address)
