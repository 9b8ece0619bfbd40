"""The one canonical encoding of keys: two spellings of one row are one key.

A key is a tuple of components; each is a tag byte and a payload. Integers, strings, bytes, booleans and
timestamps sort as their values do, and a tuple sorts component by component (the encoding of a prefix
is a prefix), which merges and limits rely on; decimals are canonical but do not sort.

    bool       01 | 00 or 01
    int        02 | 8 bytes big-endian, sign bit flipped
    decimal    03 | text of the normalised decimal, ends 00
    string     04 | UTF-8 of the NFC form, each 00 as 00 ff, ends 00 01
    bytes      05 | each 00 as 00 ff, ends 00 01
    timestamp  06 | microseconds since 1970 UTC as an int

Floats are never keys. Test vectors: docs/protocol/encoding.md.
"""

import unicodedata
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from grit.core.ids import Key
from grit.core.values import INT_MAX, INT_MIN, Value, decimal_text, parse_decimal

_BOOL, _INT, _DECIMAL, _STRING, _BYTES, _TIMESTAMP = range(1, 7)
_SIGN = 1 << 63
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def encode_key(components: Sequence[Value]) -> Key:
    """Return the canonical key.

    Raises:
        ValueError: A component is null, a float, a list or a map, or an int beyond 64 bits.
    """
    return Key(b"".join([_encode(component) for component in components]))


def decode_key(key: bytes) -> tuple[Value, ...]:
    """Return the components of a canonical key.

    Another spelling of a value is refused: taken for a key of its own it would be a second name of one row.

    Raises:
        ValueError: The bytes are not a canonical key.
    """
    components: list[Value] = []
    at = 0
    try:
        while at < len(key):
            component, at = _decode(key, at)
            components.append(component)
    except (ValueError, OverflowError) as error:
        raise ValueError(f"not a canonical key: {key.hex()}: {error}") from error
    return tuple(components)


def normalise_component(value: Value) -> Value:
    """Return the one spelling of a key component (strings in NFC, timestamps in UTC)."""
    if isinstance(value, str):
        return unicodedata.normalize("NFC", value)
    if isinstance(value, Decimal):
        return Decimal(decimal_text(value))
    if isinstance(value, datetime):
        return value.astimezone(UTC)
    return value


def micros(value: datetime) -> int:
    """Return microseconds since 1970 UTC."""
    return (value - _EPOCH) // timedelta(microseconds=1)


def from_micros(value: int) -> datetime:
    """Return the UTC time of so many microseconds since 1970."""
    return _EPOCH + timedelta(microseconds=value)


def _encode(value: Value) -> bytes:
    if isinstance(value, str):
        return b"\x04" + _escaped(unicodedata.normalize("NFC", value).encode())
    if isinstance(value, bool):
        return b"\x01\x01" if value else b"\x01\x00"
    if isinstance(value, int):
        return b"\x02" + _int64(value)
    if isinstance(value, bytes):
        return b"\x05" + _escaped(value)
    if isinstance(value, Decimal) and value.is_finite():
        return b"\x03" + decimal_text(value).encode("ascii") + b"\x00"
    if isinstance(value, datetime) and value.tzinfo is not None:
        return b"\x06" + _int64(micros(value))
    raise ValueError(f"a key cannot hold {'null' if value is None else type(value).__name__} ({value!r})")


def _int64(value: int) -> bytes:
    if not INT_MIN <= value <= INT_MAX:
        raise ValueError(f"a key cannot hold {value}: beyond 64 bits")
    return (value + _SIGN).to_bytes(8, "big")


def _escaped(data: bytes) -> bytes:
    return data.replace(b"\x00", b"\x00\xff") + b"\x00\x01"


def _decode(key: bytes, at: int) -> tuple[Value, int]:
    tag = key[at]
    at += 1
    if tag == _STRING:
        data, at = _unescaped(key, at)
        return _nfc(data.decode()), at
    if tag == _BYTES:
        return _unescaped(key, at)
    if tag == _DECIMAL:
        end = key.index(b"\x00", at)
        return parse_decimal(key[at:end]), end + 1
    if tag == _BOOL:
        return _truth(key[at : at + 1]), at + 1
    if tag in (_INT, _TIMESTAMP):
        number = _parse_int64(key[at : at + 8])
        return (number if tag == _INT else from_micros(number)), at + 8
    raise ValueError(f"unknown tag {tag}")


def _nfc(text: str) -> str:
    if not unicodedata.is_normalized("NFC", text):
        raise ValueError("a string is not in NFC")
    return text


def _truth(data: bytes) -> bool:
    if data not in (b"\x00", b"\x01"):
        raise ValueError("a bool is 00 or 01")
    return data == b"\x01"


def _parse_int64(data: bytes) -> int:
    if len(data) != 8:
        raise ValueError("it ends within a number")
    return int.from_bytes(data, "big") - _SIGN


def _unescaped(key: bytes, at: int) -> tuple[bytes, int]:
    out = bytearray()
    while True:
        zero = key.find(b"\x00", at)
        if zero < 0 or zero + 1 >= len(key):
            raise ValueError("a string has no end")
        out += key[at:zero]
        at = zero + 2
        if key[zero + 1] == 0x01:
            return bytes(out), at
        if key[zero + 1] != 0xFF:
            raise ValueError("a zero byte is not escaped")
        out.append(0)
