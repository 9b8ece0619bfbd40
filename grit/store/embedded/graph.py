"""The graph store: a table of records for each label and each relationship type.

Adjacency is a predicate on `start` or `end`, and those are indexed: the neighbours of a node are found without
looking at anybody else's.
"""

import sqlalchemy as sa

from grit.core.catalog import END, START, RealmDef, Shape
from grit.core.ids import Collection
from grit.store.embedded.records import RecordLayout


def graph_layouts(realm: RealmDef) -> dict[Collection, RecordLayout]:
    """Return the layouts of a graph realm."""
    metadata = sa.MetaData()
    layouts: dict[Collection, RecordLayout] = {}
    for name, definition in realm.collections.items():
        is_edge = definition.shape == Shape.RELATIONSHIP
        indexed = sorted({*definition.references, *((START, END) if is_edge else ())})
        layouts[name] = RecordLayout(definition.shape, definition, indexed, metadata)
    return layouts
