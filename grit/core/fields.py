"""Does a value fit its field, and how is it spelt: the types of interfaces.md section 1.

Every function takes the `place` of the value in words and raises `GritError` that names it: `TYPE_MISMATCH` for
another type, `TOO_LARGE` for size, `CONSTRAINT` for a null where none may be, `BAD_REQUEST` for what is no
value at all.
"""

import math
from collections.abc import Callable, Mapping
from datetime import datetime
from decimal import Decimal
from typing import NoReturn

from grit.core.catalog import FieldKind, FieldType
from grit.core.errors import Code, GritError
from grit.core.values import INT_MAX, INT_MIN, Value, utc

DECIMAL_DIGITS_MAX = 65
"""Of any decimal; what MySQL holds."""
NUMBERS = frozenset({FieldKind.INT, FieldKind.DECIMAL, FieldKind.FLOAT})


def fitted(value: Value, declared: FieldType, place: str, *, depth_max: int, flat_lists: bool = False) -> Value:
    """Return the value as the field spells it: an int as the decimal of a decimal field, a time in UTC.

    Raises:
        GritError: It does not fit; see the module.
    """
    if value is None:
        if not declared.nullable:
            raise GritError(Code.CONSTRAINT, f"{place} must not be null")
        return None
    if declared.kind in (FieldKind.LIST, FieldKind.MAP):
        return _tree_field(value, declared.kind, place, depth_max, flat_lists)
    return _FITS[declared.kind](value, declared, place)


def any_value(value: Value, place: str, *, depth_max: int) -> Value:
    """Return a value of an undeclared field, checked at every depth.

    Raises:
        GritError: It is no value, or nested deeper than `depth_max`.
    """
    if isinstance(value, list | tuple):
        _refuse_depth(depth_max, place)
        return [any_value(item, f"{place}[{at}]", depth_max=depth_max - 1) for at, item in enumerate(value)]
    if isinstance(value, Mapping):
        _refuse_depth(depth_max, place)
        return {_name(k, place): any_value(item, f"{place}.{k}", depth_max=depth_max - 1) for k, item in value.items()}
    return scalar(value, place)


def scalar(value: Value, place: str) -> Value:
    """Return a null or a single value, a time in UTC.

    Raises:
        GritError: It is a list or a map, an int beyond 64 bits, a NaN, a time without zone, ...
    """
    if value is None:
        return None
    for kind, fits in _FITS.items():
        if kind != FieldKind.DECIMAL and isinstance(value, _TYPES[kind]):
            return fits(value, FieldType(kind), place)
    if isinstance(value, Decimal):
        return _decimal(value, FieldType(FieldKind.DECIMAL), place)
    _mismatch(place, "a single value", value)


def type_name(value: Value) -> str:
    """Return how messages call the type of a value."""
    if value is None:
        return "null"
    for kind, python in _TYPES.items():
        if isinstance(value, python):
            return kind.value
    return "list" if isinstance(value, list | tuple) else "map" if isinstance(value, Mapping) else type(value).__name__


def _mismatch(place: str, wanted: str, value: Value) -> NoReturn:
    raise GritError(Code.TYPE_MISMATCH, f"{place} must be {wanted}, not {type_name(value)}")


def _bool(value: Value, declared: FieldType, place: str) -> Value:
    return value if isinstance(value, bool) else _mismatch(place, "bool", value)


def _int(value: Value, declared: FieldType, place: str) -> Value:
    if isinstance(value, bool) or not isinstance(value, int):
        _mismatch(place, "int", value)
    if not INT_MIN <= value <= INT_MAX:
        raise GritError(Code.TOO_LARGE, f"{place} is beyond 64 bits")
    return value


def _decimal(value: Value, declared: FieldType, place: str) -> Value:
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        _mismatch(place, "decimal", value)
    number = Decimal(value)
    if not number.is_finite():
        raise GritError(Code.TYPE_MISMATCH, f"{place} must be a number, not {number}")
    whole, scale = _digits(number)
    if whole + scale > DECIMAL_DIGITS_MAX:
        raise GritError(Code.TOO_LARGE, f"{place} has more than {DECIMAL_DIGITS_MAX} digits")
    if declared.scale is not None and scale > declared.scale:
        raise GritError(Code.TYPE_MISMATCH, f"{place} may have {declared.scale} decimal places; {value} has {scale}")
    whole_max = None if declared.size is None else declared.size - (declared.scale or 0)
    if whole_max is not None and whole > whole_max:
        raise GritError(Code.TOO_LARGE, f"{place} may have {whole_max} digits before the point; {value} has {whole}")
    return number


