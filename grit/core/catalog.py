"""What GRIT knows of the databases: realms, collections, fields, constraints.

Pure data, made by `grit.config` from `grit.yaml`. A relationship is a collection whose key is
(start, end): the keys of two nodes; so adjacency is a predicate on `start` or `end`, and reads of edges,
their conflicts and their overlay are those of every other collection.
"""

from collections.abc import Mapping
from enum import StrEnum

import msgspec

from grit.core.ids import Collection, Realm
from grit.core.values import Value

START, END = "start", "end"
"""The key fields of every relationship."""


class Shape(StrEnum):
    """How a collection lies in its engine."""

    TABLE = "table"
    DOCUMENT = "document"
    NODE = "node"
    RELATIONSHIP = "relationship"


class FieldKind(StrEnum):
    """The type of a field."""

    BOOL = "bool"
    INT = "int"
    DECIMAL = "decimal"
    FLOAT = "float"
    STRING = "string"
    BYTES = "bytes"
    TIMESTAMP = "timestamp"
    LIST = "list"
    MAP = "map"


class FieldType(msgspec.Struct, frozen=True):
    """`size`: characters, bytes, or digits of a decimal, None = engine's limit; `scale`: of a decimal."""

    kind: FieldKind
    size: int | None = None
    scale: int | None = None
    nullable: bool = False


class Bound(msgspec.Struct, frozen=True):
    """Inclusive limits of a number field; None = open."""

    min: int | None = None
    max: int | None = None


class Check(msgspec.Struct, frozen=True):
    """A CHECK: `where` is an encoded predicate over one record that must hold; `text` is for people."""

    text: str
    where: bytes
    fields: tuple[str, ...]


class CollectionDef(msgspec.Struct, frozen=True):
    """One collection.

    Attributes:
        key: Names of the key fields, in order; (start, end) for a relationship.
        fields: Every declared field, key fields included. A document may hold undeclared ones too.
        unique: Groups of fields whose values together are unique where none of them is null.
        references: field -> collection of the same realm whose single-field key it holds.
        start, end: For a relationship: the node collections that it joins.
    """

    name: Collection
    shape: Shape
    key: tuple[str, ...]
    fields: Mapping[str, FieldType]
    bounds: Mapping[str, Bound] = {}
    unique: tuple[tuple[str, ...], ...] = ()
    references: Mapping[str, Collection] = {}
    checks: tuple[Check, ...] = ()
    start: Collection | None = None
    end: Collection | None = None

    def key_of(self, row: Mapping[str, Value]) -> tuple[Value, ...]:
        """Return the key components that stand in a record; None where one is missing."""
        return tuple(row.get(field) for field in self.key)


class RealmDef(msgspec.Struct, frozen=True):
    """One realm: an engine, where it is, who coordinates it, what it holds.

    `engine` is one of memory, sqlite, document, graph (embedded), mysql, mongodb, neo4j.
    `dbtm` and `player` are the addresses at which the realm's roles listen, empty in one process.
    """

    name: Realm
    engine: str
    url: str
    collections: Mapping[Collection, CollectionDef]
    dbtm: tuple[str, ...] = ()
