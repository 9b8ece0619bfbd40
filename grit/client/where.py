"""Predicates as Python expressions: `(field("price") >= 3) & ~field("name").startswith("x")`."""

from collections.abc import Iterable

import msgspec

from grit.client.naming import Keyed, key_of, split
from grit.core import operations
from grit.core import predicate as core
from grit.core.predicate import EVERYTHING, Expr
from grit.core.predicate import Where as Encoded
from grit.core.queries import OrderBy
from grit.core.values import Value


class Where:
    """A predicate over one record. Combine with `&`, `|` and `~`; `and`, `or` and `not` are refused."""

    def __init__(self, expr: Expr) -> None:
        self.expr = expr

    def __and__(self, other: "Where") -> "Where":
        return Where(core.And((self.expr, other.expr)))

    def __or__(self, other: "Where") -> "Where":
        return Where(core.Or((self.expr, other.expr)))

    def __invert__(self) -> "Where":
        return Where(core.Not(self.expr))

    def __bool__(self) -> bool:
        raise TypeError("a predicate has no truth value here: combine predicates with & | ~, in parentheses")

    def __repr__(self) -> str:
        return f"Where({self.expr!r})"


class Field:
    """A field of a record, to be compared. A comparison with a null or missing field is false."""

    __hash__ = None  # type: ignore[assignment]  # comparing makes a predicate

    def __init__(self, name: str) -> None:
        self.name = name

    def __eq__(self, value: Value) -> Where:  # type: ignore[override]
        return self._compare("=", value)

    def __ne__(self, value: Value) -> Where:  # type: ignore[override]
        return self._compare("!=", value)

    def __lt__(self, value: Value) -> Where:
        return self._compare("<", value)

    def __le__(self, value: Value) -> Where:
        return self._compare("<=", value)

    def __gt__(self, value: Value) -> Where:
        return self._compare(">", value)

    def __ge__(self, value: Value) -> Where:
        return self._compare(">=", value)

    def in_(self, values: Iterable[Value]) -> Where:
        """Match when the field equals one of the values."""
        return Where(core.In(self.name, tuple(values)))

    def startswith(self, prefix: str) -> Where:
        """Match when the string field starts with it."""
        return Where(core.Prefix(self.name, prefix))

    def contains(self, value: Value) -> Where:
        """Match when the list field holds the value, or the string field the substring."""
        return Where(core.Contains(self.name, value))

    def is_null(self) -> Where:
        """Match when the field is null or missing."""
        return Where(core.IsNull(self.name))

    def _compare(self, operator: str, value: Value) -> Where:
        return Where(core.Compare(self.name, operator, value))


def field(name: str) -> Field:
    """Return a field, to be compared."""
    return Field(name)


def ascending(name: str) -> OrderBy:
    """Order by a field, nulls first."""
    return OrderBy(name)


def descending(name: str) -> OrderBy:
    """Order by a field, nulls last."""
    return OrderBy(name, descending=True)


def encoded(where: Where | None) -> Encoded:
    """Return the canonical bytes of a predicate; None = every record."""
    return EVERYTHING if where is None else core.encode_expr(where.expr)


class Condition(msgspec.Struct, frozen=True):
    """What must hold for `Client.transact` to commit; made by `exists` and `absent`."""

    core: operations.Condition


def exists(collection: str, key: Keyed, where: Where | None = None) -> Condition:
    """Demand that the record is there, and satisfies the predicate."""
    realm, name = split(collection)
    return Condition(operations.Condition(realm, name, key_of(collection, key), where=encoded(where)))


def absent(collection: str, key: Keyed) -> Condition:
    """Demand that the record is not there."""
    realm, name = split(collection)
    return Condition(operations.Condition(realm, name, key_of(collection, key), present=False))
