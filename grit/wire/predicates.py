"""Predicates, typed or packed."""

from grit.core.errors import GritError
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
    Where,
    decode_expr,
    encode_expr,
)
from grit.pb.v1 import sidecar_pb2 as pb
from grit.wire.values import decode_typed, encode_typed, refuse, unpack

_COMPARATORS = {
    "=": pb.COMPARATOR_EQUAL,
    "!=": pb.COMPARATOR_NOT_EQUAL,
    "<": pb.COMPARATOR_LESS,
    "<=": pb.COMPARATOR_LESS_OR_EQUAL,
    ">": pb.COMPARATOR_GREATER,
    ">=": pb.COMPARATOR_GREATER_OR_EQUAL,
}
_OPERATORS = {comparator: operator for operator, comparator in _COMPARATORS.items()}


def encode_where(where: Where, *, packed: bool) -> pb.Where | None:
    """Return a predicate; None for "every record", which is left out."""
    if not where:
        return None
    return pb.Where(packed=where) if packed else pb.Where(typed=encode_expression(decode_expr(where)))


def decode_where(where: pb.Where | None, place: str) -> Where:
    """Return the canonical bytes of a predicate; None (left out) is "every record".

    Raises:
        GritError: BAD_REQUEST.
    """
    if where is None:
        return EVERYTHING
    form = where.WhichOneof("form")
    if form is None:
        refuse(place, "is empty: leave it out for every record")
    if form == "typed":
        return encode_expr(decode_expression(where.typed, f"{place}.typed", 0))
    if not where.packed:
        return EVERYTHING
    unpack(where.packed, place)
    try:
        return encode_expr(decode_expr(where.packed))
    except (ValueError, LookupError, TypeError) as error:
        raise GritError.bad_request(f"{place}.packed: {error}") from error


def encode_expression(expr: Expr) -> pb.Expression:
    """Return a typed expression."""
    if isinstance(expr, And):
        return pb.Expression(all_of=pb.Expressions(parts=[encode_expression(part) for part in expr.parts]))
    if isinstance(expr, Or):
        return pb.Expression(any_of=pb.Expressions(parts=[encode_expression(part) for part in expr.parts]))
    if isinstance(expr, Not):
        return pb.Expression(negation=encode_expression(expr.part))
    if isinstance(expr, Compare):
        comparator, value = _COMPARATORS[expr.op], encode_typed(expr.value)
        return pb.Expression(comparison=pb.Comparison(field=expr.field, comparator=comparator, value=value))
    if isinstance(expr, In):
        return pb.Expression(
            membership=pb.Membership(field=expr.field, values=[encode_typed(one) for one in expr.values])
        )
    if isinstance(expr, Prefix):
        return pb.Expression(prefix=pb.Prefix(field=expr.field, prefix=expr.prefix))
    if isinstance(expr, IsNull):
        return pb.Expression(is_null=pb.IsNull(field=expr.field))
    return pb.Expression(contains=pb.Containment(field=expr.field, value=encode_typed(expr.value)))


def decode_expression(expr: pb.Expression, place: str, depth: int) -> Expr:
    """Return the expression.

    Raises:
        GritError: BAD_REQUEST.
    """
    if depth > DEPTH_MAX:
        refuse(place, f"is nested deeper than {DEPTH_MAX}")
    kind = expr.WhichOneof("kind")
    if kind == "all_of":
        return And(_decode_parts(expr.all_of, f"{place}.all_of", depth))
    if kind == "any_of":
        return Or(_decode_parts(expr.any_of, f"{place}.any_of", depth))
    if kind == "negation":
        return Not(decode_expression(expr.negation, f"{place}.negation", depth + 1))
    if kind is None:
        refuse(place, "holds no expression")
    return _decode_leaf(expr, kind, f"{place}.{kind}")


def _decode_parts(expressions: pb.Expressions, place: str, depth: int) -> tuple[Expr, ...]:
    parts = enumerate(expressions.parts)
    return tuple(decode_expression(part, f"{place}[{at}]", depth + 1) for at, part in parts)


def _decode_leaf(expr: pb.Expression, kind: str, place: str) -> Expr:
    if kind == "comparison":
        operator = _OPERATORS.get(expr.comparison.comparator)
        if operator is None:
            refuse(f"{place}.comparator", "is missing or unknown")
        return Compare(expr.comparison.field, operator, decode_typed(expr.comparison.value, f"{place}.value"))
    if kind == "membership":
        values = enumerate(expr.membership.values)
        return In(expr.membership.field, tuple(decode_typed(one, f"{place}.values[{at}]") for at, one in values))
    if kind == "prefix":
        return Prefix(expr.prefix.field, expr.prefix.prefix)
    if kind == "is_null":
        return IsNull(expr.is_null.field)
    return Contains(expr.contains.field, decode_typed(expr.contains.value, f"{place}.value"))
