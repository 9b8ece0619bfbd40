"""How a collection lies in a table: what reads and writes must know of it, and the statements that follow."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.dialects import sqlite

from grit.core.catalog import CollectionDef
from grit.core.errors import StoreRefused
from grit.core.ids import Key, Realm
from grit.core.keys import decode_key
from grit.core.queries import OrderBy
from grit.core.values import Row
from grit.store.sql.fields import FieldColumn

_DIALECT = sqlite.dialect()


class Layout(ABC):
    """One collection in one table.

    Attributes:
        definition: The collection.
        table: Its primary key is `key_columns`.
        key_columns: In the order of `key_values`.
        selected: The columns that `record` wants, in order.
        columns: The fields that lie in columns; what else there may be, `is_open` says.
        is_open: The whole record lies in the table too, with fields that have no column; columns repeat it.
        is_key_sorted: The order by `key_columns` is that of canonical keys.
    """

    definition: CollectionDef
    table: sa.Table
    key_columns: Sequence[sa.Column[Any]]
    selected: Sequence[sa.Column[Any]]
    columns: Mapping[str, FieldColumn]
    is_open: bool
    is_key_sorted: bool

    @abstractmethod
    def key_values(self, key: Key) -> tuple[Any, ...] | None:
        """Return what the key columns hold for a key; None: no record here can have it."""

    @abstractmethod
    def parameters(self, key: Key, row: Row) -> tuple[Any, ...]:
        """Return what all columns of the table hold, in their order.

        Raises:
            ValueError: The record is not as the catalogue says.
        """

    @abstractmethod
    def record(self, stored: Sequence[Any]) -> tuple[Key, Row]:
        """Return key and record of what was selected.

        Raises:
            ValueError, TypeError: It is none; somebody else wrote it.
        """


class TableAccess:
    """One collection and its statements, as text: the hot path does not compile.

    `place` is what messages call it: `orders.stock`.
    """

    def __init__(self, realm: Realm, layout: Layout) -> None:
        self.layout = layout
        self.place = f"{realm}.{layout.definition.name}"
        self._gets: dict[int, str] = {}

    def named(self, key: Key) -> str:
        """Return what messages call a record: `orders.stock/(s1,p9)`."""
        return f"{self.place}/({','.join(map(str, decode_key(key)))})"

    def get(self, keys: int) -> str:
        """Return the select of so many keys; parameters: the key values of one after the other."""
        if keys not in self._gets:
            columns = self.layout.key_columns
            wanted = [sa.and_(*(column == sa.bindparam(None, None) for column in columns)) for _ in range(keys)]
            self._gets[keys] = _text(sa.select(*self.layout.selected).where(sa.or_(*wanted)))
        return self._gets[keys]

    @cached_property
    def upsert(self) -> str:
        """Insert or replace; parameters: all columns of the table."""
        insert = sqlite.insert(self.layout.table)
        rest = {
            column.key: insert.excluded[column.key] for column in self.layout.table.columns if not column.primary_key
        }
        keys = self.layout.key_columns
        return _text(
            insert.on_conflict_do_update(index_elements=keys, set_=rest)
            if rest
            else insert.on_conflict_do_nothing(index_elements=keys)
        )

    @cached_property
    def delete(self) -> str:
        """Delete; parameters: the key values."""
        columns = self.layout.key_columns
        return _text(sa.delete(self.layout.table).where(*(column == sa.bindparam(None, None) for column in columns)))


def record_of(access: TableAccess, stored: Sequence[Any]) -> tuple[Key, Row]:
    """Return key and record of what was selected.

    Raises:
        StoreRefused: It is none.
    """
    try:
        return access.layout.record(stored)
    except (ValueError, TypeError, msgspec.DecodeError) as error:
        raise StoreRefused(f"{access.place} holds what no player wrote ({error}): repair or rebuild it") from error


def parameters_of(access: TableAccess, key: Key, row: Row) -> tuple[Any, ...]:
    """Return what all columns hold.

    Raises:
        StoreRefused: The record is not as the catalogue says; names it.
    """
    try:
        return access.layout.parameters(key, row)
    except ValueError as error:
        raise StoreRefused(f"{access.named(key)}: {error}") from error


def order_of(layout: Layout, order_by: Sequence[OrderBy]) -> list[sa.ColumnElement[Any]] | None:
    """Return the ORDER BY of a query; None: columns cannot tell it. SQLite and MySQL count null as the least."""
    if not layout.is_key_sorted or any(order.field not in layout.columns for order in order_by):
        return None
    asked = [(layout.columns[order.field].column, order.descending) for order in order_by]
    return [column.desc() if descending else column.asc() for column, descending in asked] + [
        column.asc() for column in layout.key_columns
    ]


def indexes_of(table: sa.Table, columns: Mapping[str, FieldColumn], groups: Mapping[tuple[str, ...], bool]) -> None:
    """Give the table an index for each group of fields that all lie in columns; True = unique."""
    for fields, unique in groups.items():
        if all(field in columns for field in fields):
            kind = "unique" if unique else "by"
            name = f"{INDEX_PREFIX}{kind}:{table.name}:{','.join(columns[field].column.name for field in fields)}"
            sa.Index(name, *(columns[field].column for field in fields), unique=unique)


INDEX_PREFIX = "grit:"
"""Indexes that we made, and may drop when the catalogue asks for them no more."""


def _text(statement: Any) -> str:
    return str(statement.compile(dialect=_DIALECT))
