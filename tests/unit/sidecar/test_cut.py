"""Which Csns are left, and who is asked again."""

import pytest

from grit.core.errors import Code, GritError
from grit.core.ids import Csn, Lsn, Millis, Realm
from grit.core.messages import ReadAnswered, Within
from grit.sidecar.cut import NEWEST, ROUNDS_MAX, Cut

A, B, C = Realm("a"), Realm("b"), Realm("c")


def answer(low: int, high: int, least: int = 0) -> ReadAnswered:
    """Return an answer for Csns from `low` to `high`, by a realm that can go back to `least`."""
    return ReadAnswered(1, Lsn(0), Lsn(0), (), Millis(0), Csn(low), Csn(high), Csn(least))


def test_what_all_have_in_common_is_left() -> None:
    cut = Cut(Csn(0))
    assert cut.settle({A: answer(3, 9), B: answer(5, 12)}) == {}
    assert cut.settle({C: answer(0, 8)}) == {}
    assert (cut.low, cut.high) == (5, 8)


def test_the_ends_count() -> None:
    cut = Cut(Csn(0))
    assert cut.settle({A: answer(3, 5), B: answer(5, 9)}) == {}
    assert (cut.low, cut.high) == (5, 5)


def test_all_that_are_ahead_go_back_to_the_one_that_is_furthest_behind() -> None:
    cut = Cut(Csn(0))
    assert cut.settle({A: answer(3, 5), B: answer(6, 9), C: answer(4, 7)}) == {B: Within(Csn(5), Csn(5))}
    assert (cut.low, cut.high) == (0, NEWEST)


def test_who_is_behind_comes_forward_to_who_cannot_go_back() -> None:
    assert Cut(Csn(0)).settle({A: answer(3, 5), B: answer(6, 9, 6)}) == {A: Within(Csn(6), NEWEST)}


def test_nobody_leaves_what_was_seen() -> None:
    cut = Cut(Csn(0))
    cut.settle({A: answer(3, 5)})
    with pytest.raises(GritError) as raised:
        cut.settle({B: answer(6, 9, 6)})
    assert raised.value.code == Code.TOO_OLD
    assert cut.settle({B: answer(6, 9, 5)}) == {B: Within(Csn(5), Csn(5))}


def test_realms_that_never_come_together_are_given_up() -> None:
    cut = Cut(Csn(0))
    for _ in range(ROUNDS_MAX):
        assert cut.settle({A: answer(3, 5), B: answer(6, 9)})
    with pytest.raises(GritError) as raised:
        cut.settle({A: answer(3, 5), B: answer(6, 9)})
    assert raised.value.code == Code.CONTENTION


def test_no_cut_is_left_below_what_a_realm_calls_the_least() -> None:
    """The rows are the same for lower Csns; another realm, read later, would not be fresh there."""
    cut = Cut(Csn(0))
    assert cut.settle({A: answer(3, 9, 7)}) == {}
    assert (cut.low, cut.high) == (7, 9)
