"""The four kinds of error and their stable codes (interfaces.md section 5).

The *kind* says what the caller may conclude; the *code* says why. A code belongs to one kind.
"""

from enum import StrEnum
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from grit.core.outcome import Conflict


class Kind(StrEnum):
    """What a caller may conclude from an error."""

    INVALID_REQUEST = "InvalidRequest"  # cannot succeed as it is: change it
    TXN_ABORTED = "TxnAborted"  # certainly no effect: run again as a new attempt
    OUTCOME_UNKNOWN = "OutcomeUnknown"  # may have committed: ask Status
    UNAVAILABLE = "Unavailable"  # nothing happened: same call again after retry_after


class Code(StrEnum):
    """Why; stable across releases."""

    BAD_REQUEST = "BAD_REQUEST"
    UNKNOWN_COLLECTION = "UNKNOWN_COLLECTION"
    TYPE_MISMATCH = "TYPE_MISMATCH"
    TOO_LARGE = "TOO_LARGE"
    UNSUPPORTED = "UNSUPPORTED"
    NOT_AUTHORISED = "NOT_AUTHORISED"
    ALREADY_EXISTS = "ALREADY_EXISTS"
    NOT_FOUND = "NOT_FOUND"
    CONSTRAINT = "CONSTRAINT"
    BOUND_VIOLATION = "BOUND_VIOLATION"
    NO_SUCH_TRANSACTION = "NO_SUCH_TRANSACTION"

    READ_CONFLICT = "READ_CONFLICT"
    PHANTOM = "PHANTOM"
    CONTENTION = "CONTENTION"
    TOO_OLD = "TOO_OLD"
    LOST_BRANCH = "LOST_BRANCH"
    LOST_HOME = "LOST_HOME"
    TIMED_OUT = "TIMED_OUT"
    CLOCK_SKEW = "CLOCK_SKEW"
    REALM_DOWN = "REALM_DOWN"
    REFUSED = "REFUSED"
    FENCED = "FENCED"

    UNKNOWN = "UNKNOWN"
    EXPIRED = "EXPIRED"

    NO_LEADER = "NO_LEADER"
    OVERLOADED = "OVERLOADED"
    LAGGING = "LAGGING"
    SHUTTING_DOWN = "SHUTTING_DOWN"

    @property
    def kind(self) -> Kind:
        """The kind that this code belongs to."""
        return _KIND_OF[self]


_KIND_OF: dict[Code, Kind] = {}
for _kind, _first, _last in (
    (Kind.INVALID_REQUEST, Code.BAD_REQUEST, Code.NO_SUCH_TRANSACTION),
    (Kind.TXN_ABORTED, Code.READ_CONFLICT, Code.FENCED),
    (Kind.OUTCOME_UNKNOWN, Code.UNKNOWN, Code.EXPIRED),
    (Kind.UNAVAILABLE, Code.NO_LEADER, Code.SHUTTING_DOWN),
):
    _codes = list(Code)
    for _code in _codes[_codes.index(_first) : _codes.index(_last) + 1]:
        _KIND_OF[_code] = _kind

DATA_CODES = frozenset({Code.ALREADY_EXISTS, Code.NOT_FOUND, Code.CONSTRAINT, Code.BOUND_VIOLATION})
"""Answers about the data: true only once the reads behind them are validated (protocol.md section 4)."""


class GritError(Exception):
    """An error that a user may see: a kind, a code, one line that names the place and the remedy.

    Attributes:
        code: The stable code; `code.kind` says what the caller may conclude.
        message: One line.
        retry_after_ms: For Unavailable: wait this long before the same call; 0 = at will.
        age: For TxnAborted: the age that the GTM gave, to be sent back by the retry; 0 = none.
        conflict: For TxnAborted: a `grit.core.outcome.Conflict` that names key and winner, where there is one.
    """

    def __init__(
        self, code: Code, message: str, *, retry_after_ms: int = 0, age: int = 0, conflict: "Conflict | None" = None
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.retry_after_ms = retry_after_ms
        self.age = age
        self.conflict = conflict

    @property
    def kind(self) -> Kind:
        """What the caller may conclude."""
        return self.code.kind

    def __str__(self) -> str:
        return f"{self.code}: {self.message}"

    @classmethod
    def bad_request(cls, message: str) -> Self:
        """Shorthand for the commonest one."""
        return cls(Code.BAD_REQUEST, message)


class ConfigError(Exception):
    """Configuration that cannot work; the message names file, line, column and remedy. Exit status 3."""


class LogError(Exception):
    """A log that cannot be used as it is: damaged, foreign, shortened, of an unknown format.

    The message names the log, the offset and the remedy. The process stops; nothing is skipped.
    """


class StoreRefused(Exception):
    """A database refused a certified entry, or holds what it must not: a bug or foreign interference."""
