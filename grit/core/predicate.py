"""Predicates: one meaning, defined here, translated by the stores, held together by a property test.

Meaning. A comparison with a null or missing field is false, whatever the operator; `not` negates exactly;
so a predicate is always true or false for a known record. Numbers compare by value across int, float and
decimal; strings by Unicode code point; booleans, bytes and timestamps among themselves; everything else is
unequal and unordered (false). `contains` asks whether a list holds a value, or a string a substring.

Three-valued: against a write whose outcome is not known, some fields are unknown; the answer is then
True, False, or None for "depends", and None counts as a match (protocol.md section 4).

A predicate travels as canonical bytes (`encode_expr`), which are hashable and compare as predicates.
"""

import math
from collections.abc import Callable, Mapping
from datetime import datetime
from decimal import Decimal
from functools import lru_cache
from typing import NewType

import msgspec

from grit.core.values import Row, Value, decode_value, encode_value

Where = NewType("Where", bytes)
"""An encoded predicate; b"" is "every record"."""
EVERYTHING = Where(b"")


class Compare(msgspec.Struct, frozen=True):
    """`op` is one of = != < <= > >=."""

    field: str
    op: str
    value: Value


class In(msgspec.Struct, frozen=True):
    """The field equals one of the values."""

    field: str
    values: tuple[Value, ...]


class Prefix(msgspec.Struct, frozen=True):
    """The string field starts with `prefix`."""

    field: str
    prefix: str


class IsNull(msgspec.Struct, frozen=True):
    """The field is null or missing."""

    field: str


class Contains(msgspec.Struct, frozen=True):
    """The list field holds the value, or the string field the substring."""

    field: str
    value: Value


class And(msgspec.Struct, frozen=True):
    """All of them; of none: true."""

    parts: tuple["Expr", ...]


class Or(msgspec.Struct, frozen=True):
    """One of them; of none: false."""

    parts: tuple["Expr", ...]


class Not(msgspec.Struct, frozen=True):
    """The other answer."""

    part: "Expr"


Expr = Compare | In | Prefix | IsNull | Contains | And | Or | Not
OPERATORS = ("=", "!=", "<", "<=", ">", ">=")
DEPTH_MAX = 32


def encode_expr(expr: Expr) -> Where:
    """Return the canonical bytes of a predicate."""
    return Where(encode_value(_to_list(expr)))


@lru_cache(maxsize=4096)
def decode_expr(where: bytes) -> Expr:
    """Return the predicate of canonical bytes.

    Raises:
        ValueError: The bytes are no predicate, or it is nested deeper than DEPTH_MAX.
    """
    if not where:
        return And(())
    try:
        return _from_list(decode_value(where), 0)
    except ValueError as error:
        raise ValueError(f"not a predicate: {error}") from error


def matches(where: bytes, row: Row) -> bool:
    """Tell whether the record satisfies the predicate."""
    return _compiled(where)(row, _NOTHING) is True


def may_match(where: bytes, row: Row, unknown: frozenset[str]) -> bool:
    """Tell whether it does or might, when the `unknown` fields can hold anything."""
    return _compiled(where)(row, unknown) is not False


def fields_of(expr: Expr) -> frozenset[str]:
    """Return every field that the predicate looks at."""
    if isinstance(expr, And | Or):
        return frozenset[str]().union(*(fields_of(part) for part in expr.parts))
    if isinstance(expr, Not):
        return fields_of(expr.part)
    return frozenset({expr.field})


_NOTHING: frozenset[str] = frozenset()
_Test = Callable[[Row, frozenset[str]], bool | None]


@lru_cache(maxsize=4096)
def _compiled(where: bytes) -> _Test:
    return _compile(decode_expr(where))


def _compile(expr: Expr) -> _Test:
    if isinstance(expr, And):
        return _all([_compile(part) for part in expr.parts])
    if isinstance(expr, Or):
        return _any([_compile(part) for part in expr.parts])
    if isinstance(expr, Not):
        return _negated(_compile(expr.part))
    field, holds = expr.field, _holds(expr)

    def leaf(row: Row, unknown: frozenset[str]) -> bool | None:
        return None if field in unknown else holds(row.get(field))

    return leaf


