"""What each kind of engine can hold: the catalogue and every value are checked against it before anything happens."""

from collections.abc import Mapping

import msgspec

from grit.core.catalog import FieldKind, Shape

_KINDS = frozenset(FieldKind)
_COLUMNS = _KINDS - {FieldKind.LIST, FieldKind.MAP}
_GRAPH = frozenset({Shape.NODE, Shape.RELATIONSHIP})


class Engine(msgspec.Struct, frozen=True):
    """One kind of engine.

    Attributes:
        shapes: How collections may lie in it.
        kinds: Which types of field it holds.
        flat_lists: A list holds scalars of one type only, and no null (a property of a graph).
    """

    name: str
    shapes: frozenset[Shape]
    kinds: frozenset[FieldKind]
    flat_lists: bool = False


ENGINES: Mapping[str, Engine] = {
    engine.name: engine
    for engine in (
        Engine("memory", frozenset(Shape), _KINDS),
        Engine("sqlite", frozenset({Shape.TABLE}), _COLUMNS),
        Engine("document", frozenset({Shape.DOCUMENT}), _KINDS),
        Engine("graph", _GRAPH, _KINDS - {FieldKind.MAP}, flat_lists=True),
        Engine("mysql", frozenset({Shape.TABLE}), _COLUMNS),
        Engine("mongodb", frozenset({Shape.DOCUMENT}), _KINDS),
        # Neo4j has no decimal: declare money as integer cents.
        Engine("neo4j", _GRAPH, _KINDS - {FieldKind.MAP, FieldKind.DECIMAL}, flat_lists=True),
    )
}
