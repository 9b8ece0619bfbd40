"""Predicates: two answers for a known record, three for one that is partly unknown, and the two agree."""

from decimal import Decimal
from itertools import product

from hypothesis import given
from hypothesis import strategies as st

from grit.core.predicate import (
    OPERATORS,
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

DOMAIN: tuple[Value, ...] = (None, 0, 1.0, Decimal("1.5"), "a", "ab", True, ["a", 1])
FIELDS = ("f", "g", "h")
VALUES = st.sampled_from(DOMAIN)
NAMES = st.sampled_from(FIELDS)
ROWS = st.dictionaries(NAMES, VALUES)
UNKNOWN = st.frozensets(NAMES)

LEAVES: st.SearchStrategy[Expr] = st.one_of(
    st.builds(Compare, NAMES, st.sampled_from(OPERATORS), VALUES),
    st.builds(In, NAMES, st.lists(VALUES, max_size=3).map(tuple)),
    st.builds(Prefix, NAMES, st.sampled_from(["", "a", "ab"])),
    st.builds(IsNull, NAMES),
    st.builds(Contains, NAMES, VALUES),
)


def _larger(inner: st.SearchStrategy[Expr]) -> st.SearchStrategy[Expr]:
    parts = st.lists(inner, max_size=3).map(tuple)
    return st.one_of(st.builds(And, parts), st.builds(Or, parts), st.builds(Not, inner))


EXPRS = st.recursive(LEAVES, _larger, max_leaves=6)


def completions(row: dict[str, Value], unknown: frozenset[str]) -> list[dict[str, Value]]:
    """Return the record with every way to fill its unknown fields from the domain."""
    names = sorted(unknown)
    return [{**row, **dict(zip(names, values, strict=True))} for values in product(DOMAIN, repeat=len(names))]


@given(EXPRS)
def test_a_predicate_comes_back(expr: Expr) -> None:
    where = encode_expr(expr)
    assert encode_expr(decode_expr(where)) == where
    assert decode_expr(where) == expr


@given(EXPRS, ROWS)
def test_with_nothing_unknown_might_is_does(expr: Expr, row: dict[str, Value]) -> None:
    assert may_match(encode_expr(expr), row, frozenset()) is matches(encode_expr(expr), row)


@given(EXPRS, ROWS, UNKNOWN)
def test_what_some_completion_matches_may_match(expr: Expr, row: dict[str, Value], unknown: frozenset[str]) -> None:
    where = encode_expr(expr)
    if any(matches(where, full) for full in completions(row, unknown)):
        assert may_match(where, row, unknown)


@given(EXPRS, ROWS, UNKNOWN)
def test_a_definite_answer_holds_for_every_completion(
    expr: Expr, row: dict[str, Value], unknown: frozenset[str]
) -> None:
    """The third answer, "depends", is the one for which both a predicate and its negation may match."""
    where, negated = encode_expr(expr), encode_expr(Not(expr))
    answers = {matches(where, full) for full in completions(row, unknown)}
    assert may_match(where, row, unknown) or answers == {False}
    assert may_match(negated, row, unknown) or answers == {True}


@given(LEAVES, ROWS)
def test_one_unknown_field_leaves_a_single_test_open(leaf: Expr, row: dict[str, Value]) -> None:
    unknown = fields_of(leaf)
    assert may_match(encode_expr(leaf), row, unknown)
    assert may_match(encode_expr(Not(leaf)), row, unknown)


@given(EXPRS, ROWS)
def test_not_is_the_other_answer(expr: Expr, row: dict[str, Value]) -> None:
    assert matches(encode_expr(Not(expr)), row) is not matches(encode_expr(expr), row)


@given(EXPRS, ROWS, NAMES, VALUES)
def test_other_fields_do_not_matter(expr: Expr, row: dict[str, Value], name: str, value: Value) -> None:
    if name not in fields_of(expr):
        assert matches(encode_expr(expr), {**row, name: value}) is matches(encode_expr(expr), row)


@given(EXPRS, ROWS)
def test_null_and_missing_are_one(expr: Expr, row: dict[str, Value]) -> None:
    stored = {name: value for name, value in row.items() if value is not None}
    spelt_out = {**dict.fromkeys(FIELDS), **row}
    assert matches(encode_expr(expr), stored) is matches(encode_expr(expr), spelt_out)


NUMBERS = st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False) | st.decimals(allow_nan=False, places=2)


@given(NUMBERS, NUMBERS, NUMBERS)
def test_numbers_of_any_type_are_in_one_order(left: Value, middle: Value, right: Value) -> None:
    first, second, across = compare(left, middle), compare(middle, right), compare(left, right)
    assert first is not None
    assert second is not None
    if second in (first, 0):
        assert across == first
    assert compare(middle, left) == -first


@given(st.binary(max_size=24) | st.recursive(VALUES | NAMES, lambda v: st.lists(v, max_size=3)).map(encode_value))
def test_malformed_bytes_are_value_errors(data: bytes) -> None:
    try:
        expr = decode_expr(data)
    except ValueError:
        return
    assert decode_expr(encode_expr(expr)) == expr
