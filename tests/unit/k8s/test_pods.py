"""Workloads, Services and policies fit each other; pods are locked down, bounded, and where their files are."""

import re
import tomllib

import pytest

from tests.unit.k8s.rendered import (
    FOLDERS,
    ROOT,
    SINGLE_NODE,
    WORKLOADS,
    Container,
    Object,
    containers,
    name_of,
    of_kind,
    roles,
    selects,
    services,
)

pytestmark = pytest.mark.parametrize("folder", FOLDERS)


def labels_of(workload: Object) -> dict[str, str]:
    labels: dict[str, str] = workload["spec"]["template"]["metadata"]["labels"]
    return labels


def selected(folder: str, selector: dict[str, str]) -> list[Object]:
    return [one for one in of_kind(folder, *WORKLOADS) if selects(selector, labels_of(one))]


def test_a_workload_selects_its_own_pods_and_no_others(folder: str) -> None:
    for workload in of_kind(folder, *WORKLOADS):
        assert selected(folder, workload["spec"]["selector"]["matchLabels"]) == [workload], name_of(workload)


@pytest.mark.parametrize("kind", ["Service", "PodDisruptionBudget"])
def test_a_service_and_a_budget_select_the_pods_of_the_workload_of_their_name(folder: str, kind: str) -> None:
    for one in of_kind(folder, kind):
        selector = one["spec"]["selector"] if kind == "Service" else one["spec"]["selector"]["matchLabels"]
        names = [workload["metadata"]["name"] for workload in selected(folder, selector)]
        assert names == [one["metadata"]["name"]], name_of(one)


def test_every_port_of_a_service_is_one_of_its_pods(folder: str) -> None:
    for service in of_kind(folder, "Service"):
        (workload,) = selected(folder, service["spec"]["selector"])
        ports = [name for one in containers(folder) if one.workload is workload for name in one.ports]
        wanted = [port["targetPort"] for port in service["spec"]["ports"]]
        assert set(wanted) <= set(ports), name_of(service)
        assert len(ports) == len(set(ports)), f"{name_of(workload)}: a named port is that of one container"


def test_a_stateful_set_belongs_to_a_headless_service(folder: str) -> None:
    headless = {one["metadata"]["name"] for one in of_kind(folder, "Service") if one["spec"].get("clusterIP") == "None"}
    assert {one["spec"]["serviceName"] for one in of_kind(folder, "StatefulSet")} == headless


def test_every_container_that_stays_is_probed_in_all_three_ways(folder: str) -> None:
    for container in containers(folder):
        assert list(container.probes) == ["startupProbe", "livenessProbe", "readinessProbe"], container.place


def test_a_probe_asks_a_port_of_its_container_or_runs_a_file_that_is_mounted(folder: str) -> None:
    for container in containers(folder):
        for kind, probe in container.probes.items():
            assert is_answerable(folder, container, probe), f"{container.place}: {kind} {probe}"


def is_answerable(folder: str, container: Container, probe: Object) -> bool:
    if "exec" in probe:
        (config_map,) = of_kind(folder, "ConfigMap")
        return bool({f"/etc/grit/{name}" for name in config_map["data"]} & set(probe["exec"]["command"]))
    port = (probe.get("tcpSocket") or probe["grpc"])["port"]
    return port in container.ports or port in container.ports.values()


def test_no_process_is_restarted_for_not_being_ready(folder: str) -> None:
    for container in containers(folder):
        asks = {kind: what_is_asked(probe) for kind, probe in container.probes.items()}
        assert asks["livenessProbe"] in {"live", "tcpSocket"}, container.place
        assert asks["readinessProbe"] in {"ready", "grpc", "tcpSocket"}, container.place


def what_is_asked(probe: Object) -> str:
    return str(probe["exec"]["command"][-1]) if "exec" in probe else "grpc" if "grpc" in probe else "tcpSocket"


def test_a_sidecar_starts_before_its_service_and_ends_after_it(folder: str) -> None:
    for service in services(folder):
        (first,) = service.pod["spec"]["initContainers"]
        assert (first["name"], first["restartPolicy"]) == ("sidecar", "Always")


def test_images_are_of_this_version_and_of_no_other(folder: str) -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    assert {one.spec["image"] for one in roles(folder)} == {f"grit:{version}"}
    assert {one.spec["image"] for one in services(folder)} == {f"grit-marketplace:{version}"}
    assert len(roles(folder)) + len(services(folder)) == len(list(containers(folder)))


