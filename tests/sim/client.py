"""A client of the simulator: real sessions, one transaction after the other, each attempt remembered for the oracle.

Home, service and the services that it calls are one process here. What they say to the home is numbered, and comes twice
now and then; what a called service writes travels by itself, and may come after what its caller does next.
"""

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

from grit.core.catalog import RealmDef
from grit.core.errors import DATA_CODES, Code, GritError, Kind
from grit.core.ids import LinkId, Millis, Realm, TxnId, make_txn_id
from grit.core.limits import Limits
from grit.core.messages import CommitAsked, Declined, StatusAsked, SubmitAsked, ValidateAsked
from grit.core.operations import Operation, Result
from grit.core.outcome import State
from grit.core.steps import LinkClosed, Received, Tick
from grit.core.validate import validated
from grit.sidecar import events
from grit.sidecar.clock import Clock
from grit.sidecar.session import Options, Session
from tests.sim import script
from tests.sim.nodes import Node
from tests.sim.oracle import Attempt
from tests.sim.programs import CATALOGUE
from tests.sim.world import World

ATTEMPTS_MAX = 12
TIMEOUT_MS = 30_000
GTM = Realm("")
"""Stands for the GTM where replicas are listed by realm."""
TWICE_SHARE = 0.05
"""How many requests reach the home twice."""
STRANGER = -1
"""Questions of others have negative ids: nobody waits for the answer."""


