"""What is sent is what arrives, in both forms; what is malformed is refused by the path of its field."""

import string
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from grit.core.errors import Code, GritError
from grit.core.ids import Collection, Key, Realm
from grit.core.keys import encode_key
from grit.core.operations import (
    Condition,
    Count,
    Delete,
    Direction,
    Find,
    Get,
    GetMany,
    Increment,
    Insert,
    Link,
    Neighbours,
    Nothing,
    NumberResult,
    Operation,
    Patch,
    Put,
    Result,
    RowResult,
    RowsResult,
    Sum,
    Unlink,
)
from grit.core.predicate import And, Compare, Contains, Expr, In, IsNull, Not, Or, Prefix, Where, encode_expr
from grit.core.queries import OrderBy
from grit.core.values import INT_MAX, INT_MIN, Value
from grit.pb.v1 import sidecar_pb2 as pb
from grit.wire.operations import decode_operation, decode_result, encode_operation, encode_result
from grit.wire.predicates import decode_where, encode_where
from grit.wire.requests import decode_condition, encode_condition
from grit.wire.values import (
    decode_changes,
    decode_components,
    decode_row,
    decode_typed,
    encode_changes,
    encode_components,
    encode_row,
    encode_typed,
)

NAMES = st.text(string.ascii_lowercase + "é_", min_size=1, max_size=6)
TIMES = st.datetimes(timezones=st.just(UTC))
DECIMALS = st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**20), max_value=10**20)
TEXTS = st.text(st.characters(codec="utf-8"), max_size=12)
INTS = st.integers(INT_MIN, INT_MAX)
KEY_PARTS = st.one_of(st.booleans(), INTS, DECIMALS, TEXTS, st.binary(max_size=8), TIMES)
SCALARS = st.one_of(KEY_PARTS, st.floats(allow_nan=False))
VALUES: st.SearchStrategy[Value] = st.recursive(
    st.none() | SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=6,
)
ROWS = st.dictionaries(NAMES, VALUES.filter(lambda value: value is not None), max_size=4)
CHANGES = st.dictionaries(NAMES, VALUES, min_size=1, max_size=4)
KEYS = st.lists(KEY_PARTS, min_size=1, max_size=3).map(encode_key)
LEAVES = st.one_of(
    st.builds(Compare, NAMES, st.sampled_from(["=", "!=", "<", "<=", ">", ">="]), SCALARS),
    st.builds(In, NAMES, st.lists(SCALARS, max_size=3).map(tuple)),
    st.builds(Prefix, NAMES, TEXTS),
    st.builds(IsNull, NAMES),
    st.builds(Contains, NAMES, SCALARS),
)
EXPRS: st.SearchStrategy[Expr] = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.builds(And, st.lists(inner, max_size=3).map(tuple)),
        st.builds(Or, st.lists(inner, max_size=3).map(tuple)),
        st.builds(Not, inner),
    ),
    max_leaves=6,
)
WHERES = st.just(b"") | EXPRS.map(encode_expr)
FIELDS = st.none() | st.lists(NAMES, min_size=1, max_size=3).map(tuple)
PLACE = (Realm("shop"), Collection("things"))


def at(kind: type[Operation], *parts: st.SearchStrategy[object]) -> st.SearchStrategy[Operation]:
    return st.tuples(*parts).map(lambda values: kind(*PLACE, *values))


OPERATIONS = st.one_of(
    at(Get, KEYS, FIELDS),
    at(GetMany, st.lists(KEYS, max_size=3).map(tuple), FIELDS),
    at(
        Find,
        WHERES,
        st.lists(st.builds(OrderBy, NAMES, st.booleans()), max_size=2).map(tuple),
        st.none() | st.integers(1, 2**32 - 1),
        FIELDS,
    ),
    at(Count, WHERES),
    at(Sum, NAMES, WHERES),
    at(Insert, ROWS),
    at(Put, ROWS),
    at(Patch, KEYS, CHANGES),
    at(Delete, KEYS, st.booleans()),
    at(Increment, KEYS, NAMES, INTS),
    at(Link, KEYS, KEYS, ROWS),
    at(Unlink, KEYS, KEYS),
    at(Neighbours, KEYS, NAMES.map(Collection), st.sampled_from(Direction)),
)
RESULTS: st.SearchStrategy[Result] = st.one_of(
    st.just(Nothing()),
    st.builds(RowResult, st.none() | ROWS),
    st.builds(RowsResult, st.lists(st.none() | ROWS, max_size=3).map(tuple)),
    st.builds(NumberResult, INTS | DECIMALS | st.floats(allow_nan=False)),
)
CONDITIONS = st.one_of(
    st.builds(Condition, st.just(PLACE[0]), st.just(PLACE[1]), KEYS, st.booleans()),
    st.builds(Condition, st.just(PLACE[0]), st.just(PLACE[1]), KEYS, st.just(True), WHERES),
)
PACKED = pytest.mark.parametrize("packed", [True, False], ids=["packed", "typed"])


