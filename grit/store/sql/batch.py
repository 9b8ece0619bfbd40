"""One batch of a player as statements, in an order that no constraint trips over."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import sqlalchemy as sa

from grit.core.catalog import Shape
from grit.core.errors import StoreRefused
from grit.core.ids import Collection, Key
from grit.core.queries import RowWrite
from grit.store.sql.layout import TableAccess, parameters_of


class Step(msgspec.Struct, frozen=True):
    """One statement, run for each of its keys."""

    access: TableAccess
    text: str
    keys: Sequence[Key]
    parameters: Sequence[tuple[Any, ...]]

    def run(self, connection: sa.Connection) -> None:
        """Run it for all keys at once."""
        connection.exec_driver_sql(self.text, list(self.parameters))


def plan(writes: Sequence[RowWrite], tables: Mapping[Collection, TableAccess]) -> list[Step]:
    """Return deletes, relationships first, then upserts, nodes first.

    Where values must be unique, every record that changes is deleted first: two records that swap a value would
    else collide half way, though the result is fine.

    Args:
        writes: Each record once, of collections in `tables`.
        tables: By name of the collection.

    Raises:
        StoreRefused: A record is not as the catalogue says.
    """
    groups: dict[Collection, list[RowWrite]] = {}
    for write in writes:
        groups.setdefault(write.collection, []).append(write)
    nodes_first = sorted(groups, key=lambda name: tables[name].layout.definition.shape == Shape.RELATIONSHIP)
    deletes = [_deletes(groups[name], tables[name]) for name in reversed(nodes_first)]
    upserts = [_upserts(groups[name], tables[name]) for name in nodes_first]
    return [step for step in deletes + upserts if step.keys]


def _deletes(writes: Sequence[RowWrite], access: TableAccess) -> Step:
    is_unique = bool(access.layout.definition.unique)
    keys = [write.key for write in writes if write.row is None or is_unique]
    parameters: list[tuple[Any, ...]] = []
    for key in keys:
        values = access.layout.key_values(key)
        if values is None:
            raise StoreRefused(f"{access.named(key)}: the key is not of this collection")
        parameters.append(values)
    return Step(access, access.delete, keys, parameters)


def _upserts(writes: Sequence[RowWrite], access: TableAccess) -> Step:
    upserts = [(write.key, write.row) for write in writes if write.row is not None]
    parameters = [parameters_of(access, key, row) for key, row in upserts]
    return Step(access, access.upsert, [key for key, _ in upserts], parameters)
