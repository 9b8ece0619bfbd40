"""One batch of a player as statements, in an order that no constraint trips over."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import sqlalchemy as sa

from grit.core.catalog import Shape
from grit.core.errors import StoreRefused
from grit.core.ids import Collection, Key, Realm
from grit.core.keys import decode_key
from grit.core.queries import RowWrite
from grit.store.sql.layout import TableAccess


class Step(msgspec.Struct, frozen=True):
    """One statement, run for each of its keys."""

    collection: Collection
    text: str
    keys: Sequence[Key]
    parameters: Sequence[tuple[Any, ...]]

    def run(self, connection: sa.Connection) -> None:
        """Run it for all keys at once."""
        connection.exec_driver_sql(self.text, list(self.parameters))


def plan(realm: Realm, writes: Sequence[RowWrite], tables: Mapping[Collection, TableAccess]) -> list[Step]:
    """Return deletes, relationships first, then upserts, nodes first.

    Where values must be unique, every record that changes is deleted first: two records that swap a value would
    else collide half way, though the result is fine.

    Args:
        realm: For messages.
        writes: Each record once, of collections in `tables`.
        tables: By name of the collection.

    Raises:
        StoreRefused: A record is not as the catalogue says.
    """
    groups: dict[Collection, list[RowWrite]] = {}
    for write in writes:
        groups.setdefault(write.collection, []).append(write)
    nodes_first = sorted(groups, key=lambda name: tables[name].layout.definition.shape == Shape.RELATIONSHIP)
    deletes = [_deletes(realm, name, groups[name], tables[name]) for name in reversed(nodes_first)]
    upserts = [_upserts(realm, name, groups[name], tables[name]) for name in nodes_first]
    return [step for step in deletes + upserts if step.keys]


def place(realm: Realm, collection: Collection, key: Key) -> str:
    """Return how messages call a record: `orders.stock/(s1,p9)`."""
    return f"{realm}.{collection}/({','.join(map(str, decode_key(key)))})"


def _deletes(realm: Realm, name: Collection, writes: Sequence[RowWrite], access: TableAccess) -> Step:
    keys = [write.key for write in writes if write.row is None or access.layout.definition.unique]
    parameters = [access.layout.key_values(key) for key in keys]
    for key, values in zip(keys, parameters, strict=True):
        if values is None:
            raise StoreRefused(f"{place(realm, name, key)}: the key is not of this collection")
    return Step(name, access.delete, keys, [values for values in parameters if values is not None])


def _upserts(realm: Realm, name: Collection, writes: Sequence[RowWrite], access: TableAccess) -> Step:
    keys: list[Key] = []
    parameters: list[tuple[Any, ...]] = []
    for write in writes:
        if write.row is not None:
            try:
                parameters.append(access.layout.parameters(write.key, write.row))
            except ValueError as error:
                raise StoreRefused(f"{place(realm, name, write.key)}: {error}") from error
            keys.append(write.key)
    return Step(name, access.upsert, keys, parameters)
