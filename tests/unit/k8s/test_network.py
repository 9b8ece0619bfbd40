"""Strangers reach nothing but the shop; whoever must reach a port can."""

from collections.abc import Iterator

import pytest

from tests.unit.k8s.rendered import FOLDERS, WORKLOADS, Object, containers, name_of, of_kind, selects

pytestmark = pytest.mark.parametrize("folder", FOLDERS)

SIDECAR_PODS = {"cart", "orders", "payment", "shop", "social", "stock"}


def name(labels: dict[str, str]) -> str:
    """Return `gtm`, `dbtm`, `player`, or the service."""
    return labels.get("grit/service") or labels["app.kubernetes.io/name"]


def pods(folder: str) -> list[dict[str, str]]:
    return [one["spec"]["template"]["metadata"]["labels"] for one in of_kind(folder, *WORKLOADS)]


def allowed(folder: str) -> Iterator[tuple[str, str, int]]:
    """Yield (from, to, port) of everything that the policies let through; `anybody` is the whole cluster."""
    for policy in of_kind(folder, "NetworkPolicy"):
        targets = [labels for labels in pods(folder) if selects(matched(policy["spec"]["podSelector"]), labels)]
        for rule in policy["spec"].get("ingress", []):
            for source in sources(folder, rule):
                yield from ((source, name(labels), port["port"]) for labels in targets for port in rule["ports"])


def sources(folder: str, rule: Object) -> set[str]:
    found: set[str] = set()
    for peer in rule["from"]:
        if "podSelector" in peer:
            found |= {name(labels) for labels in pods(folder) if selects(matched(peer["podSelector"]), labels)}
        else:
            found.add("anybody")
    return found


def matched(selector: Object) -> dict[str, str]:
    labels: dict[str, str] = selector.get("matchLabels", {})
    return labels


def test_what_no_policy_names_is_refused(folder: str) -> None:
    everything = [one for one in of_kind(folder, "NetworkPolicy") if one["spec"]["podSelector"] == {}]
    assert [(one["spec"]["policyTypes"], one["spec"].get("ingress")) for one in everything] == [(["Ingress"], None)]


def test_sidecars_reach_the_leaders_and_each_other_the_gtm_the_dbtms_and_anybody_only_the_shop(folder: str) -> None:
    wanted = {(source, "gtm", 7410) for source in SIDECAR_PODS}
    wanted |= {(source, "dbtm", 7420) for source in {*SIDECAR_PODS, "gtm"}}
    wanted |= {(source, target, port) for source in SIDECAR_PODS for target in SIDECAR_PODS for port in (7400, 7500)}
    wanted.add(("anybody", "shop", 7500))
    assert set(allowed(folder)) == wanted


def test_every_port_that_a_policy_opens_is_one_of_its_pods(folder: str) -> None:
    listening = {
        (name(one.pod["metadata"]["labels"]), port) for one in containers(folder) for port in one.ports.values()
    }
    assert {(target, port) for _, target, port in allowed(folder)} == listening


def test_every_policy_is_about_somebody(folder: str) -> None:
    for policy in of_kind(folder, "NetworkPolicy"):
        assert [labels for labels in pods(folder) if selects(matched(policy["spec"]["podSelector"]), labels)], name_of(
            policy
        )
