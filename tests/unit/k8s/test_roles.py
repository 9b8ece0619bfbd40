"""The pods run exactly the roles that the configuration in the ConfigMap asks for, where it says."""

import inspect
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import msgspec
import pytest
from click import Context

from grit.cli.role_names import RoleKind, RoleName, every_role, parse_roles
from grit.cli.serve import serve
from grit.config.load import load_config
from grit.core.catalog import RealmDef
from grit.runtime.supervisor import Supervisor
from sample_services.serving import GRACE_S
from tests.unit.k8s.rendered import BASE, CONFIG_PATH, FOLDERS, ROOT, Container, config_of, of_kind, roles, services

LEADERS = (RoleKind.GTM, RoleKind.DBTM)
PARTS_PER_PROCESS = 3
"""What a supervisor closes one after the other: the role, the metrics server, the announcer."""


def parsed(container: Container) -> Context:
    """Return the command line of a role as `grit serve` takes it."""
    return serve.make_context("serve", container.args[1:])


def role_of(folder: str, container: Container) -> RoleName:
    (role,) = parse_roles(parsed(container).params["roles"], config_of(folder, container).realms)
    return role


def of_kinds(folder: str, kinds: Iterable[RoleKind]) -> list[Container]:
    return [one for one in roles(folder) if role_of(folder, one).kind in kinds]


@pytest.mark.parametrize("folder", FOLDERS)
def test_the_configuration_is_good_in_every_pod(folder: str) -> None:
    for container in roles(folder):
        assert config_of(folder, container).log.kind == "embedded"


@pytest.mark.parametrize("folder", FOLDERS)
def test_every_role_reads_the_configuration_that_is_mounted(folder: str) -> None:
    (config_map,) = of_kind(folder, "ConfigMap")
    for container in roles(folder):
        volumes = {one["name"]: one for one in container.pod["spec"]["volumes"]}
        mounted = {one["mountPath"]: volumes[one["name"]] for one in container.spec["volumeMounts"]}
        path = parsed(container).params["config_path"]
        assert str(path) == CONFIG_PATH, container.place
        assert mounted[str(path.parent)]["configMap"]["name"] == config_map["metadata"]["name"]
        assert path.name in config_map["data"]


@pytest.mark.parametrize("folder", FOLDERS)
def test_every_role_of_every_realm_runs_once_and_a_sidecar_in_every_pod_of_a_service(folder: str) -> None:
    realms = config_of(folder, roles(folder)[0]).realms
    wanted = Counter(every_role(realms))
    wanted[RoleName(RoleKind.SIDECAR)] = len(services(folder))
    assert Counter(role_of(folder, one) for one in roles(folder)) == wanted
    with_sidecar = {one.workload["metadata"]["name"] for one in of_kinds(folder, [RoleKind.SIDECAR])}
    assert with_sidecar == {one.workload["metadata"]["name"] for one in services(folder)}


def test_the_catalogue_is_that_of_the_sample_services() -> None:
    ours = load_config(ROOT / BASE / "grit.yaml", {}).realms
    theirs = load_config(ROOT / "sample_services/grit.yaml", {}).realms
    assert {name: without_place(one) for name, one in ours.items()} == {
        name: without_place(one) for name, one in theirs.items()
    }, f"copy the collections of sample_services/grit.yaml to {BASE}/grit.yaml"


def without_place(realm: RealmDef) -> RealmDef:
    return msgspec.structs.replace(realm, url="", dbtm=())


@pytest.mark.parametrize("folder", FOLDERS)
def test_a_leader_listens_at_the_name_of_its_pod_on_the_port_of_its_service(folder: str) -> None:
    headless = {one["metadata"]["name"]: one["spec"] for one in of_kind(folder, "Service")}
    for container in of_kinds(folder, LEADERS):
        role, config = role_of(folder, container), config_of(folder, container)
        addresses = config.gtm if role.kind == RoleKind.GTM else config.realms[role.realm].dbtm
        spec, metadata = container.workload["spec"], container.workload["metadata"]
        service = headless[spec["serviceName"]]
        domain = f"{spec['serviceName']}.{metadata['namespace']}.svc.cluster.local"
        (port,) = service["ports"]
        pods = [f"{metadata['name']}-{at}" for at in range(spec["replicas"])]
        assert addresses == tuple(f"{pod}.{domain}:{port['port']}" for pod in pods), container.place
        assert port["port"] == container.ports[port["targetPort"]], "a headless service translates no ports"
        assert service["clusterIP"] == "None"
        assert service["publishNotReadyAddresses"] is True


@pytest.mark.parametrize("folder", FOLDERS)
def test_a_sidecar_listens_on_the_address_of_its_pod(folder: str) -> None:
    for container in of_kinds(folder, [RoleKind.SIDECAR]):
        host, _, port = config_of(folder, container).sidecar.listen.rpartition(":")
        assert (host, int(port)) == (container.environ["POD_IP"], container.ports["sidecar"])


@pytest.mark.parametrize("folder", FOLDERS)
def test_logs_and_databases_lie_on_the_shared_volume(folder: str) -> None:
    for container in of_kinds(folder, [RoleKind.GTM, RoleKind.DBTM, RoleKind.PLAYER]):
        config = config_of(folder, container)
        claims = {one["name"] for one in container.pod["spec"]["volumes"] if "persistentVolumeClaim" in one}
        (mount,) = (Path(one["mountPath"]) for one in container.spec["volumeMounts"] if one["name"] in claims)
        assert config.log.path is not None
        files = [config.log.path, *(Path(realm.url) for realm in config.realms.values())]
        assert [file for file in files if not file.is_relative_to(mount)] == []


@pytest.mark.parametrize("folder", FOLDERS)
def test_probes_and_annotations_name_the_metrics_port_of_the_configuration(folder: str) -> None:
    for container in roles(folder):
        port = str(config_of(folder, container).telemetry.metrics_port)
        assert container.pod["metadata"]["annotations"]["prometheus.io/port"] == port
        commands = [probe["exec"]["command"] for probe in container.probes.values() if "exec" in probe]
        assert {command[-2] for command in commands} <= {port}, container.place


@pytest.mark.parametrize("folder", FOLDERS)
def test_a_pod_is_given_the_time_that_its_containers_take_to_drain(folder: str) -> None:
    limits = inspect.signature(Supervisor).parameters
    role_ms = limits["drain_ms"].default + PARTS_PER_PROCESS * limits["close_ms"].default
    for container in roles(folder):
        before_s = max((ending_s(one) for one in services(folder) if one.pod is container.pod), default=0.0)
        assert container.pod["spec"]["terminationGracePeriodSeconds"] > before_s + role_ms / 1000


def ending_s(service: Container) -> float:
    """Return how long a sample service takes to end; its sidecar is told only then."""
    return float(service.spec["lifecycle"]["preStop"]["sleep"]["seconds"]) + GRACE_S
