"""Values and records, and their one canonical encoding.

A record is a map from field name to value. *Missing and null are one*: a null at the top level is
not stored, in any engine, so that a relational NULL, an absent property and an absent field mean the
same. The encoding is msgpack with sorted map keys; decimals travel as extension 1 (the text of the
normalised decimal), timestamps as the msgpack timestamp extension (-1), and -0.0 as 0.0. Equal records have equal
bytes, so bytes are compared, hashed and logged. Test vectors: docs/protocol/encoding.md.
"""

import math
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, NewType

import msgspec

Value = Any
"""null, bool, int (64 bit), Decimal, float, str, bytes, datetime (aware, UTC), list, dict[str, Value]."""
Row = Mapping[str, Value]
"""A decoded record. Treated as immutable everywhere: copy before you change."""
Record = NewType("Record", bytes)
"""A canonically encoded record."""

INT_MIN, INT_MAX = -(2**63), 2**63 - 1
DECIMAL_EXT = 1
_PLAIN = frozenset({str, int, bool, bytes})
_DECIMAL = re.compile(rb"-?(0|[1-9][0-9]*)(\.[0-9]*[1-9])?")

_encoder = msgspec.msgpack.Encoder(order="deterministic")


def _decode_ext(code: int, data: memoryview) -> Value:
    if code != DECIMAL_EXT:
        raise ValueError(f"unknown value extension {code}")
    return parse_decimal(bytes(data))


_decoder = msgspec.msgpack.Decoder(ext_hook=_decode_ext)
_record_decoder = msgspec.msgpack.Decoder(dict[str, Any], ext_hook=_decode_ext)


def encode_value(value: Value) -> bytes:
    """Return the canonical encoding of one value.

    Raises:
        ValueError: It holds a decimal that is no number, or a time without zone.
        TypeError: It holds something that is no value.
    """
    return _encoder.encode(_wrapped(value))


def decode_value(data: bytes) -> Value:
    """Return the value that `encode_value` encoded.

    Raises:
        ValueError: The bytes are not an encoded value.
    """
    try:
        return _decoder.decode(data)
    except RecursionError as error:
        raise ValueError("not a value: nested too deep") from error


def encode_record(row: Row) -> Record:
    """Return the canonical encoding of a record; null fields are left out.

    Raises:
        ValueError: It holds a decimal that is no number, or a time without zone.
        TypeError: It holds something that is no value.
    """
    return Record(
        _encoder.encode({f: v if type(v) in _PLAIN else _wrapped(v) for f, v in row.items() if v is not None})
    )


def decode_record(record: bytes) -> dict[str, Value]:
    """Return the record as a new dict.

    Raises:
        ValueError: The bytes are not an encoded record.
    """
    try:
        return _record_decoder.decode(record)
    except RecursionError as error:
        raise ValueError("not a record: nested too deep") from error


def decimal_text(number: Decimal) -> str:
    """Return the one spelling of a finite decimal: 1, 1.0 and 1.00 are `1`; 1E+2 is `100`.

    Every digit is kept: `Decimal.normalize` would round to the 28 digits of the thread's decimal context.

    Raises:
        ValueError: It is no number or infinite.
    """
    if not number.is_finite():
        raise ValueError(f"a decimal must be a number, not {number}")
    if not number:
        return "0"
    text = format(number, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


def parse_decimal(text: bytes) -> Decimal:
    """Return the decimal that `decimal_text` spelt.

    Raises:
        ValueError: It is spelt in another way.
    """
    if _DECIMAL.fullmatch(text) is None or text == b"-0":
        raise ValueError(f"not a canonical decimal: {text[:80]!r}")
    return Decimal(text.decode("ascii"))


def _wrapped(value: Value) -> Value:
    """Replace what msgpack would blur or spell in two ways, at any depth."""
    if type(value) in _PLAIN or value is None:
        return value
    if isinstance(value, float):
        # -0.0 becomes 0.0: they are equal, so their bytes are. NaN is refused at the edge, yet databases may hold it.
        return math.nan if math.isnan(value) else value + 0.0
    if isinstance(value, datetime):
        return utc(value)
    if isinstance(value, Decimal):
        return msgspec.msgpack.Ext(DECIMAL_EXT, decimal_text(value).encode("ascii"))
    if isinstance(value, list | tuple):
        return [_wrapped(item) for item in value]
    if isinstance(value, Mapping):
        return {name: _wrapped(item) for name, item in value.items()}
    raise TypeError(f"not a value: {type(value).__name__}")


def utc(value: datetime) -> datetime:
    """Return the same instant in UTC with microseconds; a naive time is refused."""
    if value.tzinfo is None:
        raise ValueError("a timestamp needs a time zone")
    return value.astimezone(UTC)
