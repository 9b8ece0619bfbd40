"""Transactions driven by hand, step by step, against a whole cluster in virtual time.

A scenario says who does what in which order, and holds back what must be late (a link, an append) by name. What it
does not hold back happens in the order of the seed.
"""

import itertools
from collections.abc import Mapping
from typing import Any

from grit.core.errors import GritError
from grit.core.ids import Collection, Key, Millis, Realm, make_txn_id
from grit.core.keys import encode_key
from grit.core.limits import Limits
from grit.core.operations import (
    Count,
    Delete,
    Find,
    Get,
    Increment,
    Insert,
    Link,
    Neighbours,
    NumberResult,
    Operation,
    Patch,
    Put,
    Result,
    RowResult,
    RowsResult,
    SessionToken,
    Unlink,
)
from grit.core.predicate import EVERYTHING, Where
from grit.core.steps import LinkClosed, Received, Tick
from grit.core.validate import validated
from grit.core.values import Row
from grit.sidecar import events
from grit.sidecar.session import Options, Session
from tests.sim.cluster import Cluster
from tests.sim.nodes import Node
from tests.sim.programs import CATALOGUE

SOON = 20_000
"""Steps of the world within which an answer must come."""


class Hand(Node):
    """One transaction at a home of its own.

    `txid` is its id; operations wait for their answer, `commit` too; `send_commit` and `outcome` split the latter.
    """

    def __init__(
        self,
        cluster: Cluster,
        name: str,
        *,
        age: int = 0,
        key: str = "",
        read_only: bool = False,
        snapshot: bool = False,
        past: SessionToken | None = None,
    ) -> None:
        super().__init__(cluster.world, name, {})
        chance = self.world.chance.getrandbits(64)
        self.txid = make_txn_id(self.world.now, chance)
        deadline = Millis(self.world.now + 30_000)
        options = Options(
            deadline=deadline,
            age=age,
            idempotency_key=key,
            read_only=read_only,
            snapshot=snapshot,
            past=past or SessionToken(),
        )
        self._session = Session(self.txid, CATALOGUE, options, itertools.count(1))
        self._requests = itertools.count(1)
        self._answers: dict[int, events.Reply | GritError] = {}
        self._commit_request = 0
        self._gtm = self.connect(cluster.gtm, ("sidecar", name), ("gtm", "gtm"))
        self._realms = {r: self.connect(d, ("sidecar", name), ("dbtm", r)) for r, d in cluster.dbtms.items()}
        self._asked: dict[int, int] = {}
        self.sent: list[Any] = []

    def step(self, event: Any) -> list[Any]:
        if isinstance(event, Received):
            message = event.message
            assert isinstance(message, events.ToAnswer)
            self._asked.pop(message.id, None)
            return list(self._session.step(self.world.now, events.Answered(message)))
        if isinstance(event, Tick):
            return list(self._session.step(self.world.now, events.Tick()))
        if isinstance(event, LinkClosed):
            lost = [number for number, link in self._asked.items() if link == event.link]
            return [e for n in lost for e in self._session.step(self.world.now, events.Lost(n))]
        return []

    def perform(self, effect: Any) -> None:
        if isinstance(effect, events.AskRealm | events.AskGtm):
            link = self._realms[effect.realm] if isinstance(effect, events.AskRealm) else self._gtm
            self._asked[effect.message.id] = link
            self.sent.append(effect.message)
            self._send(link, effect.message)
        elif isinstance(effect, events.Answer):
            self._answers[effect.request] = effect.reply
        elif not isinstance(effect, events.Finished):
            super().perform(effect)

    def turn_to(self, realm: Realm, dbtm: Node) -> None:
        """Ask another replica of a realm from now on."""
        self._realms[realm] = self.connect(dbtm, ("sidecar", self.name), ("dbtm", realm))

    # --- operations ---------------------------------------------------------------------------------

    def get(self, realm: Realm, collection: Collection, key: int, fields: tuple[str, ...] | None = None) -> Row | None:
        """Read a record."""
        result = self.run(Get(realm, collection, at(key), fields))
        assert isinstance(result, RowResult)
        return result.row

    def find(self, realm: Realm, collection: Collection, where: Where = EVERYTHING) -> list[int]:
        """Return the keys of the records that match."""
        result = self.run(Find(realm, collection, where))
        assert isinstance(result, RowsResult)
        return [row["k"] for row in result.rows if row is not None]

    def count(self, realm: Realm, collection: Collection, where: Where = EVERYTHING) -> int:
        """Count the records that match."""
        result = self.run(Count(realm, collection, where))
        assert isinstance(result, NumberResult)
        return int(result.number)

    def put(self, realm: Realm, collection: Collection, row: Mapping[str, Any]) -> None:
        """Write a whole record."""
        self.run(Put(realm, collection, row))

    def insert(self, realm: Realm, collection: Collection, row: Mapping[str, Any]) -> None:
        """Write a new record."""
        self.run(Insert(realm, collection, row))

    def patch(self, realm: Realm, collection: Collection, key: int, **changes: Any) -> None:
        """Change fields."""
        self.run(Patch(realm, collection, at(key), changes))

    def delete(self, realm: Realm, collection: Collection, key: int) -> None:
        """Remove a record."""
        self.run(Delete(realm, collection, at(key)))

    def add(self, realm: Realm, collection: Collection, key: int, field: str, delta: int) -> None:
        """Increment a field."""
        self.run(Increment(realm, collection, at(key), field, delta))

    def link(self, realm: Realm, collection: Collection, start: int, end: int) -> None:
        """Join two nodes."""
        self.run(Link(realm, collection, at(start), at(end)))

    def unlink(self, realm: Realm, collection: Collection, start: int, end: int) -> None:
        """Part two nodes."""
        self.run(Unlink(realm, collection, at(start), at(end)))

    def neighbours(self, realm: Realm, collection: Collection, key: int, relationship: Collection) -> list[int]:
        """Return the ends of the relationships that start at a node."""
        result = self.run(Neighbours(realm, collection, at(key), relationship))
        assert isinstance(result, RowsResult)
        return [row["end"] for row in result.rows if row is not None]

    def run(self, operation: Operation) -> Result:
        """Run one operation and wait for its answer; raises what it is told."""
        request = self.send(operation)
        reply = self._wait(request)
        assert isinstance(reply, events.Results)
        return reply.results[0]

    def send(self, operation: Operation) -> int:
        """Ask for one operation; return the number of the request."""
        request = next(self._requests)
        self._post(events.OperationsAsked(request, (validated(operation, CATALOGUE, Limits()),)))
        return request

    # --- the end ------------------------------------------------------------------------------------

    def send_commit(self, *, ack_applied: bool = False) -> None:
        """Ask for the commit; `outcome` waits for it."""
        self._commit_request = next(self._requests)
        self._post(events.CommitRequested(self._commit_request, ack_applied=ack_applied))

    @property
    def is_answered(self) -> bool:
        """Tell whether the outcome is there."""
        return self._commit_request in self._answers

    def outcome(self) -> str:
        """Wait for the outcome: "COMMITTED", or the code of the error."""
        try:
            self._wait(self._commit_request)
        except GritError as error:
            return error.code.value
        return "COMMITTED"

    def committed(self) -> events.Committed:
        """Wait for the outcome, which must be a commit."""
        reply = self._wait(self._commit_request)
        assert isinstance(reply, events.Committed)
        return reply

    def error(self) -> GritError:
        """Wait for the outcome, which must be an error."""
        self.world.run_until(lambda: self.is_answered, steps_max=SOON)
        reply = self._answers[self._commit_request]
        assert isinstance(reply, GritError), reply
        return reply

    def commit(self) -> str:
        """Commit and wait."""
        self.send_commit()
        return self.outcome()

    def rollback(self, *, validate: bool) -> events.RolledBack:
        """End without effect; `validate`: learn whether the reads were current."""
        request = next(self._requests)
        self._post(events.RollbackRequested(request, validate))
        reply = self._wait(request)
        assert isinstance(reply, events.RolledBack)
        return reply

    def next_request(self) -> int:
        """Return a fresh number."""
        return next(self._requests)

    def post_and_wait(self, event: Any) -> events.Reply:
        """Post any request of the session and wait for its answer."""
        self._post(event)
        return self._wait(event.request)

    def _post(self, event: events.Event) -> None:
        for effect in self._session.step(self.world.now, event):
            self.perform(effect)

    def _wait(self, request: int) -> events.Reply:
        self.world.run_until(lambda: request in self._answers, steps_max=SOON)
        reply = self._answers[request]
        if isinstance(reply, GritError):
            raise reply
        return reply


def at(key: int) -> Key:
    """Return the key of a record."""
    return encode_key([key])
