"""The order of the log agrees with real time, also for writes that nobody reads (protocol.md section 10, ww)."""

from tests.scenarios.conftest import Stage
from tests.sim.programs import DOCS, DOCUMENT, ITEMS, TABLE


def test_a_local_after_an_acknowledged_global_is_not_overwritten_by_it(stage: Stage) -> None:
    """The global is committed and its client knows; its realm does not yet, when a blind local comes."""
    table = stage.cluster.dbtms[TABLE]
    spanning, local = stage.begin("spanning"), stage.begin("local")
    spanning.patch(TABLE, ITEMS, 1, a=5)
    spanning.patch(DOCUMENT, DOCS, 1, a=5)
    spanning.send_commit()
    stage.world.run_until(lambda: table.machine.describe()["pending"] == 1)
    late = (f"gtm#1>{stage.cluster.gtm.link_to(table)};", f"{table.name}.tail.gtl")
    for channel in late:
        stage.world.hold(channel)
    assert spanning.outcome() == "COMMITTED"
    local.patch(TABLE, ITEMS, 1, a=9)
    local.send_commit()
    stage.world.run_until(lambda: local.is_answered or table.machine.describe()["parked"] == 1)
    for channel in late:
        stage.world.release(channel)
    assert local.outcome() == "COMMITTED"
    row = stage.begin("later").get(TABLE, ITEMS, 1)
    assert row is not None
    assert row["a"] == 9
