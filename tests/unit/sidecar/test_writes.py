"""The fold of the write buffer against a naive model that does one operation after the other."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from grit.core.catalog import Bound
from grit.core.errors import Code, GritError
from grit.core.ids import Realm
from grit.core.operations import Delete, Get, GetMany, Increment, Insert, Patch, Put, RowResult, RowsResult
from grit.core.parts import Act, Expect, Write, after_image, encode_changes
from grit.core.values import Row
from grit.sidecar.writes import WriteBuffer, write_of
from tests.unit.sidecar.deployment import MemoryDeployment
from tests.unit.sidecar.home import Home
from tests.unit.sidecar.shop import CATALOGUE, ITEMS, STOCK, item, key

Change = Insert | Put | Patch | Delete | Increment
RECORDS = (1, 2)

_values = st.one_of(st.none(), st.integers(0, 9))
_rows = st.fixed_dictionaries({}, optional={"price": st.integers(0, 9), "on_hand": st.integers(0, 9)})
_changes = st.dictionaries(st.sampled_from(["price", "on_hand"]), _values, min_size=1)


def _operations() -> st.SearchStrategy[list[Change]]:
    number = st.sampled_from(RECORDS)
    one: st.SearchStrategy[Change] = st.one_of(
        st.builds(lambda n, row: Insert(STOCK, ITEMS, item(n, **row), key(n)), number, _rows),
        st.builds(lambda n, row: Put(STOCK, ITEMS, item(n, **row), key(n)), number, _rows),
        st.builds(lambda n, changes: Patch(STOCK, ITEMS, key(n), changes), number, _changes),
        st.builds(lambda n: Delete(STOCK, ITEMS, key(n)), number),
        st.builds(lambda n, delta: Increment(STOCK, ITEMS, key(n), "price", delta), number, st.integers(-3, 3)),
    )
    return st.lists(one, max_size=8)


def _apply_naively(rows: dict[bytes, Row], operation: Change) -> Code | None:
    """Do one operation to the rows; return why not."""
    there = operation.key in rows
    if isinstance(operation, Insert) and there:
        return Code.ALREADY_EXISTS
    if isinstance(operation, Patch | Delete | Increment) and not there:
        return Code.NOT_FOUND
    after = after_image(write_of(operation), rows.get(operation.key))
    if after is None:
        del rows[operation.key]
    else:
        rows[operation.key] = after
    return None


def _failure(home: Home, operation: Change) -> Code | None:
    try:
        home.commit(operation)
    except GritError as error:
        return error.code
    return None


@given(stored=st.sets(st.sampled_from(RECORDS)), operations=_operations())
def test_reads_and_commits_are_as_if_every_write_had_been_done_at_once(
    stored: set[int], operations: list[Change]
) -> None:
    realms = MemoryDeployment(CATALOGUE)
    rows: dict[bytes, Row] = {key(n): item(n, price=n, on_hand=7) for n in stored}
    realms["stock"].load("items", {key(n): item(n, price=n, on_hand=7) for n in stored})
    home = Home(realms)
    for operation in operations:
        wrong = _apply_naively(rows, operation)
        if wrong is not None:
            assert _failure(home, operation) == wrong
            return
        results = home.run(operation, Get(STOCK, ITEMS, operation.key)).results
        assert results[1] == RowResult(rows.get(operation.key))
    everything = home.run(GetMany(STOCK, ITEMS, tuple(key(n) for n in RECORDS))).results[0]
    assert everything == RowsResult(tuple(rows.get(key(n)) for n in RECORDS))
    home.commit()
    assert realms["stock"].rows("items") == rows


@given(operations=_operations(), stored=st.booleans())
def test_one_folded_write_does_what_all_did(operations: list[Change], stored: bool) -> None:
    rows: dict[bytes, Row] = {key(n): item(n, price=n) for n in RECORDS if stored}
    before = dict(rows)
    buffer = WriteBuffer(Realm("stock"), {})
    for operation in operations:
        if _apply_naively(rows, operation) is None:
            buffer.add("", write_of(operation))
    for write in buffer.writes():
        assert after_image(write, before.get(write.key)) == rows.get(write.key)
        assert write.expect != Expect.ABSENT or write.key not in before
        assert write.expect != Expect.PRESENT or write.key in before


def _buffer(*writes: Write) -> WriteBuffer:
    buffer = WriteBuffer(Realm("stock"), {ITEMS: {"on_hand": Bound(min=0, max=10)}})
    for write in writes:
        buffer.add("", write)
    return buffer


def _increment(delta: int) -> Write:
    return write_of(Increment(STOCK, ITEMS, key(1), "on_hand", delta))


def _patch(**changes: object) -> Write:
    return write_of(Patch(STOCK, ITEMS, key(1), changes))


def test_increments_add_up() -> None:
    assert _buffer(_increment(2), _increment(-5)).writes()[0].deltas == (("on_hand", -3),)


def test_an_increment_of_a_patched_field_adds_to_its_value() -> None:
    assert _buffer(_patch(on_hand=4), _increment(2)).writes()[0].fields == encode_changes({"on_hand": 6})


def test_a_patch_of_an_incremented_field_takes_its_place() -> None:
    write = _buffer(_increment(2), _patch(on_hand=4)).writes()[0]
    assert (write.fields, write.deltas) == (encode_changes({"on_hand": 4}), ())


@pytest.mark.parametrize(("value", "delta"), [(4, -5), (4, 7)])
def test_a_value_known_from_the_buffer_keeps_its_bounds(value: int, delta: int) -> None:
    with pytest.raises(GritError) as caught:
        _buffer(_patch(on_hand=value), _increment(delta))
    assert caught.value.code == Code.BOUND_VIOLATION


def test_increments_beyond_64_bits_are_refused() -> None:
    with pytest.raises(GritError) as caught:
        _buffer(_increment(2**63 - 1), _increment(1))
    assert caught.value.code == Code.BOUND_VIOLATION


@pytest.mark.parametrize(
    ("second", "code"),
    [(Insert(STOCK, ITEMS, item(1), key(1)), Code.ALREADY_EXISTS), (Delete(STOCK, ITEMS, key(1)), None)],
)
def test_what_was_put_is_known_to_be_there(second: Change, code: Code | None) -> None:
    put = write_of(Put(STOCK, ITEMS, item(1), key(1)))
    if code is None:
        write = _buffer(put, write_of(second)).writes()[0]
        assert (write.expect, write.act) == (Expect.ANYTHING, Act.DELETE)
    else:
        with pytest.raises(GritError) as caught:
            _buffer(put, write_of(second))
        assert caught.value.code == code


def test_a_refused_write_leaves_the_buffer_as_it_was() -> None:
    buffer = _buffer(_patch(on_hand=4))
    before = buffer.writes(), buffer.bytes, len(buffer)
    with pytest.raises(GritError):
        buffer.add("", _increment(-5))
    assert (buffer.writes(), buffer.bytes, len(buffer)) == before


def test_what_one_call_does_to_a_record_is_kept_as_one_step() -> None:
    buffer = _buffer(*(_increment(1) for _ in range(100)))
    assert len(buffer._steps) == 1


@given(operations=_operations(), calls=st.lists(st.sampled_from(["", "a"]), min_size=8, max_size=8))
def test_dropping_a_call_leaves_what_the_others_did_alone(operations: list[Change], calls: list[str]) -> None:
    buffer, alone = WriteBuffer(Realm("stock"), {}), WriteBuffer(Realm("stock"), {})
    for call, operation in zip(calls, operations, strict=False):
        with contextlib.suppress(GritError):
            buffer.add(call, write_of(operation))
            if call != "a":
                alone.add(call, write_of(operation))
    try:
        buffer.drop(["a"])
    except GritError:
        return  # what is left makes no sense without it
    assert (buffer.writes(), buffer.bytes, len(buffer)) == (alone.writes(), alone.bytes, len(alone))
