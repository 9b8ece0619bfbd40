"""Asks the roles how they are."""

import asyncio

from sample_services.demo.deployment import REALMS, STANDBYS, Deployment, led_names
from sample_services.demo.metrics import Sample, fetch_metrics
from sample_services.load.progress import Sight

LOOK_S = 0.1
LED = (*led_names(), STANDBYS)
"""The processes that hold replicas of what has a leader."""
OTHERS = (*(f"player {realm}" for realm in REALMS), "sidecar")


class Lookout:
    """Looks at a deployment now and then.

    How far a database is its player knows; of a player that is dead the last number stays true.
    """

    def __init__(self, deployment: Deployment) -> None:
        self._deployment = deployment
        self._applied: dict[str, int] = {}

    async def look(self) -> Sight:
        """Return what the roles tell now."""
        return (await self._look())[0]

    async def until_applied(self) -> None:
        """Return when every database has what is in its log, and no transaction is undecided."""
        while True:
            sight, undecided = await self._look()
            if undecided == 0 and all(lag == 0 for lag in sight.lags.values()):
                return
            await asyncio.sleep(LOOK_S)

    async def until_standing_by(self) -> None:
        """Return when the standbys have read every log up to where it ends now, or further."""
        ends = {realm: largest(await self._ask(f"dbtm {realm}"), "grit_dbtm_lsn", realm) or 0 for realm in REALMS}
        while True:
            standbys = await self._ask(STANDBYS)
            if all((largest(standbys, "grit_dbtm_lsn", realm) or 0) >= end for realm, end in ends.items()):
                return
            await asyncio.sleep(LOOK_S)

    async def leader(self, role: str) -> str:
        """Return the process that leads what a role names, as soon as one does."""
        kind, _, realm = role.partition(" ")
        while True:
            for process in (role, STANDBYS):
                if largest(await self._ask(process), f"grit_{kind}_leading", realm):
                    return process
            await asyncio.sleep(LOOK_S)

    async def _look(self) -> tuple[Sight, int | None]:
        """Return what the roles tell, and how many transactions are undecided; None: a DBTM does not answer."""
        led = await self._ask(*LED)
        # The players are asked after the DBTMs: equal numbers mean what they say.
        others = await self._ask(*OTHERS)
        lags = {realm: self._lag(realm, led, others) for realm in REALMS}
        aborts = {one.labels["code"]: int(one.value) for one in others if one.name == "grit_sidecar_ended_total"}
        counts = [largest(led, f"grit_dbtm_{name}", realm) for name in ("pending", "in_flight") for realm in REALMS]
        return Sight(lags, aborts), None if None in counts else sum(count or 0 for count in counts)

    def _lag(self, realm: str, led: list[Sample], others: list[Sample]) -> int | None:
        """Return how many transactions of the log its database does not have; None: nobody answers."""
        applied = largest(others, "grit_player_applied_lsn", realm)
        if applied is not None:
            self._applied[realm] = applied
        lsn = largest(led, "grit_dbtm_lsn", realm)
        return None if lsn is None or realm not in self._applied else max(0, lsn - self._applied[realm])

    async def _ask(self, *processes: str) -> list[Sample]:
        answers = [fetch_metrics(self._deployment.metrics_address(process)) for process in processes]
        return [sample for samples in await asyncio.gather(*answers) for sample in samples]


def largest(samples: list[Sample], name: str, realm: str) -> int | None:
    """Return the largest value of the samples with this name and realm ("": of none); None: there is none.

    Of two replicas the one that knows more is right.
    """
    values = (one.value for one in samples if one.name == name and one.labels.get("realm", "") == realm)
    return max((int(value) for value in values), default=None)
