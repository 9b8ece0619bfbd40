"""The four kinds of error as exceptions: each says what the caller may conclude."""

from typing import Any

from grit.core.errors import Code, GritError, Kind

__all__ = ["GritError", "InvalidRequest", "OutcomeUnknown", "TxnAborted", "Unavailable", "typed"]


class InvalidRequest(GritError):
    """Cannot succeed as it is: change it."""


class TxnAborted(GritError):
    """Certainly no effect: run again as a new attempt. `conflict` names what was changed, and by whom."""


class OutcomeUnknown(GritError):
    """May have committed, and nobody can say any more. Only raised after `Status` was asked."""


class Unavailable(GritError):
    """Nothing happened: the same call again, after `retry_after` seconds."""

    @property
    def retry_after(self) -> float:
        """Return how long to wait, in seconds."""
        return self.retry_after_ms / 1000


_KINDS: dict[Kind, type[GritError]] = {
    Kind.INVALID_REQUEST: InvalidRequest,
    Kind.TXN_ABORTED: TxnAborted,
    Kind.OUTCOME_UNKNOWN: OutcomeUnknown,
    Kind.UNAVAILABLE: Unavailable,
}


def typed(error: GritError) -> GritError:
    """Return the error as the exception of its kind."""
    if type(error) is not GritError:
        return error
    facts: dict[str, Any] = {
        "retry_after_ms": error.retry_after_ms,
        "age": error.age,
        "conflict": error.conflict,
    }
    return _KINDS[error.kind](error.code, error.message, **facts)


def invalid(message: str, code: Code = Code.BAD_REQUEST) -> InvalidRequest:
    """Return what is wrong with a request, found before it was sent."""
    return InvalidRequest(code, message)
