"""Questions under way: one id each, asked again when they were refused, settled once.

Reads, extensions and validations have no effect: lost or declined, they are asked again. What any replica may answer is
asked of another one, beside the first, when that stays silent: it may be paused, or cut off. A commit is sent once; from the moment that
it may have been heard only `StatusAsked` follows, which gives the outcome or refuses the transaction for ever
(protocol.md, section 5).
"""

from collections.abc import Callable, Iterator
from enum import Enum

from grit.core.errors import Code, GritError
from grit.core.ids import Millis, Realm, TxnId
from grit.core.messages import (
    AppliedAnswered,
    AppliedAsked,
    CommitAsked,
    Declined,
    ExtendAnswered,
    ExtendAsked,
    OutcomeAnswered,
    ReadAnswered,
    ReadAsked,
    StatusAsked,
    SubmitAsked,
    ValidateAnswered,
    ValidateAsked,
)
from grit.core.outcome import Outcome, State
from grit.sidecar.events import AskGtm, AskRealm, Effect, ToAnswer

PAUSE_MS = 50
"""Before a question is asked again, when the refusal does not say."""
READ_ATTEMPTS_MAX = 60
COMMIT_ATTEMPTS_MAX = 20
OUTCOME_WAIT_MS = 20_000
"""A commit whose outcome cannot be learnt for so long is answered UNKNOWN; `Status` may still tell."""

SILENCE_MS = 500
"""A replica that does not answer for so long is not waited for alone, where another one may answer too."""

LAG_WAIT_MS = 5_000
"""A read that every replica is too far behind for is given up after so long."""

RealmAnswer = ReadAnswered | ExtendAnswered | ValidateAnswered | AppliedAnswered
MakeQuestion = Callable[[int], ReadAsked | ExtendAsked | ValidateAsked | AppliedAsked]


class Who(Enum):
    """Which replicas of a realm may answer.

    LEADER: nobody else can. LEADER_FIRST: any, but what the leader says is the newest, and will last longest. ANYBODY:
    the one with the least to do.
    """

    LEADER = "leader"
    LEADER_FIRST = "leader first"
    ANYBODY = "anybody"


class Question:
    """What has no effect: repeated until it is answered.

    `asked_at`: when it was asked last, as far as time has been told; 0 = not yet.
    """

    def __init__(
        self,
        realm: Realm,
        make: MakeQuestion,
        answered: Callable[[RealmAnswer], None],
        given_up: Callable[[GritError], None],
        who: Who = Who.LEADER,
    ) -> None:
        self.asked_at = Millis(0)
        self._since = Millis(0)
        self._who = who
        self._realm = realm
        self._make = make
        self._answered = answered
        self._given_up = given_up
        self._attempts = 0

    def ask(self, number: int, beside: int = 0) -> Effect:
        """Return the effect that asks; `beside`: its number before, which is not answered."""
        self._attempts += 1
        self.asked_at = Millis(0)
        anywhere = self._who == Who.ANYBODY or (self._who == Who.LEADER_FIRST and self._attempts > 1)
        return AskRealm(self._realm, self._make(number), anywhere, beside)

    def is_silent(self, now: Millis) -> bool:
        """Tell whether somebody else should be asked too."""
        self.asked_at = self.asked_at or now
        return self._who != Who.LEADER and now - self.asked_at >= SILENCE_MS

    def take(self, now: Millis, message: ToAnswer) -> int | None:
        """Take an answer; return the pause before the next attempt, None when it is settled."""
        if isinstance(message, Declined):
            self._since = self._since or now
            is_lagging = message.code == Code.LAGGING
            if is_lagging and now - self._since >= LAG_WAIT_MS:
                self._given_up(GritError(Code.LAGGING, message.message, retry_after_ms=message.retry_after_ms))
                return None
            if self._attempts < READ_ATTEMPTS_MAX:
                return message.retry_after_ms or PAUSE_MS
            self._given_up(GritError(Code.REALM_DOWN, f"realm {self._realm} does not answer: {message.message}"))
            return None
        assert isinstance(message, RealmAnswer)
        self._answered(message)
        return None

    def lose(self, now: Millis) -> int:
        """Take that the link broke; return the pause before the next attempt."""
        return 0


