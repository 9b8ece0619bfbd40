"""Predicates as SQL with exactly the evaluator's meaning (`grit.core.predicate`), or a superset that says so.

Where SQL says NULL the evaluator says false. Under AND and OR, and at the top, the two come to the same; only NOT
tells them apart, so it is guarded. Operands are brought into the type of the column first (a fraction beside an
int column becomes the int below it), because databases compare numbers of two types inexactly.

What has no column (an undeclared field of a document, a list) and what is too big for the database's parser becomes
"maybe": the answer is then a superset, to be filtered by the evaluator.
"""

import math
import operator
from collections.abc import Callable, Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any

import msgspec
import sqlalchemy as sa

from grit.core.catalog import FieldKind
from grit.core.keys import micros
from grit.core.predicate import And, Compare, Contains, Expr, In, IsNull, Not, Or, Prefix, Where, compare, decode_expr
from grit.core.values import INT_MAX, INT_MIN, Value
from grit.store.sql.decimals import sortable
from grit.store.sql.fields import FieldColumn

Clause = sa.ColumnElement[bool]
DEPTH_MAX = 16
"""SQLite's parser overflows at 31 negations."""
OPERANDS_MAX = 500
"""More leaves and operands: SQLite allows 1,000 levels in a chain of ORs, and 32,766 parameters."""
_UNICODE_MAX, _SURROGATES = 0x10FFFF, range(0xD800, 0xE000)


class Filter(msgspec.Struct, frozen=True):
    """`is_exact`: the clause holds for the matching records only; else for all of them and maybe others."""

    clause: Clause
    is_exact: bool = True


def translate(where: Where, columns: Mapping[str, FieldColumn], *, is_open: bool) -> Filter:
    """Return the predicate over a table.

    Args:
        where: Encoded predicate.
        columns: The fields that lie in columns.
        is_open: Records may hold fields that lie in no column; else such a field is null.
    """
    expr = decode_expr(where)
    if _operands(expr) > OPERANDS_MAX:
        return _maybe()
    return _Translation(columns, is_open=is_open).filter(expr, depth=0)


def _maybe() -> Filter:
    return Filter(sa.true(), is_exact=False)


def _operands(expr: Expr) -> int:
    if isinstance(expr, And | Or):
        return 1 + sum(_operands(part) for part in expr.parts)
    if isinstance(expr, Not):
        return 1 + _operands(expr.part)
    return len(expr.values) if isinstance(expr, In) else 1


class _Translation:
    def __init__(self, columns: Mapping[str, FieldColumn], *, is_open: bool) -> None:
        self._columns = columns
        self._is_open = is_open

    def filter(self, expr: Expr, *, depth: int) -> Filter:
        if depth > DEPTH_MAX:
            return _maybe()
        if isinstance(expr, And | Or):
            parts = [self.filter(part, depth=depth + 1) for part in expr.parts]
            join, of_none = (sa.and_, sa.true()) if isinstance(expr, And) else (sa.or_, sa.false())
            return Filter(join(of_none, *(part.clause for part in parts)), all(part.is_exact for part in parts))
        if isinstance(expr, Not):
            part = self.filter(expr.part, depth=depth + 1)
            return Filter(sa.not_(sa.func.coalesce(part.clause, sa.false()))) if part.is_exact else _maybe()
        return self._leaf(expr)

    def _leaf(self, expr: Compare | In | Prefix | IsNull | Contains) -> Filter:
        at = self._columns.get(expr.field)
        if at is not None:
            return Filter(_leaf(expr, at))
        if self._is_open:
            return _maybe()
        return Filter(sa.true() if isinstance(expr, IsNull) else sa.false())


def _leaf(expr: Compare | In | Prefix | IsNull | Contains, at: FieldColumn) -> Clause:
    if isinstance(expr, IsNull):
        return at.column.is_(None)
    if isinstance(expr, Compare):
        operand = _operand(at.kind, expr.value)
        return sa.false() if operand is None else _compared(at.column, expr.op, operand)
    if isinstance(expr, In):
        operands = (_operand(at.kind, value) for value in expr.values)
        return at.column.in_([operand.stored for operand in operands if operand is not None and operand.side == 0])
    if at.kind != FieldKind.STRING:
        return sa.false()
    if isinstance(expr, Prefix):
        return _prefixed(at.column, expr.prefix)
    return sa.func.instr(at.column, expr.value) > 0 if isinstance(expr.value, str) else sa.false()


class _Operand(msgspec.Struct, frozen=True):
    """What to compare the column with: `side` is where it lies of what was asked for (-1 below, 1 above).

    Between the two no value of the column's type lies.
    """

    stored: Any
    side: int = 0


def _operand(kind: FieldKind, value: Value) -> _Operand | None:
    """Return the operand in the type of the column; None: of a family that does not compare with it."""
    if isinstance(value, bool):
        return _Operand(int(value)) if kind == FieldKind.BOOL else None
    if isinstance(value, int | float | Decimal):
        nearest = _NEAREST.get(kind)
        return None if nearest is None else nearest(value)
    if isinstance(value, datetime):
        return _Operand(micros(value)) if kind == FieldKind.TIMESTAMP else None
    if isinstance(value, str):
        return _Operand(value) if kind == FieldKind.STRING else None
    return _Operand(value) if isinstance(value, bytes) and kind == FieldKind.BYTES else None


def _nearest_int(value: int | float | Decimal) -> _Operand:
    if value < INT_MIN:
        return _Operand(INT_MIN, 1)
    if value > INT_MAX:
        return _Operand(INT_MAX, -1)
    below = math.floor(value)
    return _Operand(below, 0 if below == value else -1)


def _nearest_float(value: int | float | Decimal) -> _Operand:
    near = float(value)  # infinite for a decimal beyond the largest float
    return _Operand(near, compare(near, value) or 0)


def _nearest_decimal(value: int | float | Decimal) -> _Operand:
    return _Operand(sortable(Decimal(value)))


_NEAREST: Mapping[FieldKind, Callable[[int | float | Decimal], _Operand]] = {
    FieldKind.INT: _nearest_int,
    FieldKind.FLOAT: _nearest_float,
    FieldKind.DECIMAL: _nearest_decimal,
}
_OPERATORS: Mapping[str, Callable[[Any, Any], Clause]] = {
    "=": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


def _compared(column: sa.Column[Any], op: str, operand: _Operand) -> Clause:
    if operand.side == 0:
        return _OPERATORS[op](column, operand.stored)
    if op in ("=", "!="):
        return sa.false() if op == "=" else column.is_not(None)
    # Below what was asked for: nothing lies between, so "less" is "at most" the stored one; and so on.
    is_less, is_below = op in ("<", "<="), operand.side < 0
    relation = ("<=" if is_below else "<") if is_less else (">" if is_below else ">=")
    return _OPERATORS[relation](column, operand.stored)


def _prefixed(column: sa.Column[Any], prefix: str) -> Clause:
    # A range, not LIKE: it knows no wildcards, tells case apart, and uses an index.
    if not prefix:
        return column.is_not(None)
    after = _after(prefix)
    return column >= prefix if after is None else sa.and_(column >= prefix, column < after)


def _after(prefix: str) -> str | None:
    """Return the least string above all that begin with `prefix`; None: there is none."""
    stem = prefix.rstrip(chr(_UNICODE_MAX))
    if not stem:
        return None
    following = ord(stem[-1]) + 1
    return stem[:-1] + chr(_SURROGATES.stop if following in _SURROGATES else following)
