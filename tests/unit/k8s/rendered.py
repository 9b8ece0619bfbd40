"""The manifests as `kubectl kustomize` renders them, and what the kubelet would make of a pod."""

import re
import subprocess
import sysconfig
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from grit.config.load import parse_config
from grit.config.model import Config

ROOT = Path(__file__).parents[3]
SCRIPTS = Path(sysconfig.get_path("scripts"))
BASE, SINGLE_NODE = "k8s/base", "k8s/overlays/single-node"
FOLDERS = (BASE, SINGLE_NODE)
POD_IP = "10.1.2.3"
CONFIG_PATH = "/etc/grit/grit.yaml"
WORKLOADS = ("Deployment", "StatefulSet")

Object = dict[str, Any]


@cache
def render(folder: str) -> tuple[Object, ...]:
    """Return the objects of a kustomization, in their order; nothing is asked of a cluster or a network."""
    done = subprocess.run(
        [SCRIPTS / "kubectl", "kustomize", folder], cwd=ROOT, capture_output=True, text=True, timeout=30, check=False
    )
    assert done.returncode == 0, done.stderr
    return tuple(yaml.load_all(done.stdout, Loader=yaml.CSafeLoader))  # 3,000 lines: a second without C


def of_kind(folder: str, *kinds: str) -> list[Object]:
    """Return the objects of these kinds."""
    return [one for one in render(folder) if one["kind"] in kinds]


def name_of(one: Object) -> str:
    """Return `Kind/name`, for messages."""
    return f"{one['kind']}/{one['metadata']['name']}"


def selects(selector: Mapping[str, str], labels: Mapping[str, str]) -> bool:
    """Tell whether a selector by equality takes something with these labels; the empty one takes everything."""
    return selector.items() <= labels.items()


@dataclass(frozen=True)
class Container:
    """A container of a workload. `pod` is the template it belongs to, `workload` that one's object."""

    workload: Object
    pod: Object
    spec: Object

    @property
    def place(self) -> str:
        """Return where it is, for messages."""
        return f"{name_of(self.workload)}/{self.spec['name']}"

    @property
    def environ(self) -> dict[str, str]:
        """Return its environment variables in its first pod."""
        return {one["name"]: self._value(one) for one in self.spec.get("env", [])}

    @property
    def args(self) -> list[str]:
        """Return its arguments, with $(NAME) put in as the kubelet does: what is not known stays."""
        known = self.environ
        return [re.sub(r"\$\((\w+)\)", lambda m: known.get(m[1], m[0]), text) for text in self.spec["args"]]

    @property
    def ports(self) -> dict[str, int]:
        """Return its named ports."""
        return {port["name"]: port["containerPort"] for port in self.spec.get("ports", [])}

    @property
    def probes(self) -> dict[str, Object]:
        """Return its probes."""
        kinds = ("startupProbe", "livenessProbe", "readinessProbe")
        return {kind: self.spec[kind] for kind in kinds if kind in self.spec}

    def _value(self, variable: Object) -> str:
        if "value" in variable:
            return str(variable["value"])
        path: str = variable["valueFrom"]["fieldRef"]["fieldPath"]
        label = re.fullmatch(r"metadata\.labels\['(.+)'\]", path)
        if label:
            return str(self.pod["metadata"]["labels"][label[1]])
        known: dict[str, str] = {"metadata.namespace": self.workload["metadata"]["namespace"], "status.podIP": POD_IP}
        return known[path]


def containers(folder: str) -> Iterator[Container]:
    """Yield the containers of every pod, those that start first before the others."""
    for workload in of_kind(folder, *WORKLOADS):
        pod = workload["spec"]["template"]
        for spec in [*pod["spec"].get("initContainers", []), *pod["spec"]["containers"]]:
            yield Container(workload, pod, spec)


def roles(folder: str) -> list[Container]:
    """Return the containers that run `grit serve`."""
    return [one for one in containers(folder) if one.args[0] == "serve"]


def services(folder: str) -> list[Container]:
    """Return the containers that run a sample service."""
    return [one for one in containers(folder) if one.args[0].startswith("sample_services.")]


def config_of(folder: str, container: Container) -> Config:
    """Return the configuration that a container loads, with its own environment."""
    return _config(folder, frozenset(container.environ.items()))


@cache
def _config(folder: str, environ: frozenset[tuple[str, str]]) -> Config:
    (config_map,) = of_kind(folder, "ConfigMap")
    return parse_config(config_map["data"]["grit.yaml"], CONFIG_PATH, Path(CONFIG_PATH).parent, dict(environ))
