"""The order of rows in an answer: one meaning for every store, for the overlay, and for a session's own writes.

Null (or missing) comes first in ascending order, last in descending; values of different families go by
family (bool, number, string, bytes, timestamp, tree); ties go by canonical key, ascending.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

from grit.core.ids import Key
from grit.core.queries import OrderBy
from grit.core.values import Row, Value, encode_value


def rank(value: Value) -> tuple[int, Any]:
    """Return what a value sorts by."""
    if value is None:
        return 0, 0
    if isinstance(value, bool):
        return 1, value
    if isinstance(value, int | float | Decimal):
        return 2, value
    if isinstance(value, str):
        return 3, value
    if isinstance(value, bytes):
        return 4, value
    if isinstance(value, datetime):
        return 5, value
    return 6, encode_value(value)


def ordered(rows: Iterable[tuple[Key, Row]], order_by: Sequence[OrderBy]) -> list[tuple[Key, Row]]:
    """Return the rows in the order that a query asks for."""
    out = sorted(rows, key=lambda pair: pair[0])
    for order in reversed(order_by):
        field = order.field
        out.sort(key=lambda pair: rank(pair[1].get(field)), reverse=order.descending)
    return out
