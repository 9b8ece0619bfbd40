"""Rules of transactions that wrote nothing: they end by a question, not by a commit."""

import pytest

from grit.core.errors import Code
from grit.core.messages import ValidateAsked
from grit.core.operations import Get, Increment, Insert, Put
from grit.core.outcome import State
from grit.core.parts import KeyRead
from grit.sidecar.events import Committed, RollbackRequested
from tests.unit.sidecar.home import Home, nothing, validations
from tests.unit.sidecar.shop import BASKET, CARTS, ITEMS, STOCK, item, key

NUMBER = Get(STOCK, ITEMS, key(1))
CART = Get(BASKET, CARTS, key("a"))
INSERT = Insert(STOCK, ITEMS, item(2), key(2))


def reader(*, read_only: bool = False, key_of_it: str = "") -> Home:
    """Return a transaction that has read an item and an absent cart; questions about reads are held back."""
    home = Home(read_only=read_only, key=key_of_it)
    home.realms["stock"].load("items", {key(1): item(1, price=10)})
    home.run(NUMBER, CART)
    home.hold = validations
    return home


def overwrite(home: Home) -> None:
    home.realms["stock"].load("items", {key(1): item(1, price=99)})


def committed(home: Home, request: int) -> Committed:
    reply = home.reply(request)
    assert isinstance(reply, Committed)
    return reply


def test_a_transaction_that_wrote_nothing_asks_every_realm_at_once_and_commits_without_a_place_in_any_log() -> None:
    home = reader()
    request = home.start_commit()
    asked = [ask.message for ask in home.held if isinstance(ask.message, ValidateAsked)]
    assert [(one.reads, one.position) for one in asked] == [
        ((KeyRead(CARTS, key("a"), None),), 0),
        ((KeyRead(ITEMS, key(1), None),), 1),
    ]
    assert not home.is_answered(request)
    home.release()
    outcome = committed(home, request).outcome
    assert (outcome.state, outcome.csn, outcome.lsn) == (State.COMMITTED, 0, 0)
    assert (home.realms.submitted, home.realms.locals) == ([], [])


def test_an_idempotency_key_is_ignored_by_a_transaction_that_wrote_nothing() -> None:
    home = reader(key_of_it="k")
    home.hold = nothing
    assert not home.commit().repeated
    assert home.realms.submitted == []


def test_nobody_but_the_home_knows_of_a_transaction_that_wrote_nothing() -> None:
    home = reader()
    home.hold = nothing
    home.commit()
    assert home.finished is not None
    assert home.finished.arbiter is None
    assert home.finished.outcome is not None
    assert home.finished.outcome.state == State.COMMITTED


def test_one_overwritten_read_aborts_whatever_the_other_realms_say() -> None:
    home = reader()
    overwrite(home)
    request = home.start_commit()
    home.release()
    error = home.failure(request)
    assert error.code == Code.READ_CONFLICT
    assert error.conflict is not None
    assert error.conflict.key == key(1)
    assert home.failure(home.start(NUMBER)).code == Code.READ_CONFLICT


def test_reads_that_are_no_longer_remembered_abort_as_too_old() -> None:
    home = reader()
    home.realms["stock"].oldest = 2
    request = home.start_commit()
    home.release()
    assert home.failure(request).code == Code.TOO_OLD


@pytest.mark.parametrize("heard", [True, False])
def test_a_validation_that_was_lost_is_asked_again_because_it_has_no_effect(heard: bool) -> None:
    home = reader()
    request = home.start_commit()
    home.lose(heard=heard)
    home.hold = nothing
    home.wait(1)
    assert committed(home, request).outcome.state == State.COMMITTED


def test_a_validation_that_was_declined_is_asked_again() -> None:
    home = reader()
    request = home.start_commit()
    home.decline()
    home.hold = nothing
    home.wait(50)
    assert committed(home, request).outcome.state == State.COMMITTED


def test_a_realm_that_never_validates_aborts() -> None:
    home = reader()
    request = home.start_commit()
    while not home.is_answered(request):
        home.decline()
        home.wait(50)
    assert home.failure(request).code == Code.REALM_DOWN


def test_a_validation_does_not_outlive_the_time_of_its_transaction() -> None:
    home = reader()
    request = home.start_commit()
    home.wait(30_000)
    assert home.failure(request).code == Code.TIMED_OUT
    assert home.finished is not None
    home.release()


def test_a_transaction_that_is_being_validated_takes_nothing_more() -> None:
    home = reader()
    home.start_commit()
    assert home.failure(home.start(NUMBER)).code == Code.NO_SUCH_TRANSACTION
    request = home.next()
    home.take(RollbackRequested(request))
    assert home.failure(request).code == Code.NO_SUCH_TRANSACTION


def test_an_exception_that_is_being_checked_times_out_as_an_abort() -> None:
    home = reader()
    request = home.next()
    home.take(RollbackRequested(request, validate=True))
    home.wait(30_000)
    assert home.failure(request).code == Code.TIMED_OUT


def test_realms_that_were_only_written_are_not_asked_about_an_error() -> None:
    home = Home()
    home.run(NUMBER, Put(BASKET, CARTS, {"owner": "a"}, key("a")))
    home.rollback(validate=True)
    validated = [ask for ask in home.asked if validations(ask)]
    assert len(validated) == 1


@pytest.mark.parametrize("write", [INSERT, Increment(STOCK, ITEMS, key(1), "on_hand", 1)])
def test_a_read_only_transaction_refuses_writes_and_says_so_to_everything_after(write: Insert | Increment) -> None:
    home = reader(read_only=True)
    error = home.failure(home.start(NUMBER, write))
    assert error.code == Code.BAD_REQUEST
    assert "read_only" in error.message
    assert home.failure(home.start_commit()).code == Code.BAD_REQUEST
    assert home.finished is not None


def test_a_read_only_transaction_commits_what_it_read() -> None:
    home = reader(read_only=True)
    home.hold = nothing
    assert home.commit(NUMBER).outcome.state == State.COMMITTED
