"""Keys of every kind: found again, and in the order of their canonical bytes, whatever the columns sort by."""

import asyncio
from collections.abc import Iterator
from datetime import UTC
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from grit.core.catalog import CollectionDef, FieldKind, FieldType, RealmDef, Shape
from grit.core.ids import Collection, Epoch, Lsn, Offset, Realm
from grit.core.keys import encode_key, normalise_component
from grit.core.predicate import EVERYTHING
from grit.core.queries import Cursor, FindRows, GetRows, OrderBy, Query, RowWrite
from grit.core.values import INT_MAX, INT_MIN, Value
from grit.store.memory import MemoryStore
from grit.store.open import open_reader, open_writer
from grit.store.port import StoreReader, StoreWriter

ints = st.integers(-3, 3) | st.sampled_from([INT_MIN, INT_MAX])
KEYS: dict[FieldKind, st.SearchStrategy[Value]] = {
    FieldKind.BOOL: st.booleans(),
    FieldKind.INT: ints,
    FieldKind.DECIMAL: st.decimals(allow_nan=False, allow_infinity=False, places=2, min_value=-200, max_value=200),
    FieldKind.STRING: st.text(alphabet="aAb\x00é😀\uffff ", max_size=4),
    FieldKind.BYTES: st.binary(max_size=3),
    FieldKind.TIMESTAMP: st.datetimes(timezones=st.just(UTC)),
}


def definition(kind: FieldKind) -> CollectionDef:
    fields = {"id": FieldType(kind), "part": FieldType(FieldKind.INT), "n": FieldType(FieldKind.INT)}
    return CollectionDef(Collection(f"by {kind}"), Shape.TABLE, ("id", "part"), fields)


class Stores:
    """A relational database and its model; every example adds to both."""

    def __init__(self, folder: Path) -> None:
        collections = {made.name: made for made in map(definition, KEYS)}
        realm = RealmDef(Realm("r"), "sqlite", str(folder / "store.db"), collections)
        self.runner, self.model, self.cursor = (
            asyncio.Runner(),
            MemoryStore(realm),
            Cursor("", Offset(0), Epoch(0), Lsn(0)),
        )
        self.writer: StoreWriter = open_writer(realm, {})
        self.reader: StoreReader = open_reader(realm, {})
        self.runner.run(self.writer.prepare())
        self.runner.run(self.writer.apply(None, [], self.cursor))
        self.model.apply_now(None, [], self.cursor)

    def apply(self, writes: list[RowWrite]) -> None:
        reached = Cursor("", Offset(0), Epoch(0), Lsn(self.cursor.lsn + 1))
        assert self.model.apply_now(self.cursor, writes, reached)
        assert self.runner.run(self.writer.apply(self.cursor, writes, reached))
        self.cursor = reached

    def close(self) -> None:
        self.runner.run(self.writer.close())
        self.runner.run(self.reader.close())
        self.runner.close()


@pytest.fixture(scope="module")
def stores(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stores]:
    made = Stores(tmp_path_factory.mktemp("keys"))
    yield made
    made.close()


@settings(max_examples=150)
@given(data=st.data())
def test_a_key_of_any_kind_is_found_and_sorted_as_its_canonical_bytes(stores: Stores, data: st.DataObject) -> None:
    kind = data.draw(st.sampled_from(sorted(KEYS)), "kind")
    pairs = data.draw(st.lists(st.tuples(KEYS[kind], ints), min_size=1, max_size=6, unique_by=encode_key), "keys")
    name = definition(kind).name
    writes = []
    for at, (one, two) in enumerate(pairs):
        row = {"id": normalise_component(one), "part": two, "n": at % 2}
        writes.append(RowWrite(name, encode_key([one, two]), None if data.draw(st.booleans(), "gone") else row))
    stores.apply(writes)
    get = GetRows(name, tuple(write.key for write in writes))
    queries: list[Query] = [
        get,
        FindRows(name, EVERYTHING),
        FindRows(name, EVERYTHING, (OrderBy("n", descending=True),), 3),
    ]
    found = stores.runner.run(stores.reader.read(queries))
    assert found == stores.model.read_now(queries)
