"""What happens to a session, and what it wants done: the vocabulary between it and its shell.

`request` numbers are the shell's: each request is answered once, by `Answer`. Ids of messages come from the session
(see `Session`), unique within the process, so the shell can find whom an answer is for.
"""

import msgspec

from grit.core.errors import GritError
from grit.core.ids import Realm
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
from grit.core.operations import Condition, Operation, Result, SessionToken
from grit.core.outcome import Outcome


class OperationsAsked(msgspec.Struct, frozen=True):
    """Run operations, in order.

    Attributes:
        call: The call that they belong to; "" = the service that began the transaction.
        sequence: Dense from 1 per call: the same number again is answered, not run, again; 0 = not numbered.
        refusal: What is wrong with the operation after the last of these. It may be wrong because of what was
            read, so it is told like every other answer about the data.
    """

    request: int
    operations: tuple[Operation, ...]
    call: str = ""
    sequence: int = 0
    refusal: GritError | None = None


class CommitRequested(msgspec.Struct, frozen=True):
    """Run the last operations, then commit.

    Attributes:
        conditions: Checked before the operations.
        result: Kept with the idempotency key.
        confirmed: (call, operations) that the caller saw, beside the calls confirmed before.
        refusal: As in `OperationsAsked`.
    """

    request: int
    operations: tuple[Operation, ...] = ()
    conditions: tuple[Condition, ...] = ()
    sequence: int = 0
    result: bytes = b""
    confirmed: tuple[tuple[str, int], ...] = ()
    refusal: GritError | None = None
    ack_applied: bool = False


class RollbackRequested(msgspec.Struct, frozen=True):
    """End without effect. `validate`: first tell whether everything that was read is current."""

    request: int
    validate: bool = False


class CallOpened(msgspec.Struct, frozen=True):
    """The home mints the id of an outgoing call, made from `parent` ("" = from the root)."""

    request: int
    parent: str = ""


class CallJoined(msgspec.Struct, frozen=True):
    """A called service enters; `run` is random per run of its handler: a second one is refused."""

    request: int
    call: str
    run: str


class CallDone(msgspec.Struct, frozen=True):
    """A called service has finished, after so many operations."""

    request: int
    call: str
    operations: int


class CallConfirmed(msgspec.Struct, frozen=True):
    """The caller has seen the answer of the call, with so many operations."""

    request: int
    call: str
    operations: int


class CallDropped(msgspec.Struct, frozen=True):
    """The caller gives the call up: its effects, and those of calls that it made, are discarded."""

    request: int
    call: str


ToAnswer = ReadAnswered | ExtendAnswered | ValidateAnswered | AppliedAnswered | OutcomeAnswered | Declined


class Answered(msgspec.Struct, frozen=True):
    """A DBTM or the GTM answered; `message.id` says what. The shell makes a `Declined` when no link is up."""

    message: ToAnswer


class Lost(msgspec.Struct, frozen=True):
    """The link over which `id` was asked ended before an answer: it may have been heard."""

    id: int


class Expired(msgspec.Struct, frozen=True):
    """The shell ends the session whatever it does: it drains, or the session was idle for too long."""

    error: GritError


class Tick(msgspec.Struct, frozen=True):
    """Time has passed."""


Request = (
    OperationsAsked
    | CommitRequested
    | RollbackRequested
    | CallOpened
    | CallJoined
    | CallDone
    | CallConfirmed
    | CallDropped
)
Event = Request | Answered | Lost | Expired | Tick


class AskRealm(msgspec.Struct, frozen=True):
    """Send to a realm's DBTM.

    Attributes:
        anywhere: Any replica will do, the one with the least to do; else it is for the leader.
        beside: The number of the same question, asked before and not answered: another replica than that one, or none.
    """

    realm: Realm
    message: ReadAsked | ExtendAsked | ValidateAsked | AppliedAsked | CommitAsked | StatusAsked
    anywhere: bool = False
    beside: int = 0


class AskGtm(msgspec.Struct, frozen=True):
    """Send to the leader of the GTM."""

    message: SubmitAsked | StatusAsked


class Results(msgspec.Struct, frozen=True):
    """Answers `OperationsAsked`. `realms`: every one that the transaction has touched, sorted. `token`: what it has read."""

    results: tuple[Result, ...]
    realms: tuple[Realm, ...]
    token: SessionToken = SessionToken()


class Committed(msgspec.Struct, frozen=True):
    """Answers `CommitRequested`.

    Attributes:
        realms: Those that took part.
        results: Of the operations that came with the commit.
        repeated: An earlier transaction had committed with the idempotency key, `outcome` is its own; this one applied
            nothing.
        token: What was read and written: who sends it with a later transaction sees at least that.
        is_applied: With `ack_applied`: every database has it; False = not yet, as far as is known.
    """

    outcome: Outcome
    realms: tuple[Realm, ...]
    results: tuple[Result, ...] = ()
    repeated: bool = False
    token: SessionToken = SessionToken()
    is_applied: bool = False


class RolledBack(msgspec.Struct, frozen=True):
    """Answers `RollbackRequested`. `stale`: with `validate`, why what was read is not current."""

    reads_valid: bool
    stale: GritError | None = None


class CallTaken(msgspec.Struct, frozen=True):
    """Answers what is about calls; `call` is the id."""

    call: str


Reply = Results | Committed | RolledBack | CallTaken


class Answer(msgspec.Struct, frozen=True):
    """Answer a request."""

    request: int
    reply: Reply | GritError


class Finished(msgspec.Struct, frozen=True):
    """The transaction is over, every request is answered: forget the session, remember its arbiter.

    Attributes:
        outcome: None when it never came to a commit, or when it is not known.
        arbiter: The realm that decides it, "" = the GTM, None = nobody was ever asked to commit it.
        error: What whoever still speaks of the transaction is told.
    """

    outcome: Outcome | None
    arbiter: Realm | None
    error: GritError | None = None


Effect = AskRealm | AskGtm | Answer | Finished
