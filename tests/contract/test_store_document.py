"""The store contract on the embedded document store."""

from collections.abc import Iterable
from pathlib import Path

import pytest

from grit.core.catalog import FieldKind, RealmDef, Shape
from grit.core.errors import StoreRefused
from grit.core.predicate import Compare, Contains, IsNull, Not
from grit.store.embedded.document import document_layouts
from grit.store.sql.layout import Layout
from tests.contract.store_contract import Database, box, cursor, ids, maybe
from tests.contract.store_file_contract import FileStoreContract


class TestDocumentStore(FileStoreContract):
    """Whole records, with columns beside."""

    engine = "document"
    shape = Shape.DOCUMENT
    box_table = "document:box"
    code_column = "string:code"

    def layouts(self, realm: RealmDef) -> Iterable[Layout]:
        return document_layouts(realm).values()

    async def test_undeclared_fields_are_kept_and_found(self, database: Database, tmp_path: Path) -> None:
        writer, reader = await database.writer(), await database.reader()
        writes = [box(1, tags=["a", 1], size={"x": [1.5]}), box(2, tags="ab"), box(3, Int=7, int=8)]
        await writer.apply(None, writes, cursor(1))
        assert await ids(reader, Contains("tags", "a")) == [1, 2]
        assert await ids(reader, Contains("tags", 1.0)) == [1]
        assert await ids(reader, Compare("size", "=", {"x": [1.5]})) == [1]
        assert await ids(reader, Compare("Int", "=", 7)) == [3]

    async def test_a_field_that_becomes_declared_is_found_in_older_records(
        self, database: Database, tmp_path: Path
    ) -> None:
        first = await database.writer()
        await first.apply(None, [box(1, colour="red"), box(2, colour="blue"), box(3)], cursor(1))
        declared = self.with_field("colour", maybe(FieldKind.STRING), tmp_path)
        await database.writer(declared)
        reader = await database.reader(declared)
        assert await ids(reader, Compare("colour", "=", "red")) == [1]
        assert await ids(reader, Not(IsNull("colour"))) == [1, 2]

    async def test_a_field_that_is_declared_as_something_else_is_refused_by_name(
        self, database: Database, tmp_path: Path
    ) -> None:
        first = await database.writer()
        await first.apply(None, [box(1, colour="red")], cursor(1))
        with pytest.raises(StoreRefused, match=r"r\.box.*colour holds a string.*int"):
            await database.writer(self.with_field("colour", maybe(FieldKind.INT), tmp_path))
        assert await first.apply(cursor(1), [box(2, colour="blue")], cursor(2))
