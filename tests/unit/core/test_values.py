"""Rules of the encoding of values that a table of vectors cannot show."""

import math
from datetime import UTC, datetime
from decimal import Decimal, localcontext

import pytest

from grit.core.keys import encode_key
from grit.core.values import Value, decimal_text, decode_record, decode_value, encode_record, encode_value, utc

LONG = Decimal("1234567890123456789012345678901234567890.125")


def test_the_decimal_context_of_a_thread_rounds_nothing() -> None:
    with localcontext(prec=3):
        assert decimal_text(LONG) == str(LONG)
        assert encode_key([LONG]) != encode_key([LONG + 1000])


@pytest.mark.parametrize("number", ["NaN", "sNaN", "Infinity", "-Infinity"])
def test_a_decimal_that_is_no_number_is_refused(number: str) -> None:
    with pytest.raises(ValueError, match="must be a number"):
        encode_value(Decimal(number))


def test_a_time_without_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="time zone"):
        encode_record({"at": datetime(2026, 1, 1)})  # noqa: DTZ001 - the naive time is the point
    with pytest.raises(ValueError, match="time zone"):
        utc(datetime(2026, 1, 1))  # noqa: DTZ001 - the naive time is the point


def test_nan_has_one_form() -> None:
    assert encode_value(-math.nan) == encode_value(math.nan)


def test_what_is_no_value_is_refused() -> None:
    with pytest.raises(TypeError, match="not a value: set"):
        encode_value({"a": {1, 2}})


@pytest.mark.parametrize("value", [None, float("inf"), [], {}, {"a": 1}, datetime(1970, 1, 1, tzinfo=UTC).date()])
def test_what_no_key_can_hold_is_refused(value: Value) -> None:
    with pytest.raises(ValueError, match="a key cannot hold"):
        encode_key([value])


@pytest.mark.parametrize("value", [2**63, -(2**63) - 1])
def test_an_int_beyond_64_bits_is_no_key(value: int) -> None:
    with pytest.raises(ValueError, match="beyond 64 bits"):
        encode_key([value])


@pytest.mark.parametrize(
    "data", [b"\xd4\x01a", b"\xc7\x03\x01NaN", b"\xd4\x02\x00", b"\xd4\x01\xff", b"\x91" * 100_000, b"\xc1", b""]
)
def test_malformed_values_are_value_errors(data: bytes) -> None:
    with pytest.raises(ValueError):
        decode_value(data)
    with pytest.raises(ValueError):
        decode_record(b"\x81\xa1a" + data)


@pytest.mark.parametrize("data", [b"\x01", b"\xc0", b"\x81\x01\x02"])
def test_a_value_that_is_no_map_of_names_is_no_record(data: bytes) -> None:
    with pytest.raises(ValueError):
        decode_record(data)