@given(VALUES)
def test_a_value_arrives_as_it_was_sent(value: Value) -> None:
    assert decode_typed(encode_typed(value), "value") == value


@PACKED
@given(row=ROWS)
def test_a_record_arrives_as_it_was_sent(packed: bool, row: dict[str, Value]) -> None:
    assert decode_row(encode_row(row, packed=packed), "record") == row


@PACKED
@given(changes=CHANGES)
def test_the_nulls_of_a_patch_arrive(packed: bool, changes: dict[str, Value]) -> None:
    assert decode_changes(encode_changes(changes, packed=packed), "changes") == changes


@PACKED
@given(key=KEYS)
def test_a_key_arrives_in_its_one_spelling(packed: bool, key: Key) -> None:
    assert decode_components(encode_components(key, packed=packed), "key") == key


@PACKED
@given(where=WHERES)
def test_a_predicate_arrives_as_it_was_sent(packed: bool, where: bytes) -> None:
    assert decode_where(encode_where(Where(where), packed=packed), "where") == where


@PACKED
@given(operation=OPERATIONS)
def test_an_operation_arrives_as_it_was_sent(packed: bool, operation: Operation) -> None:
    sent = encode_operation(operation, packed=packed).SerializeToString()
    assert decode_operation(pb.Operation.FromString(sent), "operation") == operation


@PACKED
@given(result=RESULTS)
def test_a_result_arrives_as_it_was_sent(packed: bool, result: Result) -> None:
    sent = encode_result(result, packed=packed).SerializeToString()
    assert decode_result(pb.Result.FromString(sent), "result") == result


@PACKED
@given(condition=CONDITIONS)
def test_a_condition_arrives_as_it_was_sent(packed: bool, condition: Condition) -> None:
    sent = encode_condition(condition, packed=packed).SerializeToString()
    assert decode_condition(pb.Condition.FromString(sent), "condition") == condition


@given(st.binary(max_size=40))
def test_packed_bytes_are_understood_or_refused_and_nothing_else(data: bytes) -> None:
    for decode in (
        lambda: decode_row(pb.Record(packed=data), "record"),
        lambda: decode_changes(pb.Changes(packed=data), "changes"),
        lambda: decode_components(pb.Key(packed=data), "key"),
        lambda: decode_where(pb.Where(packed=data), "where"),
    ):
        assert refusal_of(decode) in (None, Code.BAD_REQUEST)


def refusal_of(decode: Callable[[], object]) -> Code | None:
    try:
        decode()
    except GritError as error:
        return error.code
    return None


KEY = pb.Key(packed=encode_key(["k"]))


def nested(depth: int) -> pb.Value:
    value = pb.Value(int_value=1)
    for _ in range(depth):
        value = pb.Value(list_value=pb.ListValue(items=[value]))
    return value


def expression(depth: int) -> pb.Expression:
    expr = pb.Expression(is_null=pb.IsNull(field="f"))
    for _ in range(depth):
        expr = pb.Expression(negation=expr)
    return expr


def typed(value: pb.Value) -> pb.Operation:
    return pb.Operation(insert=pb.Insert(collection="r.c", record=pb.Record(typed=pb.Row(fields={"f": value}))))


def sifted(expr: pb.Expression) -> pb.Operation:
    return pb.Operation(count=pb.Count(collection="r.c", where=pb.Where(typed=expr)))


