"""The commands of docs/operating/kubernetes.md name what is there. They need a cluster, so they are read, not run."""

import re

import pytest

from grit.cli.main import GOOD, run
from tests.unit.k8s.rendered import CONFIG_PATH, FOLDERS, ROOT, SINGLE_NODE, containers, of_kind, render

DOCUMENT = (ROOT / "docs/operating/kubernetes.md").read_text(encoding="utf-8")
SHORT = {"deploy": "Deployment", "deployment": "Deployment", "statefulset": "StatefulSet", "service": "Service"}


def commands() -> list[str]:
    """Return every command, from the blocks and from the lines of text."""
    blocks = re.findall(r"```text\n(.+?)```", DOCUMENT, re.DOTALL)
    lines = [line.partition("  #")[0].strip() for block in blocks for line in block.splitlines()]
    return lines + re.findall(r"`((?:kubectl|docker) [^`]+)`", DOCUMENT)


def found(pattern: str) -> list[str]:
    """Return what a pattern finds in the commands; a document that no longer has it needs another test."""
    hits = [hit for command in commands() for hit in re.findall(pattern, command)]
    assert hits, pattern
    return hits


def test_kustomizations_are_there() -> None:
    assert set(found(r" -k (\S+)")) == set(FOLDERS)


def test_objects_are_there() -> None:
    known = {f"{one['kind']}/{one['metadata']['name']}" for one in render(SINGLE_NODE)}
    named = {
        f"{SHORT[kind]}/{name}" for kind, name in re.findall(rf" ({'|'.join(SHORT)})/(\S+)", "\n".join(commands()))
    }
    assert named
    assert named <= known


def test_commands_run_in_a_pod_are_commands_of_grit_on_the_configuration_of_the_pod(
    capsys: pytest.CaptureFixture[str],
) -> None:
    for line in found(r" exec .* -- grit (.+)"):
        assert run([*line.split(), "--help"]) == GOOD, capsys.readouterr().err
        assert CONFIG_PATH in line


def test_ports_that_are_forwarded_are_those_of_services_and_metrics() -> None:
    ports = {port for one in containers(SINGLE_NODE) for port in one.ports.values()}
    metrics = {int(one.pod["metadata"]["annotations"]["prometheus.io/port"]) for one in containers(SINGLE_NODE)}
    assert {int(port) for port in found(r" port-forward \S+ (\d+)")} <= ports | metrics


def test_images_are_built_under_the_names_that_the_pods_use() -> None:
    assert {one.spec["image"] for one in containers(SINGLE_NODE)} == set(found(r"docker build .* -t (\S+) "))


def test_the_label_of_the_node_is_what_the_volume_looks_for() -> None:
    (volume,) = of_kind(SINGLE_NODE, "PersistentVolume")
    (term,) = volume["spec"]["nodeAffinity"]["required"]["nodeSelectorTerms"]
    (wanted,) = term["matchExpressions"]
    assert found(r"kubectl label node NODE (\S+)") == [f"{wanted['key']}={value}" for value in wanted["values"]]


def test_the_folder_of_the_volume_is_made_for_the_user_of_the_pods() -> None:
    (volume,) = of_kind(SINGLE_NODE, "PersistentVolume")
    users = {one.pod["spec"]["securityContext"]["runAsUser"] for one in containers(SINGLE_NODE)}
    (user, folder), *_ = re.findall(r"install -d -o (\d+) -g \d+ (/\S+)", DOCUMENT)
    assert ({int(user)}, folder) == (users, volume["spec"]["hostPath"]["path"])
