"""Every acknowledged order exists, and no other, but for those whose outcome nobody knows."""

from sample_services.demo.acknowledged import compare


def test_orders_that_are_those_acknowledged_are_in_order() -> None:
    assert compare(["a", "b"], ["b", "a"], unknown=0) == (0, [])


def test_an_acknowledged_order_that_is_not_there_is_named() -> None:
    assert compare(["a", "b"], ["b"], unknown=9) == (
        1,
        ["1 orders were acknowledged and are not there: a"],
    )


def test_an_order_that_nobody_was_told_of_is_named_unless_an_outcome_is_unknown() -> None:
    assert compare(["a"], ["a", "b"], unknown=0) == (
        0,
        ["1 orders are there that nobody was told of, 0 may be: b"],
    )
    assert compare(["a"], ["a", "b"], unknown=1) == (0, [])
