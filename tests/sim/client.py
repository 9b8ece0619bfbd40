"""A client of the simulator: real sessions, one transaction after the other, each attempt remembered for the oracle."""

import itertools
from typing import Any

from grit.core.errors import DATA_CODES, Code, GritError, Kind
from grit.core.ids import LinkId, Millis, Realm, TxnId, make_txn_id
from grit.core.limits import Limits
from grit.core.messages import Declined, ValidateAsked
from grit.core.operations import Operation, Result
from grit.core.outcome import State
from grit.core.steps import LinkClosed, Received, Tick
from grit.core.validate import validated
from grit.sidecar import events
from grit.sidecar.session import Options, Session
from tests.sim.nodes import Node
from tests.sim.oracle import Attempt
from tests.sim.programs import CATALOGUE
from tests.sim.world import World

ATTEMPTS_MAX = 12
TIMEOUT_MS = 30_000
GTM = Realm("")
"""Stands for the GTM where replicas are listed by realm."""


class ClientNode(Node):
    """A home with one client: runs programs, retries what was aborted with its age kept.

    `attempts` holds what the oracle must explain; `is_done` tells that every program has ended.
    """

    def __init__(self, world: World, name: str, programs: list[list[list[Operation]]]) -> None:
        super().__init__(world, name, {})
        self.attempts: list[Attempt] = []
        self.aborts: dict[str, int] = {}
        self._programs = list(programs)
        self._ids = itertools.count(1)
        self._asked: dict[int, tuple[LinkId, Realm]] = {}
        self._replicas: dict[Realm, list[LinkId]] = {}
        self._session: Session | None = None
        self._running: _Running | None = None
        self._moment = 0
        self._age = 0
        self._tries = 0

    @property
    def is_done(self) -> bool:
        """Tell whether every program has ended."""
        return not self._programs and self._running is None

    @property
    def is_reached(self) -> bool:
        """Tell whether the client was let loose."""
        return bool(self._replicas)

    def reach(self, gtms: list[LinkId], realms: dict[Realm, list[LinkId]]) -> None:
        """Learn over which links the replicas of the GTM and the DBTMs are reached from now on."""
        self._replicas = {GTM: list(gtms), **{realm: list(links) for realm, links in realms.items()}}

    def step(self, event: Any) -> list[Any]:
        if isinstance(event, Received) and self._session is not None:
            message = event.message
            assert isinstance(message, events.ToAnswer), message
            _, role = self._asked.pop(message.id, (None, GTM))
            if isinstance(message, Declined) and message.code == Code.NO_LEADER:
                self._replicas[role].append(self._replicas[role].pop(0))
            return list(self._session.step(self.world.now, events.Answered(message)))
        elif isinstance(event, Tick):
            return self._time_passed()
        elif isinstance(event, LinkClosed) and self._session is not None:
            lost = [number for number, (link, _) in self._asked.items() if link == event.link]
            effects: list[Any] = []
            for number in lost:
                del self._asked[number]
                effects.extend(self._session.step(self.world.now, events.Lost(number)))
            return effects
        return []

    def perform(self, effect: Any) -> None:
        if isinstance(effect, events.AskRealm):
            self._note_check(effect.message)
            self._ask(effect.realm, effect.message)
        elif isinstance(effect, events.AskGtm):
            self._ask(GTM, effect.message)
        elif isinstance(effect, events.Answer):
            self._answered(effect)
        elif not isinstance(effect, events.Finished):
            super().perform(effect)

    def _note_check(self, message: Any) -> None:
        """A transaction without writes takes place when its reads are done, before anybody is asked whether they hold."""
        if isinstance(message, ValidateAsked) and self._running is not None and not self._running.checked:
            self._running.checked = self.world.moment()

    def _ask(self, role: Realm, message: Any) -> None:
        """Ask the replica that is believed to lead, or the next one that can be reached."""
        link = next((link for link in self._replicas[role] if self.is_linked(link)), None)
        if link is not None:
            self._asked[message.id] = (link, role)
            self._send(link, message)
        else:
            declined = Declined(message.id, Code.NO_LEADER.value, "no link", retry_after_ms=20)
            self.world.later(f"{self.name}.self", lambda: self._post_session(events.Answered(declined)))

    def _post_session(self, event: events.Event) -> None:
        if self._session is not None and self.is_alive:
            for effect in self._session.step(self.world.now, event):
                self.perform(effect)

    def _time_passed(self) -> list[Any]:
        if self._session is not None:
            return list(self._session.step(self.world.now, events.Tick()))
        if self._programs and self.is_reached and self._running is None:
            self._begin()
        return []

    def _begin(self) -> None:
        txid = make_txn_id(self.world.now, self.world.chance.getrandbits(64))
        options = Options(deadline=Millis(self.world.now + TIMEOUT_MS), age=self._age)
        self._session = Session(txid, CATALOGUE, options, self._ids)
        self._running = _Running(txid, self._programs[0], self.world.moment())
        self._tries += 1
        self._next()

    def _next(self) -> None:
        running = self._running
        assert running is not None
        request, operations, is_last = running.take()
        checked = tuple(validated(operation, CATALOGUE, Limits()) for operation in operations)
        running.operations.extend(checked)
        event: events.Event = (
            events.CommitRequested(request, checked) if is_last else events.OperationsAsked(request, checked)
        )
        self.world.later(f"{self.name}.self", lambda: self._post_session(event))

    def _answered(self, answer: events.Answer) -> None:
        running = self._running
        assert running is not None
        if isinstance(answer.reply, events.Results):
            running.results.extend(answer.reply.results)
            self._next()
        elif isinstance(answer.reply, GritError):
            self._failed(running, answer.reply)
        else:
            assert isinstance(answer.reply, events.Committed)
            assert answer.reply.outcome.state == State.COMMITTED
            running.results.extend(answer.reply.results)
            self._record(running)
            self._ended()

    def _failed(self, running: "_Running", error: GritError) -> None:
        self.world.note(f"{self.name} {running.name}: {error}")
        self.aborts[error.code.value] = self.aborts.get(error.code.value, 0) + 1
        if error.code in DATA_CODES:
            self._record(running, error.code.value)
            self._ended()
        elif error.kind == Kind.OUTCOME_UNKNOWN:
            self._record(running, sure=False)
            self._ended()
        else:
            assert error.kind in (Kind.TXN_ABORTED, Kind.UNAVAILABLE), error
            self.world.chronicle.refused.append(running.name)
            self._age = error.age or self._age
            self._session, self._running = None, None
            if self._tries >= ATTEMPTS_MAX:
                self._ended()

    def _record(self, running: "_Running", error: str = "", *, sure: bool = True) -> None:
        attempt = Attempt(
            running.name,
            running.began,
            self.world.moment(),
            tuple(running.operations),
            tuple(running.results),
            error,
            sure,
            running.checked,
        )
        self.world.note(f"{self.name} {attempt}")
        self.attempts.append(attempt)

    def _ended(self) -> None:
        self._session, self._running = None, None
        self._programs.pop(0)
        self._age = self._tries = 0


class _Running:
    """One attempt under way."""

    def __init__(self, name: TxnId, requests: list[list[Operation]], began: int) -> None:
        self.name = name
        self.began = began
        self.checked = 0
        self.operations: list[Operation] = []
        self.results: list[Result] = []
        self._requests = requests
        self._sent = 0

    def take(self) -> tuple[int, list[Operation], bool]:
        """Return the next request: its number, its operations, and whether it commits."""
        operations = self._requests[self._sent]
        self._sent += 1
        return self._sent, operations, self._sent == len(self._requests)
