"""Asks the roles how they are."""

import asyncio

from sample_services.demo.deployment import REALMS, Deployment
from sample_services.demo.metrics import Sample, fetch_metrics
from sample_services.load.progress import Sight

LOOK_S = 0.1


class Lookout:
    """Looks at a deployment now and then.

    How far a database is its player knows; of a player that is dead the last number stays true.
    """

    def __init__(self, deployment: Deployment) -> None:
        self._deployment = deployment
        self._applied: dict[str, int] = {}

    async def look(self) -> Sight:
        """Return what the roles tell now."""
        lags = await asyncio.gather(*(self._lag(realm) for realm in REALMS))
        sidecar = await self._ask("sidecar")
        aborts = {one.labels["code"]: int(one.value) for one in sidecar if one.name == "grit_sidecar_ended_total"}
        return Sight(dict(zip(REALMS, lags, strict=True)), aborts)

    async def until_applied(self) -> None:
        """Return when every database has what is in its log, and no transaction is undecided."""
        for realm in REALMS:
            await self._until_realm_applied(realm)

    async def _until_realm_applied(self, realm: str) -> None:
        while True:
            dbtm = await self._ask(f"dbtm {realm}")
            is_still = all(value_of(dbtm, f"grit_dbtm_{name}") == 0 for name in ("pending", "in_flight"))
            # The player is asked after the DBTM: equal numbers mean what they say.
            if is_still and await self._lag(realm) == 0:
                return
            await asyncio.sleep(LOOK_S)

    async def _lag(self, realm: str) -> int | None:
        """Return how many transactions of the log its database does not have; None: nobody answers."""
        dbtm = await self._ask(f"dbtm {realm}")
        applied = value_of(await self._ask(f"player {realm}"), "grit_player_applied_lsn")
        if applied is not None:
            self._applied[realm] = applied
        lsn = value_of(dbtm, "grit_dbtm_lsn")
        return None if lsn is None or realm not in self._applied else max(0, lsn - self._applied[realm])

    async def _ask(self, role: str) -> list[Sample]:
        return await fetch_metrics(self._deployment.metrics_address(role))


def value_of(samples: list[Sample], name: str) -> int | None:
    """Return the value of the sample with this name; None: there is none."""
    return next((int(one.value) for one in samples if one.name == name), None)
