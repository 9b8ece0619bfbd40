"""Drives one session against realms in memory; answers can be held back, refused, or lost."""

import itertools
from collections.abc import Callable

import pytest

from grit.core.errors import Code, GritError
from grit.core.ids import Millis, make_txn_id
from grit.core.limits import Limits
from grit.core.messages import CommitAsked, Declined, ValidateAsked
from grit.core.operations import Condition, Operation, SessionToken
from grit.sidecar.events import (
    Answer,
    Answered,
    AskGtm,
    AskRealm,
    CommitRequested,
    Committed,
    Effect,
    Event,
    Finished,
    Lost,
    OperationsAsked,
    Reply,
    Results,
    RollbackRequested,
    RolledBack,
    Tick,
    ToAnswer,
)
from grit.sidecar.session import Options, Session
from tests.unit.sidecar.deployment import MemoryDeployment
from tests.unit.sidecar.shop import CATALOGUE

BEGAN = Millis(1_000_000)


def everything(ask: AskRealm | AskGtm) -> bool:
    return True


def nothing(ask: AskRealm | AskGtm) -> bool:
    return False


def commits(ask: AskRealm | AskGtm) -> bool:
    return isinstance(ask.message, CommitAsked)


def validations(ask: AskRealm | AskGtm) -> bool:
    return isinstance(ask.message, ValidateAsked)


class Home:
    """One transaction. `hold(ask)` true keeps a question back in `held`."""

    def __init__(
        self,
        realms: MemoryDeployment | None = None,
        *,
        key: str = "",
        read_only: bool = False,
        snapshot: bool = False,
        past: SessionToken | None = None,
        staleness_ms: int = 0,
        age: int = 0,
        limits: Limits | None = None,
        chance: int = 1,
    ) -> None:
        self.realms = realms or MemoryDeployment(CATALOGUE)
        self.now = BEGAN
        self.asked: list[AskRealm | AskGtm] = []
        self.held: list[AskRealm | AskGtm] = []
        self.hold: Callable[[AskRealm | AskGtm], bool] = nothing
        self.finished: Finished | None = None
        self._replies: dict[int, Reply | GritError] = {}
        self._requests = itertools.count(1)
        options = Options(
            deadline=Millis(BEGAN + 30_000),
            idempotency_key=key,
            read_only=read_only,
            snapshot=snapshot,
            past=past or SessionToken(),
            staleness_ms=staleness_ms,
            age=age,
            limits=limits or Limits(),
            origin="test",
        )
        self.session = Session(make_txn_id(BEGAN, chance), CATALOGUE, options, itertools.count(1))

    @property
    def txid(self) -> str:
        return self.session.txid

    def run(self, *operations: Operation, call: str = "", sequence: int = 0) -> Results:
        reply = self.reply(self.start(*operations, call=call, sequence=sequence))
        assert isinstance(reply, Results)
        return reply

    def start(self, *operations: Operation, call: str = "", sequence: int = 0) -> int:
        request = self.next()
        self.take(OperationsAsked(request, operations, call, sequence))
        return request

    def commit(self, *operations: Operation, conditions: tuple[Condition, ...] = (), result: bytes = b"") -> Committed:
        request = self.next()
        self.take(CommitRequested(request, operations, conditions, result=result))
        reply = self.reply(request)
        assert isinstance(reply, Committed)
        return reply

    def start_commit(self, *confirmed: tuple[str, int]) -> int:
        request = self.next()
        self.take(CommitRequested(request, confirmed=confirmed))
        return request

    def rollback(self, *, validate: bool) -> RolledBack:
        request = self.next()
        self.take(RollbackRequested(request, validate))
        reply = self.reply(request)
        assert isinstance(reply, RolledBack)
        return reply

    def next(self) -> int:
        return next(self._requests)

    def is_answered(self, request: int) -> bool:
        return request in self._replies

    def reply(self, request: int) -> Reply:
        assert request in self._replies, "not answered yet"
        reply = self._replies[request]
        if isinstance(reply, GritError):
            raise reply
        return reply

    def failure(self, request: int) -> GritError:
        """Return the error that a request was answered with."""
        with pytest.raises(GritError) as caught:
            self.reply(request)
        return caught.value

    def take(self, event: Event) -> None:
        for effect in self.session.step(self.now, event):
            self._perform(effect)

    def wait(self, ms: int) -> None:
        self.now = Millis(self.now + ms)
        self.take(Tick())

    def release(self) -> None:
        """Let the questions that were held back be answered."""
        held, self.held = self.held, []
        for ask in held:
            self.take(Answered(self._answer_of(ask)))

    def decline(self) -> None:
        """Refuse the questions that were held back."""
        held, self.held = self.held, []
        for ask in held:
            self.take(Answered(Declined(ask.message.id, Code.NO_LEADER.value, "nobody leads", 50)))

    def lose(self, *, heard: bool) -> None:
        """Break the link under the questions that were held back, before or after they were heard."""
        held, self.held = self.held, []
        for ask in held:
            if heard:
                self._answer_of(ask)
            self.take(Lost(ask.message.id))

    def _perform(self, effect: Effect) -> None:
        if isinstance(effect, Answer):
            assert effect.request not in self._replies, "answered twice"
            self._replies[effect.request] = effect.reply
        elif isinstance(effect, Finished):
            assert self.finished is None
            self.finished = effect
        else:
            self.asked.append(effect)
            if self.hold(effect):
                self.held.append(effect)
            else:
                self.take(Answered(self._answer_of(effect)))

    def _answer_of(self, ask: AskRealm | AskGtm) -> ToAnswer:
        if isinstance(ask, AskGtm):
            answer = self.realms.ask_gtm(ask.message)
        else:
            answer = self.realms.ask_realm(ask.realm, ask.message)
        assert isinstance(answer, ToAnswer)
        return answer
