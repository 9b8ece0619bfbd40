"""A cluster with a standby for every leader, and whatever a plan lets befall its processes.

First the processes come up and the first records are written; then clients work while faults happen; then everything heals
(paused processes go on, dead ones start again, logs and databases answer), and everything must come to rest: every program
ended, every database at the end of its log, one leader for each role; and all that is asked of a run must hold.
"""

from collections.abc import Iterable, Sequence

from grit.core.ids import LinkId, Millis, Realm
from grit.core.limits import Limits
from grit.store.memory import MemoryStore
from gtm.config import GtmConfig
from tests.sim.client import ClientNode
from tests.sim.nodes import DbtmNode, GtmNode, Node, PlayerNode
from tests.sim.oracle import Attempt
from tests.sim.plan import Plan
from tests.sim.programs import EVERYWHERE, set_up
from tests.sim.verdict import expect_right
from tests.sim.world import World

RENEWAL_MS = 700
"""Within this every leader has written something."""


class Swarm:
    """Replicas of the GTM, of each DBTM and of each player, clients, and faults: what a plan says."""

    has_electors = False
    """Whether an external elector says which replica tries first."""

    def __init__(self, plan: Plan) -> None:
        self.world = World(plan.schedule)
        self.catalogue = {realm: EVERYWHERE[realm] for realm in plan.realms}
        self.stores = {realm: MemoryStore(definition) for realm, definition in self.catalogue.items()}
        self._plan = plan
        self._limits = Limits(**plan.limits)
        self._clocks = {clock.whom: clock for clock in plan.clocks}
        self._faults = list(plan.faults)
        self._steps = 0
        self._starts = 0
        self._slots: dict[str, Node] = {}
        self._ills: list[tuple[str, Node]] = []
        for role in self._roles():
            for replica in range(self._plan.replicas):
                self._start(f"{role}/{replica}")
        self.setup = ClientNode(self.world, "setup", [set_up(plan.realms)], self.catalogue)
        self.clients = [
            ClientNode(self.world, f"client{i}", script, self.catalogue) for i, script in enumerate(plan.scripts)
        ]

    @property
    def gtms(self) -> list[GtmNode]:
        """The replicas of the GTM, as they are now."""
        return [node for node in self._slots.values() if isinstance(node, GtmNode)]

    @property
    def dbtms(self) -> dict[Realm, list[DbtmNode]]:
        """The replicas of each DBTM, as they are now."""
        return {realm: self._dbtms_of(realm) for realm in self.catalogue}

    @property
    def attempts(self) -> list[Attempt]:
        """What every client saw."""
        return [attempt for client in (self.setup, *self.clients) for attempt in client.attempts]

    def node(self, slot: str) -> Node:
        """Return the process that is in a slot now."""
        return self._slots[slot]

    def join(self) -> None:
        """Open every link that is not open: what a dialer does by itself."""
        self._join([self.setup, *self.clients])

    def load(self) -> None:
        """Bring the cluster up and write the records that are there from the beginning; from then on clocks may be wrong."""
        self._join([self.setup])
        self.world.run_until(lambda: self.setup.is_done)
        for slot, node in self._slots.items():
            self._set_clock(slot, node)
        for i, client in enumerate(self.clients):
            self._set_clock(f"client/{i}", client)

    def run(self) -> None:
        """Load; let clients work while faults happen; heal; come to rest; check."""
        self.load()
        trouble = self._plan.trouble
        self.world.unknown_share = trouble.get("appends_unknown", 0.0)
        self.world.refused_share = trouble.get("appends_refused", 0.0)
        self.world.store_trouble = trouble.get("databases", 0.0)
        self.join()
        self.world.run_until(self._work)
        self.finish()

    def finish(self) -> None:
        """Heal; let every client end; come to rest; check."""
        self._heal()
        self.world.run_until(lambda: all(client.is_done for client in self.clients))
        self.world.run_until(self._is_at_rest)
        # A leader that has just begun shows life; before that the checker takes it for one that never led.
        end = self.world.now + RENEWAL_MS
        self.world.run_until(lambda: self.world.now >= end and self._is_at_rest())
        expect_right(self.world, self.attempts, self.stores, self.catalogue)

    # --- faults -------------------------------------------------------------------------------------

    def _work(self) -> bool:
        """Let the faults happen whose time has come; tell whether they, or the clients, are done."""
        self._steps += 1
        while self._faults and self._steps >= self._faults[0].at:
            fault = self._faults.pop(0)
            if fault.whom in self._slots:
                self.befall(fault.what, fault.whom)
        return not self._faults or all(client.is_done for client in self.clients)

    def befall(self, what: str, slot: str) -> None:
        """Let a fault of a plan happen now."""
        node = self._slots[slot]
        ill = next((one for one in self._ills if one[1] is node), None)
        if not node.is_alive:
            return
        if ill is not None:
            self._cure(ill)
        elif what == "kill":
            node.kill()
            self._start_again(slot)
        elif what == "fuse":
            node.fuse = self.world.chance.randrange(8)
        elif what == "term":
            node.terminate()
        elif what in ("cut", "drain"):
            node.cut(self.world.chance, drains=what == "drain")
            self.join()
        else:
            self._ills.append((what, node))
            if what == "pause":
                node.pause()
            elif what == "deafen":
                node.deafen()
            else:
                assert isinstance(node, PlayerNode)
                node.stall()

    def _cure(self, ill: tuple[str, Node]) -> None:
        self._ills.remove(ill)
        what, node = ill
        if not node.is_alive:
            return
        if what == "pause":
            node.resume()
        elif what == "deafen":
            node.hear()
        else:
            assert isinstance(node, PlayerNode)
            node.go_on()

    def _heal(self) -> None:
        self.world.unknown_share = self.world.refused_share = self.world.store_trouble = 0.0
        for slot, node in list(self._slots.items()):
            node.fuse = None
            if node.is_stopping and node.is_alive:
                node.kill()
                self._start_again(slot)
        for ill in list(self._ills):
            self._cure(ill)
        self.join()

    # --- processes ----------------------------------------------------------------------------------

    def _join(self, clients: Iterable[ClientNode]) -> None:
        gtms, dbtms = self.gtms, self.dbtms
        for gtm in gtms:
            for realm, replicas in dbtms.items():
                self._links(gtm, replicas, ("gtm", gtm.name), ("dbtm", realm))
        for client in clients:
            me = ("sidecar", client.name)
            realms = {r: self._links(client, nodes, me, ("dbtm", r)) for r, nodes in dbtms.items()}
            client.reach(self._links(client, gtms, me, ("gtm", "gtm")), realms)

    def _links(self, dialer: Node, peers: Sequence[Node], me: tuple[str, str], peer: tuple[str, str]) -> list[LinkId]:
        if not dialer.is_alive:
            return []
        there = [node for node in peers if node.is_alive]
        return [dialer.link_to(node) or dialer.connect(node, me, (peer[0], peer[1])) for node in there]

    def _roles(self) -> list[str]:
        return ["gtm", *(f"dbtm.{realm}" for realm in self.catalogue), *(f"player.{realm}" for realm in self.catalogue)]

    def _dbtms_of(self, realm: Realm) -> list[DbtmNode]:
        found = (self._slots[f"dbtm.{realm}/{replica}"] for replica in range(self._plan.replicas))
        return [node for node in found if isinstance(node, DbtmNode)]

    def _start(self, slot: str) -> None:
        self._starts += 1
        role, _, realm_name = slot.partition("/")[0].partition(".")
        name, realm = f"{slot.partition('/')[0]}#{self._starts}", Realm(realm_name)
        node: Node
        alone = self._plan.replicas == 1
        if role == "gtm":
            config = GtmConfig(**self._plan.gtm)
            node = GtmNode(self.world, name, is_alone=alone, has_elector=self.has_electors, config=config)
        elif role == "dbtm":
            definition, store = self.catalogue[realm], self.stores[realm]
            me = (name, definition, store)
            node = DbtmNode(self.world, *me, is_alone=alone, has_elector=self.has_electors, limits=self._limits)
        else:
            node = PlayerNode(self.world, name, self.catalogue[realm], self.stores[realm])
        node.on_death = lambda: self.world.later("supervisor", lambda: self._start_again(slot))
        self._slots[slot] = node

    def _start_again(self, slot: str) -> None:
        self._start(slot)
        self._set_clock(slot, self._slots[slot])
        self.join()

    def _set_clock(self, slot: str, node: Node) -> None:
        clock = self._clocks.get(slot)
        if clock is not None:
            node.ahead_ms, node.rate = Millis(clock.ahead_ms), clock.rate

    # --- at rest ------------------------------------------------------------------------------------

    def _is_at_rest(self) -> bool:
        if sum(node.machine.is_serving for node in self.gtms) != 1:
            return False
        for realm, replicas in self.dbtms.items():
            leaders = [facts for node in replicas if (facts := node.machine.describe())["phase"] == "serving"]
            if len(leaders) != 1 or leaders[0]["pending"] or leaders[0]["in_flight"]:
                return False
            cursor = self.stores[realm].cursor_now()
            if (cursor.lsn if cursor is not None else 0) != leaders[0]["lsn"]:
                return False
        return True