@pytest.mark.parametrize(
    ("operation", "message"),
    [
        (pb.Operation(get=pb.Get(collection="orders", key=KEY)), 'op.get.collection must be "realm.collection"'),
        (pb.Operation(get=pb.Get(collection="r.c")), "op.get.key is missing"),
        (
            pb.Operation(get=pb.Get(collection="r.c", key=pb.Key(packed=b"\x09"))),
            "op.get.key.packed is not a canonical key",
        ),
        (pb.Operation(get=pb.Get(collection="r.c", key=pb.Key(packed=b""))), "op.get.key has no components"),
        (
            pb.Operation(
                get=pb.Get(collection="r.c", key=pb.Key(typed=pb.KeyComponents(components=[encode_typed(1.5)])))
            ),
            "op.get.key: a key cannot hold float",
        ),
        (pb.Operation(insert=pb.Insert(collection="r.c")), "op.insert.record is missing"),
        (
            pb.Operation(insert=pb.Insert(collection="r.c", record=pb.Record(packed=b"\x93\x01"))),
            "op.insert.record.packed",
        ),
        (pb.Operation(insert=pb.Insert(collection="r.c", record=pb.Record(packed=b"\x01"))), "must be a map, not int"),
        (
            pb.Operation(insert=pb.Insert(collection="r.c", record=pb.Record(packed=b"\x81\x01\x01"))),
            "op.insert.record",
        ),
        (
            pb.Operation(insert=pb.Insert(collection="r.c", record=pb.Record(packed=b"\x81\xa1f\xcf" + b"\xff" * 8))),
            "op.insert.record.f is beyond 64 bits",
        ),
        (pb.Operation(patch=pb.Patch(collection="r.c", key=KEY)), "op.patch.changes is missing"),
        (typed(pb.Value()), "op.insert.record.f holds no value; null is null_value"),
        (typed(pb.Value(decimal_value="1e9")), "op.insert.record.f is not a decimal: '1e9'"),
        (typed(pb.Value(decimal_value="1.2.3")), "op.insert.record.f is not a decimal"),
        (typed(pb.Value(decimal_value="")), "op.insert.record.f is not a decimal"),
        (typed(pb.Value(timestamp_micros=INT_MAX)), "op.insert.record.f: no such time"),
        (typed(nested(31)), "is nested deeper than 30"),
        (sifted(pb.Expression()), "op.count.where.typed holds no expression"),
        (sifted(expression(33)), "is nested deeper than 32"),
        (
            sifted(pb.Expression(comparison=pb.Comparison(field="f", value=encode_typed(1)))),
            "op.count.where.typed.comparison.comparator is missing or unknown",
        ),
        (
            sifted(pb.Expression(membership=pb.Membership(field="f", values=[pb.Value()]))),
            "op.count.where.typed.membership.values[0] holds no value",
        ),
        (
            pb.Operation(count=pb.Count(collection="r.c", where=pb.Where())),
            "op.count.where is empty: leave it out for every record",
        ),
        (pb.Operation(count=pb.Count(collection="r.c", where=pb.Where(packed=b"\x01"))), "op.count.where.packed"),
        (
            pb.Operation(neighbours=pb.Neighbours(collection="r.c", key=KEY, relationship="s.R")),
            "op.neighbours.relationship must be of realm r, as the node is, not s",
        ),
    ],
)
def test_a_malformed_operation_is_refused_by_the_path_of_its_field(operation: pb.Operation, message: str) -> None:
    with pytest.raises(GritError) as raised:
        decode_operation(operation, "op")
    assert raised.value.code == Code.BAD_REQUEST
    assert message in raised.value.message


def test_an_operation_of_a_newer_client_is_unsupported() -> None:
    with pytest.raises(GritError, match="op holds no operation") as raised:
        decode_operation(pb.Operation.FromString(b"\xfa\x01\x00"), "op")
    assert raised.value.code == Code.UNSUPPORTED


def test_a_direction_that_is_left_out_is_out() -> None:
    message = pb.Operation(neighbours=pb.Neighbours(collection="r.c", key=KEY, relationship="r.R"))
    operation = decode_operation(message, "op")
    assert isinstance(operation, Neighbours)
    assert operation.direction == Direction.OUT


def test_typed_key_strings_become_nfc() -> None:
    decomposed, composed = "e\u0301", "\u00e9"
    key = pb.Key(typed=pb.KeyComponents(components=[encode_typed(decomposed)]))
    assert decode_components(key, "key") == encode_key([composed])


def test_a_typed_and_a_packed_decimal_are_one_record() -> None:
    typed_row = decode_row(encode_row({"d": Decimal("1.50")}, packed=False), "r")
    assert typed_row == decode_row(encode_row({"d": Decimal("1.5")}, packed=True), "r")


def test_a_time_keeps_its_microsecond() -> None:
    at = datetime(2024, 2, 29, 23, 59, 59, 999_999, tzinfo=UTC)
    assert decode_typed(encode_typed(at), "t") == at


def test_the_deepest_value_fits_into_the_deepest_frame() -> None:
    """Parsers of protobuf stop at 100 messages inside each other, in every language."""
    value: Value = 1
    for _ in range(30):
        value = {"m": value}
    operation = encode_operation(Insert(*PLACE, {"f": value}), packed=False)
    begin = pb.BeginRequest()
    frame = pb.ClientFrame(id=1, transact=pb.TransactRequest(begin=begin, operations=[operation]))
    parsed = pb.ClientFrame.FromString(frame.SerializeToString())
    assert decode_operation(parsed.transact.operations[0], "op") == Insert(*PLACE, {"f": value})
