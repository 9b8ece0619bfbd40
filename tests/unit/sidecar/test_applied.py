"""A commit with ack = applied: decided first, answered when the databases have it, and never for ever."""

import itertools

from grit.core.errors import Code, GritError
from grit.core.messages import AppliedAsked
from grit.core.operations import Put
from grit.core.outcome import State
from grit.sidecar.applied import APPLY_WAIT_MS
from grit.sidecar.events import AskGtm, AskRealm, CommitRequested, Committed, Expired
from tests.unit.sidecar.home import Home
from tests.unit.sidecar.shop import BASKET, CARTS, ITEMS, STOCK, item, key


def questions(ask: AskRealm | AskGtm) -> bool:
    return isinstance(ask.message, AppliedAsked)


def commit(home: Home, *, spanning: bool = False, wait: bool = True) -> int:
    """Write, and ask for the commit."""
    home.run(Put(STOCK, ITEMS, item(1), key(1)))
    if spanning:
        home.run(Put(BASKET, CARTS, {"owner": "ann"}, key("ann")))
    request = home.next()
    home.take(CommitRequested(request, ack_applied=wait))
    return request


def committed(home: Home, request: int) -> Committed:
    reply = home.reply(request)
    assert isinstance(reply, Committed)
    assert reply.outcome.state == State.COMMITTED
    return reply


def test_every_realm_that_was_written_is_asked_at_any_replica() -> None:
    home = Home()
    assert committed(home, commit(home, spanning=True)).is_applied
    asks = [ask for ask in home.asked if questions(ask)]
    assert [ask.realm for ask in asks if isinstance(ask, AskRealm) and ask.anywhere] == [BASKET, STOCK]
    assert [(ask.message.lsn, ask.message.csn) for ask in asks if isinstance(ask.message, AppliedAsked)] == [(0, 1)] * 2


def test_nobody_is_asked_unless_it_is_wanted() -> None:
    home = Home()
    assert not committed(home, commit(home, wait=False)).is_applied
    assert not [ask for ask in home.asked if questions(ask)]


def test_the_answer_waits_for_all_of_them() -> None:
    home = Home()
    home.hold = questions
    request = commit(home, spanning=True)
    first, second = home.held
    home.held = [first]
    home.release()
    assert not home.is_answered(request)
    assert home.finished is None
    home.held = [second]
    home.release()
    assert committed(home, request).is_applied
    assert home.finished is not None


def test_a_commit_that_is_not_applied_in_time_is_answered_all_the_same() -> None:
    home = Home()
    home.hold = questions
    request = commit(home)
    home.wait(APPLY_WAIT_MS - 1)
    assert not home.is_answered(request)
    home.wait(1)
    assert not committed(home, request).is_applied
    assert home.finished is not None


def test_a_commit_outlives_the_time_of_its_transaction_while_it_is_applied() -> None:
    home = Home()
    home.hold = questions
    home.now += 29_000  # type: ignore[assignment]
    request = commit(home)
    home.wait(2_000)
    assert not home.is_answered(request)
    home.release()
    assert committed(home, request).is_applied


def test_a_home_that_drains_answers_what_is_decided() -> None:
    home = Home()
    home.hold = questions
    request = commit(home)
    home.take(Expired(GritError(Code.LOST_HOME, "it drains")))
    assert not committed(home, request).is_applied


def test_what_wrote_nothing_is_applied() -> None:
    home = Home()
    request = home.next()
    home.take(CommitRequested(request, ack_applied=True))
    assert committed(home, request).is_applied
    assert list(itertools.islice(home.asked, 1)) == []
