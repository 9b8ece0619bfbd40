"""A commit that is answered when the databases have it."""

from grit.core.queries import GetRows
from tests.scenarios.conftest import Stage
from tests.scenarios.hand import at
from tests.sim.programs import DOCS, DOCUMENT, ITEMS, TABLE


def test_the_databases_have_what_is_answered_as_applied(stage: Stage) -> None:
    hand = stage.begin("hand")
    hand.patch(TABLE, ITEMS, 1, a=7)
    hand.patch(DOCUMENT, DOCS, 1, a=7)
    hand.send_commit(ack_applied=True)
    assert hand.committed().is_applied
    for realm, collection in ((TABLE, ITEMS), (DOCUMENT, DOCS)):
        (rows,) = stage.cluster.stores[realm].read_now([GetRows(collection, (at(1),))]).rows
        assert [row["a"] for _, row in rows] == [7]


def test_a_player_that_is_away_costs_the_word_and_not_the_commit(stage: Stage) -> None:
    stage.world.hold(f"{stage.cluster.players[TABLE].name}.store")
    hand = stage.begin("hand")
    hand.patch(TABLE, ITEMS, 1, a=7)
    hand.send_commit(ack_applied=True)
    stage.world.run_until(lambda: hand.is_answered)
    assert not hand.committed().is_applied
    row = stage.begin("reader").get(TABLE, ITEMS, 1)
    assert row is not None
    assert row["a"] == 7
    stage.world.release(f"{stage.cluster.players[TABLE].name}.store")
