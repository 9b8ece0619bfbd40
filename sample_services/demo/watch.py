"""Asks the roles how they are."""

import asyncio

from sample_services.demo.deployment import REALMS, Deployment
from sample_services.demo.metrics import Sample, fetch_metrics
from sample_services.load.progress import Sight

LOOK_S = 0.1


async def look(deployment: Deployment) -> Sight:
    """Return what the DBTMs and the sidecar tell now."""
    dbtms = await asyncio.gather(*(fetch_metrics(deployment.metrics_address(f"dbtm {realm}")) for realm in REALMS))
    sidecar = await fetch_metrics(deployment.metrics_address("sidecar"))
    lags = {realm: _value(samples, "grit_dbtm_lag") for realm, samples in zip(REALMS, dbtms, strict=True)}
    aborts = {one.labels["code"]: int(one.value) for one in sidecar if one.name == "grit_sidecar_ended_total"}
    return Sight(lags, aborts)


async def until_applied(deployment: Deployment) -> None:
    """Return when every database has what is in its log, and no transaction is undecided.

    Log and database are asked one after the other; the player's number is the later one, so equal ones mean what they say.
    """
    for realm in REALMS:
        await _until_realm_applied(deployment, realm)


async def _until_realm_applied(deployment: Deployment, realm: str) -> None:
    while True:
        if await _is_applied(deployment, realm):
            return
        await asyncio.sleep(LOOK_S)


async def _is_applied(deployment: Deployment, realm: str) -> bool:
    dbtm = await fetch_metrics(deployment.metrics_address(f"dbtm {realm}"))
    player = await fetch_metrics(deployment.metrics_address(f"player {realm}"))
    is_still = all(_value(dbtm, f"grit_dbtm_{name}") == 0 for name in ("pending", "in_flight"))
    lsn = _value(dbtm, "grit_dbtm_lsn")
    return is_still and lsn is not None and lsn == _value(player, "grit_player_applied_lsn")


def _value(samples: list[Sample], name: str) -> int | None:
    return next((int(one.value) for one in samples if one.name == name), None)
