"""Deployments of the built-in catalogue that benchmarks load: all roles in one process, or each in its own."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from bench.processes import GRIT
from grit.config.builtin import BUILTIN_REALMS
from sample_services.demo.deployment import free_ports

REALMS = {"orders": "sqlite", "carts": "document", "social": "graph"}
HOST = "127.0.0.1"


def one_process(folder: Path) -> tuple[Path, str]:
    """Write the configuration of `grit dev`; return its file and the sidecar's address."""
    (port,) = free_ports(1)
    sidecar = f"{HOST}:{port}"
    config = folder / "grit.yaml"
    config.write_text(_head(sidecar) + BUILTIN_REALMS, encoding="utf-8")
    return config, sidecar


def own_processes(folder: Path) -> tuple[Path, str, Mapping[str, Sequence[str]]]:
    """Write a configuration with addresses; return its file, the sidecar's address, and a command for each role."""
    gtm, listen, *dbtms = free_ports(2 + len(REALMS))
    sidecar = f"{HOST}:{listen}"
    text = BUILTIN_REALMS
    for engine, port in zip(REALMS.values(), dbtms, strict=True):
        text = text.replace(f"    engine: {engine}\n", f'    engine: {engine}\n    dbtm: ["{HOST}:{port}"]\n')
    config = folder / "grit.yaml"
    config.write_text(f'{_head(sidecar)}gtm: ["{HOST}:{gtm}"]\n{text}', encoding="utf-8")
    roles = ["gtm", *(f"dbtm {realm}" for realm in REALMS), *(f"player {realm}" for realm in REALMS), "sidecar"]
    return config, sidecar, {role: [GRIT, "serve", *role.split(), "-c", str(config)] for role in roles}


def _head(sidecar: str) -> str:
    return f'log: {{kind: embedded, path: var/log}}\nsidecar: {{listen: "{sidecar}"}}\n'
