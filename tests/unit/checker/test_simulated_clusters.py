"""What the real machines leave behind gives no finding, whatever was killed and started again meanwhile."""

import pytest

from grit.checker.check import check_log, check_state
from grit.checker.report import Verdict
from grit.checker.sources import Sources
from grit.core.catalog import RealmDef
from grit.log.memory import MemoryLog
from grit.store.port import StoreReader
from tests.sim.cluster import Cluster
from tests.sim.programs import CATALOGUE


def sources_of(cluster: Cluster) -> Sources:
    async def open_log(name: str) -> MemoryLog:
        log = MemoryLog(name)
        for payload in cluster.world.logs[name]:
            await log.append(payload)
        return log

    async def open_reader(realm: RealmDef) -> StoreReader:
        return cluster.stores[realm.name]

    return Sources(CATALOGUE, open_log, open_reader)


@pytest.mark.parametrize("seed", range(25))
async def test_a_cluster_that_has_come_to_rest_is_valid(seed: int) -> None:
    cluster = Cluster(seed, clients=3, transactions=4, restarts=seed % 3)
    cluster.run()
    sources = sources_of(cluster)
    for report in (await check_log(sources, is_quiesced=True), await check_state(sources)):
        assert report.verdict == Verdict.VALID, f"seed {seed}: {report.text()}"
