"""Kinds and codes of errors: a contract with every caller."""

import pytest

from grit.core.errors import DATA_CODES, Code, GritError, Kind

INVALID = """BAD_REQUEST UNKNOWN_COLLECTION TYPE_MISMATCH TOO_LARGE UNSUPPORTED NOT_AUTHORISED ALREADY_EXISTS NOT_FOUND
    CONSTRAINT BOUND_VIOLATION NO_SUCH_TRANSACTION"""
ABORTED = """READ_CONFLICT PHANTOM CONTENTION TOO_OLD LOST_BRANCH LOST_HOME TIMED_OUT CLOCK_SKEW REALM_DOWN REFUSED
    FENCED"""
CODES = {
    Kind.INVALID_REQUEST: INVALID.split(),
    Kind.TXN_ABORTED: ABORTED.split(),
    Kind.OUTCOME_UNKNOWN: ["UNKNOWN", "EXPIRED"],
    Kind.UNAVAILABLE: ["NO_LEADER", "OVERLOADED", "LAGGING", "SHUTTING_DOWN"],
}


@pytest.mark.parametrize(("kind", "names"), CODES.items())
def test_the_codes_of_a_kind(kind: Kind, names: list[str]) -> None:
    assert [code.value for code in Code if code.kind is kind] == names


def test_names_of_kinds_are_stable() -> None:
    assert [kind.value for kind in Kind] == ["InvalidRequest", "TxnAborted", "OutcomeUnknown", "Unavailable"]


def test_answers_about_the_data_are_invalid_requests() -> None:
    assert {code.kind for code in DATA_CODES} == {Kind.INVALID_REQUEST}


def test_an_error_shows_its_code_and_its_line() -> None:
    error = GritError(Code.LAGGING, "orders is 9 s behind", retry_after_ms=50)
    assert str(error) == "LAGGING: orders is 9 s behind"
    assert (error.kind, error.retry_after_ms, error.age, error.conflict) == (Kind.UNAVAILABLE, 50, 0, None)


def test_a_bad_request_is_one() -> None:
    assert GritError.bad_request("no such field").code is Code.BAD_REQUEST