def test_every_image_is_a_target_of_the_dockerfile(folder: str) -> None:
    targets = re.findall(r"^FROM .+ AS (\S+)$", (ROOT / "Dockerfile").read_text(encoding="utf-8"), re.MULTILINE)
    images = {one.spec["image"].partition(":")[0].removeprefix("grit-") for one in containers(folder)}
    assert images == set(targets) - {"build"}


def test_pods_run_as_the_user_of_the_image(folder: str) -> None:
    (user, group), *_ = re.findall(
        r"^USER (\d+):(\d+)$", (ROOT / "Dockerfile").read_text(encoding="utf-8"), re.MULTILINE
    )
    for workload in of_kind(folder, *WORKLOADS):
        context = workload["spec"]["template"]["spec"]["securityContext"]
        assert (context["runAsUser"], context["runAsGroup"]) == (int(user), int(group)), name_of(workload)


def test_pods_keep_to_the_restricted_profile(folder: str) -> None:
    for container in containers(folder):
        pod, own = container.pod["spec"], container.spec["securityContext"]
        assert pod["securityContext"]["runAsNonRoot"] is True, container.place
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}, container.place
        assert pod["automountServiceAccountToken"] is False, container.place
        assert [one for one in pod["volumes"] if "hostPath" in one] == []
        assert own == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }, container.place


def test_no_variable_of_a_service_gets_into_a_pod(folder: str) -> None:
    # click reads CART_PORT as --port of the cart service, and so would a Service called "cart" set it.
    assert [
        name_of(one) for one in of_kind(folder, *WORKLOADS) if one["spec"]["template"]["spec"]["enableServiceLinks"]
    ] == []


def test_every_container_asks_for_what_it_needs_and_is_bounded_in_memory(folder: str) -> None:
    for container in containers(folder):
        resources = container.spec["resources"]
        assert (set(resources["requests"]), set(resources["limits"])) == ({"cpu", "memory"}, {"memory"}), (
            container.place
        )


def test_whoever_mounts_the_data_is_on_the_node_of_all_who_do(folder: str) -> None:
    mounting = [
        one
        for one in of_kind(folder, *WORKLOADS)
        if any("persistentVolumeClaim" in volume for volume in one["spec"]["template"]["spec"]["volumes"])
    ]
    assert len(mounting) == 11, "gtm, five DBTMs, five players"
    for workload in mounting:
        affinity = workload["spec"]["template"]["spec"]["affinity"]["podAffinity"]
        (term,) = affinity["requiredDuringSchedulingIgnoredDuringExecution"]
        assert term["topologyKey"] == "kubernetes.io/hostname"
        assert selected(folder, term["labelSelector"]["matchLabels"]) == mounting, name_of(workload)


def test_the_account_and_the_claim_of_a_pod_are_made_here(folder: str) -> None:
    accounts = {one["metadata"]["name"] for one in of_kind(folder, "ServiceAccount")}
    claims = {one["metadata"]["name"] for one in of_kind(folder, "PersistentVolumeClaim")}
    for workload in of_kind(folder, *WORKLOADS):
        pod = workload["spec"]["template"]["spec"]
        assert pod["serviceAccountName"] in accounts
        assert {
            one["persistentVolumeClaim"]["claimName"] for one in pod["volumes"] if "persistentVolumeClaim" in one
        } <= claims


def test_a_player_ends_before_the_next_one_begins(folder: str) -> None:
    players = [one for one in of_kind(folder, "Deployment") if labels_of(one)["app.kubernetes.io/name"] == "player"]
    assert {one["spec"]["strategy"]["type"] for one in players} == {"Recreate"}
    assert {one["spec"]["replicas"] for one in players} == {1}


def test_a_claim_is_bound_to_the_volume_of_the_node_or_left_to_the_cluster(folder: str) -> None:
    (claim,) = of_kind(folder, "PersistentVolumeClaim")
    volumes = of_kind(folder, "PersistentVolume")
    assert len(volumes) == (folder == SINGLE_NODE)
    for volume in volumes:
        assert claim["spec"]["volumeName"] == volume["metadata"]["name"]
        assert claim["spec"]["storageClassName"] == volume["spec"]["storageClassName"] == ""
        assert claim["spec"]["accessModes"] == volume["spec"]["accessModes"]
        assert volume["spec"]["nodeAffinity"], "on another node the folder would be empty"
