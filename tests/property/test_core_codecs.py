"""Keys and records: one encoding each, that keeps every value, and nothing else is accepted."""

import unicodedata
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from grit.core.keys import decode_key, encode_key, normalise_component
from grit.core.values import INT_MAX, INT_MIN, Value, decode_record, decode_value, encode_record, encode_value

INTS = st.integers(INT_MIN, INT_MAX)
TEXTS = st.text(st.characters(codec="utf-8"), max_size=8)
NFC_TEXTS = TEXTS.map(lambda text: unicodedata.normalize("NFC", text))
BLOBS = st.binary(max_size=8) | st.lists(st.sampled_from([b"\0", b"\1", b"\xff", b"a"]), max_size=5).map(b"".join)
DECIMALS = st.decimals(allow_nan=False, allow_infinity=False, places=3) | st.builds(
    lambda digits, exponent: Decimal(digits).scaleb(exponent), st.integers(-(10**25), 10**25), st.integers(-40, 40)
)
TIMES = st.datetimes(min_value=datetime(2, 1, 1), max_value=datetime(9998, 12, 31), timezones=st.just(UTC))  # noqa: DTZ001 - hypothesis adds the zone
ZONES = st.integers(-14, 14).map(lambda hours: timezone(timedelta(hours=hours)))
COMPONENTS = st.booleans() | INTS | DECIMALS | TEXTS | BLOBS | TIMES
KEYS = st.lists(COMPONENTS, max_size=3).map(tuple)
SORTED_TYPES = st.sampled_from([st.booleans(), INTS, NFC_TEXTS, BLOBS, TIMES])

SCALARS = st.none() | COMPONENTS | st.floats(allow_nan=False)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3), max_leaves=8
)
RECORDS = st.dictionaries(TEXTS, VALUES, max_size=4)


def typed(value: Value) -> Value:
    """Return the value with the types that `==` blurs (1, 1.0, True, Decimal(1)) spelt out."""
    if isinstance(value, list):
        return [typed(item) for item in value]
    if isinstance(value, dict):
        return {name: typed(item) for name, item in value.items()}
    return type(value).__name__, value


def normal(components: tuple[Value, ...]) -> list[Value]:
    return [typed(normalise_component(component)) for component in components]


@given(KEYS)
def test_a_key_gives_back_its_components(components: tuple[Value, ...]) -> None:
    assert normal(decode_key(encode_key(components))) == normal(components)


@given(KEYS, KEYS)
def test_two_keys_are_one_only_when_their_components_are(left: tuple[Value, ...], right: tuple[Value, ...]) -> None:
    assert (encode_key(left) == encode_key(right)) == (normal(left) == normal(right))


@given(KEYS, KEYS)
def test_the_encoding_of_a_tuple_is_that_of_its_components(left: tuple[Value, ...], right: tuple[Value, ...]) -> None:
    assert encode_key(left + right) == encode_key(left) + encode_key(right)


@given(st.data())
def test_keys_sort_as_their_values_do(data: st.DataObject) -> None:
    kinds = data.draw(st.lists(SORTED_TYPES, min_size=1, max_size=3))
    left, right = data.draw(st.tuples(*kinds)), data.draw(st.tuples(*kinds))
    assert (encode_key(left) < encode_key(right)) == (left < right)


@given(TEXTS)
def test_every_normal_form_of_a_string_is_one_key(text: str) -> None:
    # Only canonical equivalence: NFC(NFD(x)) is NFC(x).
    assert encode_key([unicodedata.normalize("NFD", text)]) == encode_key([text])


@given(TIMES, ZONES)
def test_an_instant_is_one_key_in_every_zone(time: datetime, zone: timezone) -> None:
    assert encode_key([time.astimezone(zone)]) == encode_key([time])


@given(st.binary(max_size=24) | KEYS.map(encode_key).flatmap(lambda key: st.builds(key.__add__, st.binary(max_size=3))))
def test_bytes_are_a_canonical_key_or_refused(data: bytes) -> None:
    try:
        components = decode_key(data)
    except ValueError:
        return
    assert encode_key(components) == data


@given(VALUES)
def test_a_value_comes_back(value: Value) -> None:
    assert typed(decode_value(encode_value(value))) == typed(value)


@given(RECORDS)
def test_a_record_comes_back_without_its_nulls(row: dict[str, Value]) -> None:
    assert typed(decode_record(encode_record(row))) == typed({f: v for f, v in row.items() if v is not None})


@given(RECORDS)
def test_the_order_of_fields_does_not_show(row: dict[str, Value]) -> None:
    backwards = dict(reversed(row.items()))
    assert encode_record(row) == encode_record(backwards)
    assert list(decode_record(encode_record(row))) == sorted(f for f, v in row.items() if v is not None)


@given(RECORDS, TEXTS)
def test_a_null_field_is_a_missing_one(row: dict[str, Value], name: str) -> None:
    assert encode_record({**row, name: None}) == encode_record({f: v for f, v in row.items() if f != name})


@given(
    st.binary(max_size=24) | RECORDS.map(encode_record).flatmap(lambda r: st.integers(0, len(r)).map(lambda n: r[:n]))
)
def test_malformed_bytes_are_value_errors(data: bytes) -> None:
    for decode in (decode_value, decode_record):
        try:
            decode(data)
        except ValueError:
            continue
