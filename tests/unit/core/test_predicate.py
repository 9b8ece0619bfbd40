"""What predicates mean, and what is none."""

import math
from datetime import UTC, datetime
from decimal import Decimal

import pytest

from grit.core.predicate import (
    DEPTH_MAX,
    EVERYTHING,
    And,
    Compare,
    Contains,
    Expr,
    In,
    IsNull,
    Not,
    Or,
    Prefix,
    compare,
    decode_expr,
    encode_expr,
    fields_of,
    matches,
    may_match,
)
from grit.core.values import Value, encode_value

NONE: frozenset[str] = frozenset()


def holds(expr: Expr, row: dict[str, Value]) -> bool:
    return matches(encode_expr(expr), row)


@pytest.mark.parametrize("op", ["=", "!=", "<", "<=", ">", ">="])
def test_a_comparison_with_null_or_a_missing_field_is_false(op: str) -> None:
    assert not holds(Compare("a", op, 1), {})
    assert not holds(Compare("a", op, 1), {"a": None})
    assert not holds(Compare("a", op, None), {"a": None})


def test_not_negates_exactly() -> None:
    assert holds(Not(Compare("a", "=", 1)), {})


@pytest.mark.parametrize(
    ("left", "right", "order"),
    [
        (1, 1.0, 0),
        (1, Decimal("1.0"), 0),
        (0.1, Decimal("0.1"), 1),  # the nearest double is a little more
        (2**63 - 1, float(2**63), -1),
        (float("inf"), Decimal("1E+400"), 1),
        ("a", "B", 1),
        ("\uffff", "\U0001f600", -1),
        ("é", "z", 1),
        (False, True, -1),
        (b"a", b"b", -1),
        (datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 2, tzinfo=UTC), -1),
        ([1, "a"], [1, "a"], 0),
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}, 0),
    ],
)
def test_values_of_one_family_compare(left: Value, right: Value, order: int) -> None:
    assert compare(left, right) == order
    assert compare(right, left) == -order


@pytest.mark.parametrize(
    ("left", "right"),
    [(1, True), (1, "1"), ("a", b"a"), (None, None), ([1], [2]), ([1], {"a": 1}), (math.nan, math.nan)]
    + [(math.nan, other) for other in (0, 1.0, Decimal(1))],
)
def test_anything_else_is_unequal_and_unordered(left: Value, right: Value) -> None:
    assert compare(left, right) is None
    assert compare(right, left) is None


@pytest.mark.parametrize(
    ("expr", "row", "answer"),
    [
        (In("a", (1, 2)), {"a": 2.0}, True),
        (In("a", ()), {"a": 1}, False),
        (In("a", (None,)), {}, False),
        (Prefix("a", "caf"), {"a": "café"}, True),
        (Prefix("a", ""), {"a": 1}, False),
        (IsNull("a"), {}, True),
        (IsNull("a"), {"a": 0}, False),
        (Contains("a", "b"), {"a": "abc"}, True),
        (Contains("a", "b"), {"a": ["b"]}, True),
        (Contains("a", 1), {"a": [Decimal(1)]}, True),
        (Contains("a", None), {"a": [None]}, False),
        (And(()), {}, True),
        (Or(()), {}, False),
    ],
)
def test_meaning(expr: Expr, row: dict[str, Value], answer: bool) -> None:
    assert holds(expr, row) is answer


def test_no_predicate_is_every_record() -> None:
    assert matches(EVERYTHING, {})


def test_an_unknown_field_may_match_unless_a_known_one_decides() -> None:
    unknown = frozenset({"a"})
    where = encode_expr(And((Compare("a", "=", 1), Compare("b", "=", 1))))
    assert may_match(where, {"a": 2, "b": 1}, unknown)
    assert not may_match(where, {"a": 1, "b": 2}, unknown)
    assert may_match(encode_expr(Not(IsNull("a"))), {}, unknown)
    assert not may_match(encode_expr(IsNull("a")), {"a": 1}, NONE)


def test_fields_of_a_predicate() -> None:
    expr = Or((Not(Prefix("a", "x")), And((IsNull("b"), In("c", (1,)))), Contains("a", 1)))
    assert fields_of(expr) == {"a", "b", "c"}
    assert fields_of(And(())) == NONE


def nested(depth: int) -> Expr:
    expr: Expr = IsNull("a")
    for _ in range(depth):
        expr = Not(expr)
    return expr


def test_depth_is_bounded() -> None:
    deepest = nested(DEPTH_MAX)
    assert decode_expr(encode_expr(deepest)) == deepest
    with pytest.raises(ValueError, match="nested deeper than 32"):
        decode_expr(encode_expr(nested(DEPTH_MAX + 1)))


@pytest.mark.parametrize(
    "form",
    [
        1,
        "null",
        {"a": 1},
        [],
        ["and"],
        ["and", 5],
        ["and", {"or": 1}],
        ["and", ["and"]],
        ["not"],
        ["xor", []],
        [["null", "a"]],
        ["=", 5, 6],
        ["=", "a"],
        ["in", "a", "abc"],
        ["in", "a", 5],
        ["prefix", "a", 3],
        ["null", "a", "more"],
        ["has", "a"],
    ],
)
def test_what_is_no_predicate_is_refused(form: Value) -> None:
    with pytest.raises(ValueError, match="not a predicate"):
        decode_expr(encode_value(form))


def test_bytes_nested_without_end_are_refused() -> None:
    with pytest.raises(ValueError, match="not a predicate"):
        decode_expr(b"\x91" * 100_000)
