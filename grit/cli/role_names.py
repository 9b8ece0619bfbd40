"""The words of `grit serve`: `gtm dbtm orders player orders sidecar` names four roles, `gtm/2` the second replica of one."""

from collections.abc import Container, Iterable, Sequence
from enum import StrEnum

import msgspec

from grit.core.errors import ConfigError
from grit.core.ids import Realm
from grit.core.spelling import unknown_name


class RoleKind(StrEnum):
    """What a process can be."""

    GTM = "gtm"
    DBTM = "dbtm"
    PLAYER = "player"
    SIDECAR = "sidecar"


OF_REALM: Container[RoleKind] = frozenset({RoleKind.DBTM, RoleKind.PLAYER})


class RoleName(msgspec.Struct, frozen=True):
    """One role; `realm` is "" for a GTM and a sidecar. `replica`: which of the configured addresses, from 1."""

    kind: RoleKind
    realm: Realm = Realm("")
    replica: int = 1

    def __str__(self) -> str:
        name = f"{self.kind} {self.realm}" if self.realm else str(self.kind)
        return name if self.replica == 1 else f"{name}/{self.replica}"


def parse_roles(words: Sequence[str], realms: Iterable[Realm]) -> list[RoleName]:
    """Return the roles that the words name, in their order.

    Raises:
        ConfigError: An unknown role or realm, a realm that is missing, a role named twice, or none at all.
    """
    known = list(realms)
    roles: list[RoleName] = []
    left = list(words)
    while left:
        role = _next_role(left, known)
        if role in roles:
            raise ConfigError(f"{role} is named twice: one process runs a role once")
        roles.append(role)
    if not roles:
        raise ConfigError(f"no role is named: {', '.join(RoleKind)}; dbtm and player are followed by a realm")
    return roles


def every_role(realms: Iterable[Realm]) -> list[RoleName]:
    """Return all roles of a deployment, in the order in which they start best: logs are read before they are served."""
    of_realms = [RoleName(kind, realm) for realm in realms for kind in (RoleKind.DBTM, RoleKind.PLAYER)]
    return [*of_realms, RoleName(RoleKind.GTM), RoleName(RoleKind.SIDECAR)]


def _next_role(left: list[str], realms: Sequence[Realm]) -> RoleName:
    word, replica = _replica_of(left.pop(0))
    if word not in list(RoleKind):
        raise ConfigError(f'there is no role "{word}"{unknown_name(word, RoleKind)}')
    kind = RoleKind(word)
    if kind not in OF_REALM:
        return RoleName(kind, replica=replica)
    if not left:
        raise ConfigError(f"{kind} needs a realm after it: {kind} {realms[0]}")
    word, replica = _replica_of(left.pop(0))
    realm = Realm(word)
    if realm not in realms:
        raise ConfigError(f'{kind}: the configuration has no realm "{realm}"{unknown_name(realm, realms)}')
    return RoleName(kind, realm, replica)


def _replica_of(word: str) -> tuple[str, int]:
    """Return a word without its replica, and the replica: `orders/2` is the second of orders."""
    name, slash, number = word.rpartition("/")
    return (name, int(number)) if slash and number.isascii() and number.isdigit() and int(number) else (word, 1)
