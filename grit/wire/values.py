"""Values, records, changes and keys, each typed or packed."""

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal, InvalidOperation
from typing import NoReturn

import msgspec

from grit.core.errors import GritError
from grit.core.fields import type_name
from grit.core.ids import Key
from grit.core.keys import decode_key, encode_key, from_micros, micros
from grit.core.values import INT_MAX, INT_MIN, Row, Value, decimal_text, decode_value, encode_record, encode_value
from grit.pb.v1 import sidecar_pb2 as pb

_DEPTH_MAX = 30
"""Parsers of protobuf stop at 100 messages inside each other; a map in a map takes three."""
_DECIMAL_TEXT_MAX = 400
_UNPACKABLE = (msgspec.DecodeError, ValueError, ArithmeticError, LookupError, TypeError, RecursionError)
"""What decoders of canonical bytes raise on bytes that are none."""


def encode_typed(value: Value) -> pb.Value:
    """Return a typed value; a time without zone, or what is no value, is our bug."""
    if value is None:
        return pb.Value(null_value=pb.NULL_VALUE_UNSPECIFIED)
    if isinstance(value, bool):
        return pb.Value(bool_value=value)
    if isinstance(value, int):
        return pb.Value(int_value=value)
    if isinstance(value, Decimal):
        return pb.Value(decimal_value=decimal_text(value))
    if isinstance(value, float):
        return pb.Value(double_value=value)
    if isinstance(value, str):
        return pb.Value(string_value=value)
    if isinstance(value, bytes):
        return pb.Value(bytes_value=value)
    if isinstance(value, datetime):
        return pb.Value(timestamp_micros=micros(value))
    if isinstance(value, Mapping):
        return pb.Value(map_value=pb.MapValue(entries={name: encode_typed(item) for name, item in value.items()}))
    assert isinstance(value, list | tuple), f"not a value: {value!r}"
    return pb.Value(list_value=pb.ListValue(items=[encode_typed(item) for item in value]))


def decode_typed(value: pb.Value, place: str, depth: int = 0) -> Value:
    """Return the value.

    Raises:
        GritError: BAD_REQUEST: it has no kind, is no decimal, no time, or nested too deep.
    """
    kind = value.WhichOneof("kind")
    if kind is None:
        refuse(place, "holds no value; null is null_value")
    if depth > _DEPTH_MAX:
        refuse(place, f"is nested deeper than {_DEPTH_MAX}")
    if kind == "null_value":
        return None
    if kind == "decimal_value":
        return _decode_decimal(value.decimal_value, place)
    if kind == "timestamp_micros":
        return _decode_timestamp(value.timestamp_micros, place)
    if kind == "list_value":
        items = enumerate(value.list_value.items)
        return [decode_typed(item, f"{place}[{at}]", depth + 1) for at, item in items]
    if kind == "map_value":
        entries = value.map_value.entries.items()
        return {name: decode_typed(item, f"{place}.{name}", depth + 1) for name, item in entries}
    return getattr(value, kind)


def encode_row(row: Row, *, packed: bool) -> pb.Record:
    """Return a record; nulls are left out."""
    if packed:
        return pb.Record(packed=encode_record(row))
    return pb.Record(typed=pb.Row(fields={name: encode_typed(item) for name, item in row.items() if item is not None}))


def decode_row(record: pb.Record, place: str) -> dict[str, Value]:
    """Return a record without its nulls.

    Raises:
        GritError: BAD_REQUEST.
    """
    form = record.WhichOneof("form")
    if form is None:
        refuse(place, "is missing")
    row = _unpacked_map(record.packed, place) if form == "packed" else _typed_map(record.typed, place)
    return {name: value for name, value in row.items() if value is not None}


def encode_changes(changes: Row, *, packed: bool) -> pb.Changes:
    """Return the changes of a patch, nulls kept."""
    if packed:
        return pb.Changes(packed=encode_value(dict(changes)))
    return pb.Changes(typed=pb.Row(fields={name: encode_typed(item) for name, item in changes.items()}))