def _digits(number: Decimal) -> tuple[int, int]:
    """Return how many digits stand before and after the point, without the zeros that mean nothing."""
    _, digits, exponent = number.as_tuple()
    assert isinstance(exponent, int)
    text = "".join(map(str, digits))
    significant = text.rstrip("0")
    if not significant:
        return 0, 0
    exponent += len(text) - len(significant)
    return max(0, len(significant.lstrip("0")) + exponent), max(0, -exponent)


def _float(value: Value, declared: FieldType, place: str) -> Value:
    if isinstance(value, bool) or not isinstance(value, int | float):
        _mismatch(place, "float", value)
    if isinstance(value, int) and abs(value) > 1 << 53:
        raise GritError(Code.TYPE_MISMATCH, f"{place} is a float, which cannot hold {value} exactly")
    if not math.isfinite(value):
        raise GritError(Code.TYPE_MISMATCH, f"{place} must be a number, not {value}")
    return float(value)


def _string(value: Value, declared: FieldType, place: str) -> Value:
    if not isinstance(value, str):
        _mismatch(place, "string", value)
    if declared.size is not None and len(value) > declared.size:
        raise GritError(Code.TOO_LARGE, f"{place} may have {declared.size:,} characters; this has {len(value):,}")
    # A lone surrogate is no Unicode text: no database takes it.
    if not value.isascii() and any("\ud800" <= char <= "\udfff" for char in value):
        raise GritError(Code.BAD_REQUEST, f"{place} is not Unicode text: it holds a lone surrogate")
    return value


def _bytes(value: Value, declared: FieldType, place: str) -> Value:
    if not isinstance(value, bytes):
        _mismatch(place, "bytes", value)
    if declared.size is not None and len(value) > declared.size:
        raise GritError(Code.TOO_LARGE, f"{place} may have {declared.size:,} bytes; this has {len(value):,}")
    return value


def _timestamp(value: Value, declared: FieldType, place: str) -> Value:
    if not isinstance(value, datetime):
        _mismatch(place, "timestamp", value)
    try:
        return utc(value)
    except (ValueError, OverflowError) as error:
        raise GritError(Code.TYPE_MISMATCH, f"{place}: {error}") from error


_FITS: Mapping[FieldKind, Callable[[Value, FieldType, str], Value]] = {
    FieldKind.BOOL: _bool,
    FieldKind.INT: _int,
    FieldKind.DECIMAL: _decimal,
    FieldKind.FLOAT: _float,
    FieldKind.STRING: _string,
    FieldKind.BYTES: _bytes,
    FieldKind.TIMESTAMP: _timestamp,
}
_TYPES: Mapping[FieldKind, type] = {
    FieldKind.BOOL: bool,  # before int, which it is a kind of in Python
    FieldKind.INT: int,
    FieldKind.DECIMAL: Decimal,
    FieldKind.FLOAT: float,
    FieldKind.STRING: str,
    FieldKind.BYTES: bytes,
    FieldKind.TIMESTAMP: datetime,
}


def _tree_field(value: Value, kind: FieldKind, place: str, depth_max: int, flat_lists: bool) -> Value:
    wanted = Mapping if kind == FieldKind.MAP else (list, tuple)
    if not isinstance(value, wanted):
        _mismatch(place, kind.value, value)
    if not flat_lists:
        return any_value(value, place, depth_max=depth_max)
    items = [scalar(item, f"{place}[{at}]") for at, item in enumerate(value)]
    kinds = {type_name(item) for item in items}
    if len(kinds) > 1 or "null" in kinds:
        raise GritError(Code.TYPE_MISMATCH, f"{place}: this engine holds lists of one type and without null only")
    return items


def _refuse_depth(depth_max: int, place: str) -> None:
    if depth_max <= 0:
        raise GritError(Code.TOO_LARGE, f"{place} is nested too deep")


def _name(name: Value, place: str) -> str:
    if not isinstance(name, str):
        raise GritError(Code.BAD_REQUEST, f"{place}: the names in a map must be strings, not {type_name(name)}")
    return name