class Verdict:
    """The commit of a transaction: sent once, then its outcome is asked for.

    Args:
        arbiter: The realm that decides, None = the GTM.
        make: Makes the commit, from the number of the question.
        decided: Takes the outcome, or an Unavailable error when it was certainly never admitted.
    """

    def __init__(
        self,
        txid: TxnId,
        arbiter: Realm | None,
        make: Callable[[int], CommitAsked | SubmitAsked],
        decided: Callable[[Outcome | GritError], None],
    ) -> None:
        self._txid = txid
        self._arbiter = arbiter
        self._make = make
        self._decided = decided
        self._attempts = 0
        self._is_heard = False
        self._since = Millis(0)

    def ask(self, number: int) -> Effect:
        """Return the effect that sends the commit, or asks what became of it."""
        self._attempts += 1
        message = StatusAsked(number, self._txid) if self._is_heard else self._make(number)
        if self._arbiter is not None:
            assert not isinstance(message, SubmitAsked)
            return AskRealm(self._arbiter, message)
        assert not isinstance(message, CommitAsked)
        return AskGtm(message)

    def take(self, now: Millis, message: ToAnswer) -> int | None:
        """Take an answer; return the pause before the next question, None when it is settled."""
        if isinstance(message, Declined):
            return self._declined(now, message)
        assert isinstance(message, OutcomeAnswered)
        if message.outcome.state == State.RUNNING:
            self._is_heard = True
            return self._wait(now, PAUSE_MS)
        self._decided(message.outcome)
        return None

    def lose(self, now: Millis) -> int | None:
        """Take that the link broke: the commit may have been heard."""
        self._is_heard = True
        return self._wait(now, 0)

    def _declined(self, now: Millis, message: Declined) -> int | None:
        pause = message.retry_after_ms or PAUSE_MS
        if self._is_heard:
            return self._wait(now, pause)
        if self._attempts < COMMIT_ATTEMPTS_MAX:
            return pause
        self._decided(GritError(Code(message.code), message.message, retry_after_ms=pause))
        return None

    def _wait(self, now: Millis, pause: int) -> int | None:
        self._since = self._since or now
        if now - self._since < OUTCOME_WAIT_MS:
            return pause
        who = "the GTM" if self._arbiter is None else f"realm {self._arbiter}"
        text = f"{who} does not tell what became of {self._txid}: ask Status"
        self._decided(Outcome(self._txid, State.UNKNOWN, Code.UNKNOWN.value, text))
        return None


class Asking:
    """All questions under way of one session.

    Args:
        ids: Numbers of questions, unique within the process.
        effects: Where what is to be sent goes.
    """

    def __init__(self, ids: Iterator[int], effects: list[Effect]) -> None:
        self._ids = ids
        self._effects = effects
        self._open: dict[int, Question | Verdict] = {}
        self._paused: list[tuple[Millis, Question | Verdict]] = []

    def ask(self, question: Question | Verdict) -> None:
        """Ask now."""
        number = next(self._ids)
        self._open[number] = question
        self._effects.append(question.ask(number))

    def answered(self, now: Millis, message: ToAnswer) -> None:
        """Take an answer; one to a question that was given up, or answered, is ignored."""
        question = self._open.pop(message.id, None)
        if question is None:
            return
        pause_ms = question.take(now, message)
        if pause_ms is None:
            self._settle(question)
        self._again(now, question, pause_ms)

    def lost(self, now: Millis, number: int) -> None:
        """Take that the link broke over which a question was asked."""
        question = self._open.pop(number, None)
        if question is not None:
            self._again(now, question, question.lose(now))

    def tick(self, now: Millis) -> None:
        """Ask again what has paused for long enough, and others beside who is silent."""
        silent = [(n, one) for n, one in self._open.items() if isinstance(one, Question) and one.is_silent(now)]
        for before, question in {question: (n, question) for n, question in silent}.values():
            number = next(self._ids)
            self._open[number] = question
            self._effects.append(question.ask(number, before))
        due = [one for at, one in self._paused if at <= now]
        self._paused = [(at, one) for at, one in self._paused if at > now]
        for one in due:
            self.ask(one)

    def forget(self) -> None:
        """Give up every question: late answers are ignored."""
        self._open.clear()
        self._paused.clear()

    def _settle(self, question: Question | Verdict) -> None:
        """Forget where else it was asked."""
        self._open = {number: one for number, one in self._open.items() if one is not question}
        self._paused = [(at, one) for at, one in self._paused if one is not question]

    def _again(self, now: Millis, question: Question | Verdict, pause_ms: int | None) -> None:
        if pause_ms is not None:
            self._paused.append((Millis(now + pause_ms), question))
