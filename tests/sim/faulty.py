"""A cluster with a standby for every leader, and whatever can befall its processes.

Faults are drawn per run, a different mix each (swarm): a run without unknown appends can show what many of them hide.
Then the faults end, paused processes go on, dead ones start again, and everything must come to rest: every program
ended, every database at the end of its log, and a serial order that explains all answers.
"""

from collections.abc import Iterable, Sequence

from grit.core.ids import LinkId, Realm
from grit.core.limits import Limits
from grit.store.memory import MemoryStore
from tests.sim.client import ClientNode
from tests.sim.nodes import DbtmNode, GtmNode, Node, PlayerNode
from tests.sim.programs import CATALOGUE, Programs
from tests.sim.verdict import expect_right
from tests.sim.world import World

REPLICAS = 2
FAULTS_A_RUN = 6
UNKNOWN_SHARES = (0.0, 0.0, 0.1, 0.3)
MEMORIES = (1, 4, 1_000_000)
"""What a DBTM remembers: with little it has to look into the database, and finds reads too old."""
FAULT_SHARE = 0.003
"""How readily the next fault happens, at each step."""


class FaultyCluster:
    """Two replicas of the GTM and of each DBTM, two players of each log, clients, and faults. `limits`: of the DBTMs; None: drawn."""

    def __init__(self, seed: int, *, clients: int, transactions: int, limits: Limits | None = None) -> None:
        self.world = World(seed)
        chance = self.world.chance
        self.stores = {realm: MemoryStore(definition) for realm, definition in CATALOGUE.items()}
        self._starts = 0
        self._left = max(FAULTS_A_RUN, clients * transactions // 5)
        self._kinds = chance.sample(("kill", "pause", "cut"), chance.randint(1, 3))
        self._paused: list[Node] = []
        drawn = Limits(history_keys=chance.choice(MEMORIES), images_records=chance.choice(MEMORIES))
        self._limits = limits or drawn
        self.gtms = [self._start_gtm() for _ in range(REPLICAS)]
        self.dbtms = {realm: [self._start_dbtm(realm) for _ in range(REPLICAS)] for realm in CATALOGUE}
        self.players = {realm: [self._start_player(realm) for _ in range(REPLICAS)] for realm in CATALOGUE}
        programs = Programs(chance)
        self.setup = ClientNode(self.world, "setup", [[programs.setup()]])
        scripts = [[programs.transaction() for _ in range(transactions)] for _ in range(clients)]
        self.clients = [ClientNode(self.world, f"client{i}", script) for i, script in enumerate(scripts)]

    def load(self) -> None:
        """Bring the cluster up and write the records that are there from the beginning."""
        self._join([self.setup])
        self.world.run_until(lambda: self.setup.is_done)

    def run(self) -> None:
        """Load; let clients work while faults happen; heal; come to rest; check."""
        self.load()
        self.world.unknown_share = self.world.chance.choice(UNKNOWN_SHARES)
        self._join([self.setup, *self.clients])
        self.world.run_until(self._work)
        self._heal()
        self.world.run_until(lambda: all(client.is_done for client in self.clients))
        self.world.run_until(self._is_at_rest)
        attempts = [attempt for client in (self.setup, *self.clients) for attempt in client.attempts]
        expect_right(self.world, attempts, self.stores)

    # --- faults -------------------------------------------------------------------------------------

    def _work(self) -> bool:
        """Let a fault happen now and then; tell whether the clients are done or the faults are used up."""
        if self._left and self.world.chance.random() < FAULT_SHARE:
            self._left -= 1
            self._fault(self.world.chance.choice(self._kinds))
        return not self._left or all(client.is_done for client in self.clients)

    def _fault(self, kind: str) -> None:
        chance = self.world.chance
        if self._paused and chance.random() < 0.5:
            self._paused.pop(chance.randrange(len(self._paused))).resume()
            return
        victims = [node for node in self._victims() if node not in self._paused]
        victim = chance.choice(victims)
        if kind == "pause":
            victim.pause()
            self._paused.append(victim)
        elif kind == "cut":
            victim.cut(chance)
            self._join([self.setup, *self.clients])
        else:
            self._restart(victim)

    def _restart(self, victim: Node) -> None:
        victim.kill()
        self.gtms = [self._start_gtm() if node is victim else node for node in self.gtms]
        for realm, replicas in self.dbtms.items():
            self.dbtms[realm] = [self._start_dbtm(realm) if node is victim else node for node in replicas]
            players = self.players[realm]
            self.players[realm] = [self._start_player(realm) if node is victim else node for node in players]
        self._join([self.setup, *self.clients])

    def _heal(self) -> None:
        self.world.unknown_share = 0.0
        for node in self._paused:
            node.resume()
        self._paused.clear()
        self._join([self.setup, *self.clients])

    def _victims(self) -> list[Node]:
        replicas = [node for nodes in self.dbtms.values() for node in nodes]
        return [*self.gtms, *replicas, *(node for nodes in self.players.values() for node in nodes)]

    # --- processes ----------------------------------------------------------------------------------

    def _join(self, clients: Iterable[ClientNode]) -> None:
        """Open every link that is not open: what a dialer does by itself."""
        for gtm in self.gtms:
            for realm, replicas in self.dbtms.items():
                self._links(gtm, replicas, ("gtm", gtm.name), ("dbtm", realm))
        for client in clients:
            me = ("sidecar", client.name)
            realms = {r: self._links(client, nodes, me, ("dbtm", r)) for r, nodes in self.dbtms.items()}
            client.reach(self._links(client, self.gtms, me, ("gtm", "gtm")), realms)

    def _links(self, dialer: Node, peers: Sequence[Node], me: tuple[str, str], peer: tuple[str, str]) -> list[LinkId]:
        return [dialer.link_to(node) or dialer.connect(node, me, (peer[0], peer[1])) for node in peers]

    def _name(self, role: str) -> str:
        self._starts += 1
        return f"{role}#{self._starts}"

    def _start_gtm(self) -> GtmNode:
        return GtmNode(self.world, self._name("gtm"), is_alone=False)

    def _start_dbtm(self, realm: Realm) -> DbtmNode:
        name = self._name(f"dbtm.{realm}")
        return DbtmNode(self.world, name, CATALOGUE[realm], self.stores[realm], is_alone=False, limits=self._limits)

    def _start_player(self, realm: Realm) -> PlayerNode:
        return PlayerNode(self.world, self._name(f"player.{realm}"), CATALOGUE[realm], self.stores[realm])

    # --- at rest ------------------------------------------------------------------------------------

    def _is_at_rest(self) -> bool:
        for realm, replicas in self.dbtms.items():
            leaders = [facts for node in replicas if (facts := node.machine.describe())["phase"] == "serving"]
            if len(leaders) != 1 or leaders[0]["pending"] or leaders[0]["in_flight"]:
                return False
            cursor = self.stores[realm].cursor_now()
            if (cursor.lsn if cursor is not None else 0) != leaders[0]["lsn"]:
                return False
        return True
