"""What is asked of every run when it has come to rest."""

from collections.abc import Iterable, Mapping

from grit.core.ids import Realm
from grit.core.predicate import EVERYTHING
from grit.core.queries import FindRows
from grit.store.memory import MemoryStore
from tests.sim.client import ClientNode
from tests.sim.oracle import State, explain
from tests.sim.programs import CATALOGUE
from tests.sim.world import World


def expect_serializable(world: World, clients: Iterable[ClientNode], stores: Mapping[Realm, MemoryStore]) -> None:
    """Expect a serial order that explains every answer and leaves what the databases hold; else show the whole journal."""
    attempts = [attempt for client in clients for attempt in client.attempts]
    if explain(attempts, CATALOGUE, _final(stores)) is None:
        lines = "\n".join(world.journal)
        raise AssertionError(f"no serial order explains this: repeat with `make sim SEED={world.seed}`\n{lines}")


def _final(stores: Mapping[Realm, MemoryStore]) -> State:
    state: State = {}
    for realm, store in stores.items():
        for name in CATALOGUE[realm].collections:
            (rows,) = store.read_now([FindRows(name, EVERYTHING)]).rows
            if rows:
                state[realm, name] = dict(rows)
    return state
