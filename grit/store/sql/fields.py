"""How a field of one value lies in a column, so that the database compares and sorts as the evaluator does.

bool and int are integers, timestamps integer microseconds; strings are compared by their bytes, which is by code
point; decimals are sortable text (see `decimals`). Tables are STRICT: no other type gets in from outside.
"""

from collections.abc import Callable, Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any

import msgspec
import sqlalchemy as sa

from grit.core.catalog import FieldKind
from grit.core.fields import type_name
from grit.core.keys import from_micros, micros
from grit.core.values import INT_MAX, INT_MIN, Value
from grit.store.sql.decimals import from_sortable, sortable


class Codec(msgspec.Struct, frozen=True):
    """`python` is the exact type of a value; `encode` makes of it what the driver is given, `decode` undoes it."""

    python: type
    sql: type[sa.types.TypeEngine[Any]]
    encode: Callable[[Any], Any]
    decode: Callable[[Any], Value]


class FieldColumn(msgspec.Struct, frozen=True):
    """A field and the column that holds it."""

    field: str
    kind: FieldKind
    column: sa.Column[Any]

    def encode(self, value: Value) -> Any:
        """Return what is stored.

        Raises:
            ValueError: The value is not of the declared type; names the field.
        """
        if value is None:
            return None
        codec = CODECS[self.kind]
        if type(value) is not codec.python:
            raise ValueError(f"field {self.field} holds a {type_name(value)}, the catalogue says {self.kind}")
        return codec.encode(value)


def _same(value: Any) -> Any:
    return value


def _int64(value: int) -> int:
    if not INT_MIN <= value <= INT_MAX:
        raise ValueError(f"{value} is beyond 64 bits")
    return value


CODECS: Mapping[FieldKind, Codec] = {
    FieldKind.BOOL: Codec(bool, sa.Integer, int, bool),
    FieldKind.INT: Codec(int, sa.Integer, _int64, _same),
    FieldKind.DECIMAL: Codec(Decimal, sa.Text, sortable, from_sortable),
    FieldKind.FLOAT: Codec(float, sa.REAL, _same, _same),
    FieldKind.STRING: Codec(str, sa.Text, _same, _same),
    FieldKind.BYTES: Codec(bytes, sa.LargeBinary, _same, bytes),
    FieldKind.TIMESTAMP: Codec(datetime, sa.Integer, micros, from_micros),
}
"""The kinds that lie in a column; lists and maps do not."""
