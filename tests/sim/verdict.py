"""What is asked of every run when it has come to rest."""

from collections.abc import Mapping, Sequence

from grit.core.catalog import RealmDef
from grit.core.ids import Realm
from grit.core.predicate import EVERYTHING
from grit.core.queries import FindRows
from grit.store.memory import MemoryStore
from tests.sim.certificate import find_uncertified
from tests.sim.histories import read_logs
from tests.sim.invariants import find_broken
from tests.sim.oracle import Attempt, State, explain
from tests.sim.world import World

EXACT_MAX = 20
"""The oracle is exponential: of longer histories only the certificate is asked."""


def expect_right(
    world: World, attempts: Sequence[Attempt], stores: Mapping[Realm, MemoryStore], catalogue: Mapping[Realm, RealmDef]
) -> None:
    """Expect every invariant, the certificate, and of a short run any serial order; else show the whole journal."""
    histories = read_logs(world.logs, sorted(stores))
    final = final_rows(stores, catalogue)
    broken = find_broken(world.chronicle, histories, stores)
    broken += find_uncertified(attempts, world.chronicle, histories, catalogue, final)
    if len(attempts) <= EXACT_MAX and explain(attempts, catalogue, final) is None:
        broken.append("oracle: no serial order explains all answers")
    if broken:
        lines = "\n".join([*world.journal.read(), *broken])
        raise AssertionError(f"{broken[0]}: repeat with `make sim SEED={world.seed}`\n{lines}")


def final_rows(stores: Mapping[Realm, MemoryStore], catalogue: Mapping[Realm, RealmDef]) -> State:
    state: State = {}
    for realm, store in stores.items():
        for name in catalogue[realm].collections:
            (rows,) = store.read_now([FindRows(name, EVERYTHING)]).rows
            if rows:
                state[realm, name] = dict(rows)
    return state