class ClientNode(Node):
    """A home with one client: runs programs, retries what was aborted with its age kept.

    `attempts` holds what the oracle must explain; `is_done` tells that every program has ended.
    """

    def __init__(
        self,
        world: World,
        name: str,
        programs: Sequence[script.Program],
        catalogue: Mapping[Realm, RealmDef] = CATALOGUE,
    ) -> None:
        super().__init__(world, name, {})
        self.attempts: list[Attempt] = []
        self.aborts: dict[str, int] = {}
        self._catalogue = catalogue
        self._clock = Clock(lambda: self.own_time)
        self._programs = list(programs)
        self._ids = itertools.count(1)
        self._asked: dict[int, tuple[LinkId, Realm | None]] = {}
        self._replicas: dict[Realm, list[LinkId]] = {}
        self._session: Session | None = None
        self._running: _Running | None = None
        self._age = 0
        self._tries = 0
        self._ended_count = 0

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

    # --- the home ------------------------------------------------------------------------------------

    def step(self, event: Any) -> list[Any]:
        if isinstance(event, Received):
            return self._received(event.message)
        if isinstance(event, Tick):
            return self._time_passed()
        if isinstance(event, LinkClosed) and self._session is not None:
            lost = [number for number, (link, _) in self._asked.items() if link == event.link]
            effects: list[Any] = []
            for number in lost:
                del self._asked[number]
                effects.extend(self._session.step(self._clock.passed(), events.Lost(number)))
            return effects
        return []

    def _received(self, message: Any) -> list[Any]:
        assert isinstance(message, events.ToAnswer), message
        self._clock.see(getattr(message, "now", Millis(0)))
        if self._session is None or message.id <= STRANGER:
            return []
        _, role = self._asked.pop(message.id, (None, None))
        if role is not None and isinstance(message, Declined) and message.code == Code.NO_LEADER:
            self._replicas[role].append(self._replicas[role].pop(0))
        return list(self._session.step(self._clock.passed(), events.Answered(message)))

    def perform(self, effect: Any) -> None:
        if isinstance(effect, events.AskRealm):
            self._note_check(effect.message)
            if effect.anywhere:
                self._ask_anybody(effect)
            else:
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

    def _ask_anybody(self, ask: events.AskRealm) -> None:
        """Ask any replica, but not the one that has been asked and is silent."""
        before, _ = self._asked.get(ask.beside, (None, GTM))
        links = [link for link in self._replicas[ask.realm] if self.is_linked(link) and link != before]
        if links or before is None:
            self._ask_over(self.world.chance.choice(links) if links else None, ask.realm, ask.message, of_leader=False)

    def _ask(self, role: Realm, message: Any) -> None:
        """Ask the replica that is believed to lead, or the next one that can be reached."""
        link = next((link for link in self._replicas[role] if self.is_linked(link)), None)
        self._ask_over(link, role, message, of_leader=True)

    def _ask_over(self, link: LinkId | None, role: Realm, message: Any, *, of_leader: bool) -> None:
        if link is not None:
            self._asked[message.id] = (link, role if of_leader else None)
            self._send(link, message)
            if isinstance(message, CommitAsked | SubmitAsked) and self._programs[0].is_asked_about:
                self._ask_from_elsewhere(role, message.txid)
        else:
            declined = Declined(message.id, Code.NO_LEADER.value, "no link", retry_after_ms=20)
            self.world.later(f"{self.name}.self", lambda: self._post_session(events.Answered(declined)))

    def _ask_from_elsewhere(self, role: Realm, txid: TxnId) -> None:
        """Somebody who has lost the home asks every replica of the arbiter what became of it, while it commits."""

        def ask() -> None:
            for link in self._replicas[role]:
                self._send(link, StatusAsked(STRANGER, txid))

        self.world.later(f"{self.name}.stranger", ask)

    def _post_session(self, event: events.Event) -> None:
        if self._session is not None and self.is_alive:
            for effect in self._session.step(self._clock.passed(), event):
                self.perform(effect)

    # --- the service ---------------------------------------------------------------------------------

    def _time_passed(self) -> list[Any]:
        if self._session is not None:
            return list(self._session.step(self._clock.passed(), events.Tick()))
        if self._programs and self.is_reached and self._running is None:
            self._begin()
        return []

    def _begin(self) -> None:
        now = self._clock.now()
        txid = make_txn_id(now, self.world.chance.getrandbits(64))
        key = self._programs[0].key
        options = Options(deadline=Millis(self._clock.passed() + TIMEOUT_MS), age=self._age, idempotency_key=key)
        self._session = Session(txid, self._catalogue, options, self._ids)
        self._running = _Running(txid, self._programs[0], self.world.moment())
        self._tries += 1
        self.world.journal.names[txid] = f"{self.name}.{self._ended_count}/{self._tries}"
        self.world.note(self.name, f"begins {txid}:", " | ".join(self._programs[0].lines))
        self._next()

    def _next(self) -> None:
        """Make the next request; on to the one after it when nobody needs the answer of a called service."""
        running = self._running
        assert running is not None
        number, request = running.take()
        checked = tuple(validated(operation, self._catalogue, Limits()) for operation in request.operations)
        call = f"{running.name}-{request.call}" if request.call else ""
        if request.kind == script.Kind.DROP:
            running.drop(request.call)
            self._request(f"{self.name}.self", events.CallDropped(number, call))
            return
        running.operations[number] = checked
        sequence = running.number(call)
        if request.kind == script.Kind.COMMIT:
            confirmed = tuple(running.confirmed())
            self._request(
                f"{self.name}.self", events.CommitRequested(number, checked, sequence=sequence, confirmed=confirmed)
            )
            return
        asked = events.OperationsAsked(number, checked, call, sequence)
        channel = f"{self.name}.service" if call else f"{self.name}.self"
        self._request(channel, asked)
        if self.world.chance.random() < TWICE_SHARE:
            self._request(channel, events.OperationsAsked(number, checked, call, sequence))
        if call and request.is_blind and not running.is_about_to_drop(request.call):
            running.calls[call] = running.calls.get(call, 0) + len(checked)
            running.unheard.add(number)
            self._request(f"{self.name}.self", events.CallConfirmed(-number, call, running.calls[call]))
        elif call:
            running.calls[call] = running.calls.get(call, 0) + len(checked)

    def _request(self, channel: str, event: events.Request) -> None:
        txid = self._running.name if self._running else None

        def post() -> None:
            if self._running is not None and self._running.name == txid:
                self._post_session(event)

        self.world.later(channel, post)

    def _answered(self, answer: events.Answer) -> None:
        running = self._running
        if running is None:
            return
        if isinstance(answer.reply, GritError):
            if answer.request > 0 or answer.reply.code != Code.NO_SUCH_TRANSACTION:
                self._failed(running, answer.reply)
        elif isinstance(answer.reply, events.Results):
            is_first = answer.request not in running.results
            running.results[answer.request] = answer.reply.results
            if is_first and answer.request not in running.unheard:
                self._next()
        elif isinstance(answer.reply, events.CallTaken):
            self._next()
        else:
            assert isinstance(answer.reply, events.Committed)
            self._committed(running, answer)

    def _committed(self, running: "_Running", answer: events.Answer) -> None:
        reply = answer.reply
        assert isinstance(reply, events.Committed)
        assert reply.outcome.state == State.COMMITTED
        running.results[answer.request] = reply.results
        if reply.repeated:
            self.world.note(
                self.name, f"is told for {running.name} that {reply.outcome.txid} had committed with its key"
            )
            self.world.chronicle.refused.append(running.name)
        else:
            self._record(running)
        self._ended()

    def _failed(self, running: "_Running", error: GritError) -> None:
        self.world.note(self.name, f"is told of {running.name}:", error)
        self.aborts[error.code.value] = self.aborts.get(error.code.value, 0) + 1
        if error.code in DATA_CODES:
            self._record(running, error.code.value)
            self._ended()
        elif error.kind == Kind.OUTCOME_UNKNOWN:
            self._record(running, sure=False)
            if running.program.key and self._tries < ATTEMPTS_MAX:
                self._session, self._running = None, None
            else:
                self._ended()
        else:
            assert error.kind in (Kind.TXN_ABORTED, Kind.UNAVAILABLE), error
            self.world.chronicle.refused.append(running.name)
            self._age = error.age or self._age
            self._session, self._running = None, None
            if self._tries >= ATTEMPTS_MAX or error.code == Code.CLOCK_SKEW:
                self._ended()

    def _record(self, running: "_Running", error: str = "", *, sure: bool = True) -> None:
        operations, results = running.history()
        attempt = Attempt(
            running.name, running.began, self.world.moment(), operations, results, error, sure, running.checked
        )
        self.world.note(self.name, "learns", attempt)
        self.attempts.append(attempt)

    def _ended(self) -> None:
        self._ended_count += 1
        self._session, self._running = None, None
        self._programs.pop(0)
        self._age = self._tries = 0