def decode_changes(changes: pb.Changes, place: str) -> dict[str, Value]:
    """Return the changes of a patch, nulls kept.

    Raises:
        GritError: BAD_REQUEST.
    """
    form = changes.WhichOneof("form")
    if form is None:
        refuse(place, "is missing")
    return _unpacked_map(changes.packed, place) if form == "packed" else _typed_map(changes.typed, place)


def encode_components(key: Key, *, packed: bool) -> pb.Key:
    """Return a key."""
    if packed:
        return pb.Key(packed=key)
    return pb.Key(typed=pb.KeyComponents(components=[encode_typed(component) for component in decode_key(key)]))


def decode_components(key: pb.Key, place: str) -> Key:
    """Return a canonical key; packed bytes are read and written again, so that one key has one spelling.

    Raises:
        GritError: BAD_REQUEST.
    """
    form = key.WhichOneof("form")
    if form is None:
        refuse(place, "is missing")
    if form == "typed":
        typed = enumerate(key.typed.components)
        components = tuple(decode_typed(component, f"{place}.typed[{at}]") for at, component in typed)
    else:
        try:
            components = decode_key(key.packed)
        except _UNPACKABLE as error:
            raise GritError.bad_request(f"{place}.packed is not a canonical key: {key.packed[:32].hex()}") from error
    if not components:
        refuse(place, "has no components")
    try:
        return encode_key(components)
    except (ValueError, ArithmeticError) as error:
        raise GritError.bad_request(f"{place}: {error}") from error


def unpack(packed: bytes, place: str) -> Value:
    """Return the value of canonical bytes, sound at every depth.

    Raises:
        GritError: BAD_REQUEST.
    """
    try:
        value = decode_value(packed)
    except _UNPACKABLE as error:
        raise GritError.bad_request(f"{place}.packed is not an encoded value: {error}") from error
    return _sound(value, place, 0)


def _unpacked_map(packed: bytes, place: str) -> dict[str, Value]:
    value = unpack(packed, place)
    if not isinstance(value, dict):
        refuse(f"{place}.packed", f"must be a map, not {type_name(value)}")
    return value


def _typed_map(row: pb.Row, place: str) -> dict[str, Value]:
    return {name: decode_typed(item, f"{place}.{name}") for name, item in row.fields.items()}


def _sound(value: Value, place: str, depth: int) -> Value:
    """Refuse what msgpack can carry and a value cannot be: other map keys, ints beyond 64 bits, naive times."""
    if isinstance(value, dict):
        _refuse_depth(depth, place)
        for name, item in value.items():
            if not isinstance(name, str):
                refuse(place, f"has a field whose name is {type_name(name)}, not string")
            _sound(item, f"{place}.{name}", depth + 1)
    elif isinstance(value, list):
        _refuse_depth(depth, place)
        for at, item in enumerate(value):
            _sound(item, f"{place}[{at}]", depth + 1)
    elif isinstance(value, int) and not INT_MIN <= value <= INT_MAX:
        refuse(place, "is beyond 64 bits")
    elif isinstance(value, datetime) and value.tzinfo is None:
        refuse(place, "is a time without zone")
    elif isinstance(value, Decimal) and not value.is_finite():
        refuse(place, f"must be a number, not {value}")
    return value


def _decode_decimal(text: str, place: str) -> Decimal:
    # No exponent: "1E+999999999" would be a gigabyte of zeros.
    if len(text) > _DECIMAL_TEXT_MAX or not text.isascii() or not set(text) <= set("0123456789.-+"):
        refuse(place, f"is not a decimal: {text[:40]!r}")
    try:
        return Decimal(text)
    except InvalidOperation as error:
        raise GritError.bad_request(f"{place} is not a decimal: {text[:40]!r}") from error


def _decode_timestamp(value: int, place: str) -> datetime:
    try:
        return from_micros(value)
    except OverflowError as error:
        raise GritError.bad_request(f"{place}: no such time: {value} microseconds since 1970") from error


def _refuse_depth(depth: int, place: str) -> None:
    if depth > _DEPTH_MAX:
        refuse(place, f"is nested deeper than {_DEPTH_MAX}")


def refuse(place: str, message: str) -> NoReturn:
    """Refuse what stands at a place of a request.

    Raises:
        GritError: BAD_REQUEST, always.
    """
    raise GritError.bad_request(f"{place} {message}")
