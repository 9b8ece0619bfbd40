"""The store contract on the embedded document store."""

from collections.abc import Iterable
from pathlib import Path

from grit.core.catalog import RealmDef, Shape
from grit.core.predicate import Compare, Contains
from grit.store.embedded.document import document_layouts
from grit.store.sql.layout import Layout
from tests.contract.store_contract import Database, box, cursor, ids
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
