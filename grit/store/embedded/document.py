"""The document store: a table of records for each collection."""

import sqlalchemy as sa

from grit.core.catalog import RealmDef
from grit.core.ids import Collection
from grit.store.embedded.records import RecordLayout


def document_layouts(realm: RealmDef) -> dict[Collection, RecordLayout]:
    """Return the layouts of a document realm."""
    metadata = sa.MetaData()
    return {
        name: RecordLayout("document", definition, sorted(definition.references), metadata)
        for name, definition in realm.collections.items()
    }
