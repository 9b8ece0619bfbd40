"""The state of a deployment as text for people. Pure."""

from collections.abc import Iterator, Sequence

from grit.wire.admin import DeploymentStatus, RealmStatus, RoleStatus

SERVING = "SERVING"


def is_serving(status: DeploymentStatus) -> bool:
    """Tell whether every role serves."""
    return all(role.state == SERVING for role in status.roles)


def status_lines(status: DeploymentStatus) -> Iterator[str]:
    """Yield tables of roles and realms, the global log, and how transactions ended."""
    yield from _table(("ROLE", "REALM", "STATE", "EPOCH", "LEADER", "WHY"), [_role(role) for role in status.roles])
    yield ""
    heads = ("REALM", "ENGINE", "LSN", "APPLIED", "LAG", "THROUGH CSN", "PENDING", "PARKED", "KEYS IN HISTORY")
    unseen = {role.realm for role in status.roles if role.state == "UNREACHABLE" and role.realm}
    yield from _table(heads, [_realm(realm, is_seen=realm.realm not in unseen) for realm in status.realms])
    yield ""
    if status.global_log is not None and status.global_log.epoch:
        log = status.global_log
        yield f"global log: epoch {log.epoch}, Csn {log.csn:,}, {log.voting:,} voting"
    causes = ", ".join(f"{cause.code} {cause.count:,}" for cause in status.abort_causes)
    yield f"through this sidecar: {status.open:,} open, {status.committed:,} committed, without effect: {causes or 'none'}"
    for realm in status.realms:
        for hot in realm.hot_keys:
            yield f"hot key: {realm.realm}.{hot.collection}/{hot.key}: {hot.conflicts:,} conflicts"


def _role(role: RoleStatus) -> tuple[str, ...]:
    epoch = str(role.epoch) if role.epoch else "-"
    return role.role.lower(), role.realm or "-", role.state.lower(), epoch, role.address or "-", role.reason


def _realm(realm: RealmStatus, *, is_seen: bool) -> tuple[str, ...]:
    if not is_seen:
        return realm.realm, realm.engine, *["?"] * 7
    numbers = (
        realm.lsn,
        realm.applied_lsn,
        realm.lag,
        realm.gtl_through_csn,
        realm.pending,
        realm.parked,
        realm.history_keys,
    )
    return realm.realm, realm.engine, *(f"{number:,}" for number in numbers)


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Yield aligned lines, two spaces between columns."""
    widths = [max(len(row[i]) for row in (heads, *rows)) for i in range(len(heads))]
    for row in (heads, *rows):
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
