"""Layout of whole records: the canonical key, the canonical record, and declared single values as columns beside.

The record is the truth; the columns repeat what predicates ask for, so that these run inside the database. A
column's name holds the kind of its field: when the catalogue gives a field another kind, it gets another column.
"""

import re
from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from grit.core.catalog import CollectionDef
from grit.core.ids import Key
from grit.core.values import Row, decode_record, encode_record
from grit.store.sql.fields import CODECS, FieldColumn
from grit.store.sql.layout import Layout, indexes_of


class RecordLayout(Layout):
    """See `Layout`."""

    is_open = True
    is_key_sorted = True

    def __init__(self, prefix: str, definition: CollectionDef, indexed: Sequence[str], metadata: sa.MetaData) -> None:
        """Lay out a collection.

        Args:
            prefix: Begins the table's name, so that it collides with nothing.
            definition: The collection.
            indexed: Fields that are looked up by their value, besides those in unique groups.
            metadata: Where the table is registered.
        """
        self.definition = definition
        self.columns = {
            field: FieldColumn(
                field,
                declared.kind,
                sa.Column(f"{declared.kind}:{_folded(field)}", CODECS[declared.kind].sql, key=f"c{at}"),
            )
            for at, (field, declared) in enumerate(definition.fields.items())
            if declared.kind in CODECS
        }
        key: sa.Column[Any] = sa.Column("key", sa.LargeBinary, primary_key=True)
        self.selected = [key, sa.Column("record", sa.LargeBinary, nullable=False)]
        self.key_columns = [key]
        self.table = sa.Table(
            f"{prefix}:{_folded(definition.name)}",
            metadata,
            *self.selected,
            *(at.column for at in self.columns.values()),
            sqlite_strict=True,
            sqlite_with_rowid=False,
        )
        groups = {(field,): False for field in indexed} | dict.fromkeys(definition.unique, True)
        indexes_of(self.table, self.columns, groups)

    def key_values(self, key: Key) -> tuple[Any, ...]:
        """See `Layout.key_values`; any key can be here."""
        return (key,)

    def parameters(self, key: Key, row: Row) -> tuple[Any, ...]:
        """See `Layout.parameters`."""
        return (key, encode_record(row), *[at.encode(row.get(at.field)) for at in self.columns.values()])

    def record(self, stored: Sequence[Any]) -> tuple[Key, Row]:
        """See `Layout.record`."""
        return Key(stored[0]), decode_record(stored[1])


def _folded(name: str) -> str:
    """Return a name that differs from others also where case does not count, as in SQLite."""
    return re.sub(r"[A-Z^]", lambda letter: f"^{letter[0].lower()}", name)
