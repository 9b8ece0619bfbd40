"""Deployments of the built-in catalogue that benchmarks load: all roles in one process, or each in its own."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.processes import GRIT
from grit.config.builtin import BUILTIN_REALMS
from sample_services.demo.deployment import free_ports

REALMS = {"orders": "sqlite", "carts": "document", "social": "graph"}
DOUBLED_ROLES = ("gtm", "dbtm orders")
"""Those that have a standby in a `doubled` deployment."""
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


@dataclass(frozen=True)
class Doubled:
    """Each role in its own process; the GTM and one DBTM have two replicas.

    Attributes:
        config: The file.
        sidecar: Its address.
        commands: Name of a process -> its command.
        replicas: Address of each replica of a role that has two -> the name of its process.
    """

    config: Path
    sidecar: str
    commands: Mapping[str, Sequence[str]]
    replicas: Mapping[str, str]


def doubled(folder: Path, *, has_elector: bool = False) -> Doubled:
    """Write a configuration in which the GTM and the DBTM of orders have a standby, and perhaps an elector by file locks."""
    config, sidecar, commands = own_processes(folder)
    text, more = config.read_text(encoding="utf-8"), dict(commands)
    replicas: dict[str, str] = {}
    for role, port in zip(DOUBLED_ROLES, free_ports(2), strict=True):
        # The realm of orders stands first, and so does its DBTM.
        found = re.search(rf'{role.split()[0]}: \["([^"]+)"\]', text)
        assert found is not None
        first, second = found[1], f"{HOST}:{port}"
        text = text.replace(f'["{first}"]', f'["{first}", "{second}"]')
        replicas |= {first: role, second: f"{role} 2"}
        more[f"{role} 2"] = [GRIT, "serve", *f"{role}/2".split(), "-c", str(config)]
    if has_elector:
        text += "elector: {kind: file, path: var/elector}\n"
    config.write_text(text, encoding="utf-8")
    return Doubled(config, sidecar, more, replicas)


def _head(sidecar: str) -> str:
    return f'log: {{kind: embedded, path: var/log}}\nsidecar: {{listen: "{sidecar}"}}\n'
