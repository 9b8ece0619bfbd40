"""The store contract on tables of SQLite."""

from collections.abc import Iterable
from pathlib import Path

import pytest

from grit.core.catalog import RealmDef, Shape
from grit.core.errors import StoreRefused
from grit.core.keys import encode_key
from grit.core.queries import RowWrite
from grit.store.sql.layout import Layout
from grit.store.sql.tables import table_layouts
from tests.contract.store_contract import STOCK, Database, cursor
from tests.contract.store_file_contract import FileStoreContract


class TestSqliteStore(FileStoreContract):
    """A table a collection, a column a field."""

    engine = "sqlite"
    shape = Shape.TABLE
    box_table = "box"

    def layouts(self, realm: RealmDef) -> Iterable[Layout]:
        return table_layouts(realm).values()

    async def test_a_null_where_none_may_be_is_refused_by_name(self, database: Database, tmp_path: Path) -> None:
        writer = await database.writer()
        row = {"seller": "s", "product": "p"}
        with pytest.raises(StoreRefused, match=r"r\.stock/\(s,p\).*NOT NULL.*on_hand"):
            await writer.apply(None, [RowWrite(STOCK, encode_key(["s", "p"]), row)], cursor(1))

    async def test_an_undeclared_field_is_refused_by_name(self, database: Database, tmp_path: Path) -> None:
        writer = await database.writer()
        row = {"seller": "s", "product": "p", "on_hand": 1, "colour": "red"}
        with pytest.raises(StoreRefused, match=r"r\.stock/\(s,p\).*colour"):
            await writer.apply(None, [RowWrite(STOCK, encode_key(["s", "p"]), row)], cursor(1))