def _all(parts: list[_Test]) -> _Test:
    def test(row: Row, unknown: frozenset[str]) -> bool | None:
        answers = [part(row, unknown) for part in parts]
        return False if False in answers else None if None in answers else True

    return test


def _any(parts: list[_Test]) -> _Test:
    def test(row: Row, unknown: frozenset[str]) -> bool | None:
        answers = [part(row, unknown) for part in parts]
        return True if True in answers else None if None in answers else False

    return test


def _negated(part: _Test) -> _Test:
    def test(row: Row, unknown: frozenset[str]) -> bool | None:
        answer = part(row, unknown)
        return None if answer is None else not answer

    return test


def _holds(expr: Compare | In | Prefix | IsNull | Contains) -> Callable[[Value], bool]:
    if isinstance(expr, Compare):
        relation, operand = _RELATIONS[expr.op], expr.value
        return lambda value: (order := compare(value, operand)) is not None and relation(order)
    if isinstance(expr, In):
        operands = expr.values
        return lambda value: any(compare(value, one) == 0 for one in operands)
    if isinstance(expr, Prefix):
        prefix = expr.prefix
        return lambda value: isinstance(value, str) and value.startswith(prefix)
    if isinstance(expr, IsNull):
        return lambda value: value is None
    wanted = expr.value
    return lambda value: _contains(value, wanted)


_RELATIONS: Mapping[str, Callable[[int], bool]] = {
    "=": lambda order: order == 0,
    "!=": lambda order: order != 0,
    "<": lambda order: order < 0,
    "<=": lambda order: order <= 0,
    ">": lambda order: order > 0,
    ">=": lambda order: order >= 0,
}


def compare(left: Value, right: Value) -> int | None:
    """Return -1, 0 or 1; None when either is null or NaN, or they are of families that do not compare.

    Lists and maps are equal or not (0 or None): they have no order.
    """
    family = _family(left)
    if family is None or family != _family(right):
        return None
    if family == "tree":
        return 0 if encode_value(left) == encode_value(right) else None
    if isinstance(left, float) and isinstance(right, Decimal):
        left = Decimal(left)
    elif isinstance(left, Decimal) and isinstance(right, float):
        right = Decimal(right)
    return int(left > right) - int(left < right)


def _family(value: Value) -> str | None:
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, float) and math.isnan(value):
        return None
    if isinstance(value, int | float | Decimal):
        return "number"
    if isinstance(value, str):
        return "string"
    if isinstance(value, bytes):
        return "bytes"
    if isinstance(value, datetime):
        return "timestamp"
    return None if value is None else "tree"


def _contains(value: Value, wanted: Value) -> bool:
    if isinstance(value, str):
        return isinstance(wanted, str) and wanted in value
    if isinstance(value, list | tuple):
        return any(compare(item, wanted) == 0 for item in value)
    return False


def _to_list(expr: Expr) -> list[Value]:
    if isinstance(expr, And | Or):
        return ["and" if isinstance(expr, And) else "or", [_to_list(part) for part in expr.parts]]
    if isinstance(expr, Not):
        return ["not", _to_list(expr.part)]
    if isinstance(expr, Compare):
        return [expr.op, expr.field, expr.value]
    if isinstance(expr, In):
        return ["in", expr.field, list(expr.values)]
    if isinstance(expr, Prefix):
        return ["prefix", expr.field, expr.prefix]
    if isinstance(expr, IsNull):
        return ["null", expr.field]
    return ["has", expr.field, expr.value]


def _from_list(form: Value, depth: int) -> Expr:
    if depth > DEPTH_MAX:
        raise ValueError(f"it is nested deeper than {DEPTH_MAX}")
    match form:
        case ["and", [*parts]]:
            return And(tuple([_from_list(part, depth + 1) for part in parts]))
        case ["or", [*parts]]:
            return Or(tuple([_from_list(part, depth + 1) for part in parts]))
        case ["not", part]:
            return Not(_from_list(part, depth + 1))
        case [str(op), str(field), value] if op in OPERATORS:
            return Compare(field, op, value)
        case ["in", str(field), [*values]]:
            return In(field, tuple(values))
        case ["prefix", str(field), str(prefix)]:
            return Prefix(field, prefix)
        case ["null", str(field)]:
            return IsNull(field)
        case ["has", str(field), value]:
            return Contains(field, value)
    raise ValueError(f"unknown form {str(form)[:80]}")