class _Running:
    """One attempt under way. `calls`: how many operations each call made; `unheard`: requests whose answer nobody awaits."""

    def __init__(self, name: TxnId, program: script.Program, began: int) -> None:
        self.name = name
        self.program = program
        self.began = began
        self.checked = 0
        self.operations: dict[int, tuple[Operation, ...]] = {}
        self.results: dict[int, tuple[Result, ...]] = {}
        self.calls: dict[str, int] = {}
        self.unheard: set[int] = set()
        self._numbers: dict[str, int] = {}
        self._dropped: set[int] = set()
        self._sent = 0

    def take(self) -> tuple[int, script.Request]:
        """Return the next request and its number."""
        request = self.program.requests[self._sent]
        self._sent += 1
        return self._sent, request

    def number(self, call: str) -> int:
        """Return the next number of a call's requests."""
        self._numbers[call] = self._numbers.get(call, 0) + 1
        return self._numbers[call]

    def is_about_to_drop(self, call: int) -> bool:
        """Tell whether the caller will give the call up: then it never says that it has seen its answer."""
        return any(r.kind == script.Kind.DROP and r.call == call for r in self.program.requests[self._sent :])

    def drop(self, call: int) -> None:
        """Take out what the call did: it has no effect."""
        self._dropped.add(call)
        self.calls.pop(f"{self.name}-{call}", None)

    def confirmed(self) -> list[tuple[str, int]]:
        """Return every call that counts, and how many operations its caller has seen."""
        return sorted(self.calls.items())

    def history(self) -> tuple[tuple[Operation, ...], tuple[Result | None, ...]]:
        """Return the operations that count, in order, and what is known of their results."""
        operations: list[Operation] = []
        results: list[Result | None] = []
        for number, asked in sorted(self.operations.items()):
            if self.program.requests[number - 1].call in self._dropped:
                continue
            known = self.results.get(number, ())
            operations.extend(asked)
            results.extend((*known, *[None] * (len(asked) - len(known))))
        return tuple(operations), tuple(results)
