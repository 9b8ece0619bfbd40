"""A whole cluster: a GTM, a DBTM and a player per realm, clients; and what must hold when it has come to rest."""

import random

from grit.core.ids import Realm
from grit.store.memory import MemoryStore
from tests.sim.client import ClientNode
from tests.sim.nodes import DbtmNode, GtmNode, PlayerNode
from tests.sim.programs import CATALOGUE, Programs, set_up
from tests.sim.verdict import expect_right
from tests.sim.world import World


class Cluster:
    """Builds the processes and links them; each can be killed and started again."""

    def __init__(self, seed: int, *, clients: int, transactions: int, restarts: int = 0) -> None:
        self.world = World(seed)
        self._restarts = restarts
        self.stores = {realm: MemoryStore(definition) for realm, definition in CATALOGUE.items()}
        self._starts = 0
        self.gtm = self._start_gtm()
        self.dbtms = {realm: self._start_dbtm(realm) for realm in CATALOGUE}
        self.players = {realm: self._start_player(realm) for realm in CATALOGUE}
        programs = Programs(self.world.chance)
        scripts = [[programs.transaction() for _ in range(transactions)] for _ in range(clients)]
        self.setup = ClientNode(self.world, "setup", [set_up(tuple(CATALOGUE))])
        self.clients = [ClientNode(self.world, f"client{i}", script) for i, script in enumerate(scripts)]
        for realm in CATALOGUE:
            self._link_gtm(realm)
        self.reach(self.setup)

    def load(self) -> None:
        """Bring the cluster up and write the records that are there from the beginning."""
        self.world.run_until(lambda: self.setup.is_done)

    def run(self) -> None:
        """Load, let every client do its programs, come to rest, and check everything."""
        self.load()
        for client in self.clients:
            self.reach(client)
        self.world.run_until(self._are_clients_done)
        self.settle()
        attempts = [attempt for client in (self.setup, *self.clients) for attempt in client.attempts]
        expect_right(self.world, attempts, self.stores, CATALOGUE)

    def settle(self) -> None:
        """Wait until every database holds what its log holds, and nothing is undecided."""
        self.world.run_until(self._is_at_rest)

    def restart(self, chance: random.Random) -> None:
        """Kill one process and start it again, from what is durable."""
        kind = chance.choice(("gtm", "dbtm", "player"))
        realm = chance.choice(sorted(CATALOGUE))
        if kind == "gtm":
            self.restart_gtm()
        elif kind == "dbtm":
            self.restart_dbtm(realm)
        else:
            self.restart_player(realm)

    def restart_gtm(self) -> None:
        """Kill the GTM and start it again."""
        self.gtm.kill()
        self.gtm = self._start_gtm()
        for realm in CATALOGUE:
            self._link_gtm(realm)
        self._reach_again()

    def replace_gtm(self) -> GtmNode:
        """Start another GTM beside the one that was there, which is returned: paused, cut off, or simply doubled."""
        old, self.gtm = self.gtm, self._start_gtm()
        for realm in CATALOGUE:
            self._link_gtm(realm)
        self._reach_again()
        return old

    def restart_dbtm(self, realm: Realm) -> None:
        """Kill a DBTM and start it again."""
        self.dbtms[realm].kill()
        self.dbtms[realm] = self._start_dbtm(realm)
        self._link_gtm(realm)
        self._reach_again()

    def start_again(self) -> None:
        """Start every role anew; all are dead."""
        self.gtm = self._start_gtm()
        self.dbtms = {realm: self._start_dbtm(realm) for realm in CATALOGUE}
        self.players = {realm: self._start_player(realm) for realm in CATALOGUE}
        for realm in CATALOGUE:
            self._link_gtm(realm)

    def restart_player(self, realm: Realm) -> None:
        """Kill a player and start it again."""
        self.players[realm].kill()
        self.players[realm] = self._start_player(realm)

    def reach(self, client: ClientNode) -> None:
        """Link a client to whom it is not linked yet."""
        gtm = client.link_to(self.gtm) or client.connect(self.gtm, ("sidecar", client.name), ("gtm", "gtm"))
        realms = {
            realm: [client.link_to(dbtm) or client.connect(dbtm, ("sidecar", client.name), ("dbtm", realm))]
            for realm, dbtm in self.dbtms.items()
        }
        client.reach([gtm], realms)

    def _reach_again(self) -> None:
        for client in (self.setup, *self.clients):
            if client.is_reached:
                self.reach(client)

    def _are_clients_done(self) -> bool:
        chance = self.world.chance
        if self._restarts and chance.random() < 0.01:
            self._restarts -= 1
            self.restart(chance)
        return all(client.is_done for client in self.clients)

    def _is_at_rest(self) -> bool:
        for realm, dbtm in self.dbtms.items():
            facts = dbtm.machine.describe()
            player = self.players[realm].machine
            if facts["pending"] or facts["in_flight"] or player.applied_lsn != facts["lsn"]:
                return False
        return True

    def _name(self, role: str) -> str:
        self._starts += 1
        return f"{role}#{self._starts}"

    def _start_gtm(self) -> GtmNode:
        return GtmNode(self.world, self._name("gtm"))

    def _start_dbtm(self, realm: Realm) -> DbtmNode:
        return DbtmNode(self.world, self._name(f"dbtm.{realm}"), CATALOGUE[realm], self.stores[realm])

    def _start_player(self, realm: Realm) -> PlayerNode:
        return PlayerNode(self.world, self._name(f"player.{realm}"), CATALOGUE[realm], self.stores[realm])

    def _link_gtm(self, realm: Realm) -> None:
        self.gtm.connect(self.dbtms[realm], ("gtm", self.gtm.name), ("dbtm", realm))
