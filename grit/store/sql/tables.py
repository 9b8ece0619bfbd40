"""Relational layout: a table for a collection, a column for a field, the key as primary key."""

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from grit.core.catalog import CollectionDef, FieldKind, RealmDef
from grit.core.errors import ConfigError
from grit.core.ids import Collection, Key
from grit.core.keys import decode_key, encode_key
from grit.core.values import Row
from grit.store.sql.fields import CODECS, FieldColumn
from grit.store.sql.layout import Layout, indexes_of
from grit.store.sql.position import POSITION


class TableLayout(Layout):
    """See `Layout`."""

    is_open = False

    def __init__(self, definition: CollectionDef, metadata: sa.MetaData) -> None:
        self.definition = definition
        rest = [field for field in definition.fields if field not in definition.key]
        # Plain keys for columns: their names may be anything, also what is no name for a parameter.
        self.columns = {
            field: _column(definition, field, key=f"c{at}") for at, field in enumerate([*definition.key, *rest])
        }
        self._key = [self.columns[field] for field in definition.key]
        self._rest = [self.columns[field] for field in rest]
        self._decoders = [(at.field, CODECS[at.kind].decode) for at in self.columns.values()]
        self.selected = [at.column for at in self.columns.values()]
        self.key_columns = [at.column for at in self._key]
        self.is_key_sorted = all(at.kind != FieldKind.DECIMAL for at in self._key)
        self.table = sa.Table(definition.name, metadata, *self.selected, sqlite_strict=True, sqlite_with_rowid=False)
        groups = {(field,): False for field in definition.references} | dict.fromkeys(definition.unique, True)
        indexes_of(self.table, self.columns, groups)

    def key_values(self, key: Key) -> tuple[Any, ...] | None:
        """See `Layout.key_values`."""
        components = decode_key(key)
        if [type(component) for component in components] != [CODECS[at.kind].python for at in self._key]:
            return None
        return tuple(at.encode(component) for at, component in zip(self._key, components, strict=True))

    def parameters(self, key: Key, row: Row) -> tuple[Any, ...]:
        """See `Layout.parameters`."""
        key_values = self.key_values(key)
        if key_values is None:
            raise ValueError(f"the key is not made of {', '.join(self.definition.key)}")
        undeclared = row.keys() - self.columns.keys()
        if undeclared:
            raise ValueError(f"the catalogue has no field {min(undeclared)}")
        return (*key_values, *[at.encode(row.get(at.field)) for at in self._rest])

    def record(self, stored: Sequence[Any]) -> tuple[Key, Row]:
        """See `Layout.record`."""
        row = {
            field: decode(value)
            for (field, decode), value in zip(self._decoders, stored, strict=True)
            if value is not None
        }
        return encode_key([row.get(field) for field in self.definition.key]), row


def table_layouts(realm: RealmDef) -> dict[Collection, TableLayout]:
    """Return the layouts of a relational realm.

    Raises:
        ConfigError: Names that this database cannot tell apart, or reserves; names them.
    """
    _check_names(f"realm {realm.name}: collection", [*realm.collections, POSITION.name])
    for name, definition in realm.collections.items():
        _check_names(f"{realm.name}.{name}: field", list(definition.fields))
    metadata = sa.MetaData()
    return {name: TableLayout(definition, metadata) for name, definition in realm.collections.items()}


def _column(definition: CollectionDef, field: str, *, key: str) -> FieldColumn:
    declared, is_key = definition.fields[field], field in definition.key
    column: sa.Column[Any] = sa.Column(
        field, CODECS[declared.kind].sql, key=key, primary_key=is_key, nullable=declared.nullable and not is_key
    )
    return FieldColumn(field, declared.kind, column)


def _check_names(place: str, names: Sequence[str]) -> None:
    seen: dict[str, str] = {}
    for name in names:
        if not name or "\x00" in name or name.lower().startswith("sqlite_"):
            raise ConfigError(f"{place} {name!r}: SQLite cannot have this name, choose another")
        other = seen.setdefault(name.lower(), name)
        if seen[name.lower()] is not name:
            raise ConfigError(f"{place} {name!r}: SQLite does not tell it from {other!r}, choose another name")
