"""Which adapter a realm's engine is: for composition roots only. Drivers are imported when one is needed."""

from collections.abc import Iterable, MutableMapping
from typing import TYPE_CHECKING

from grit.core.catalog import RealmDef
from grit.core.errors import ConfigError
from grit.core.ids import Realm
from grit.store.hold import Hold
from grit.store.memory import MemoryStore
from grit.store.port import StoreReader, StoreWriter

if TYPE_CHECKING:
    from grit.store.sql.layout import Layout

MEMORY, EMBEDDED = "memory", frozenset({"sqlite", "document", "graph"})
Memories = MutableMapping[Realm, MemoryStore]
"""The databases of a process that are in memory: its reader and its player must share them."""


def open_reader(realm: RealmDef, memories: Memories, *, is_owner: bool = False) -> StoreReader:
    """Return what the realm's DBTM reads from; nothing is connected yet.

    Args:
        realm: Whose database.
        memories: The databases of this process that are in memory.
        is_owner: The caller owns the file (`grit.store.hold.owned`), or nobody else knows it; others share a hold.

    Raises:
        ConfigError: Unknown engine, a url that names no file, names that the engine cannot have.
    """
    if realm.engine == MEMORY:
        return memories.setdefault(realm.name, MemoryStore(realm))
    layouts = _layouts(realm)
    from grit.store.sql.reader import READERS, SqlReader
    from grit.store.sql.sqlite import database_path, reading_engine

    path = database_path(realm)
    hold = None if is_owner else Hold(realm.name, path)
    return SqlReader(realm.name, layouts, reading_engine(path, connections=READERS), hold)


def open_writer(realm: RealmDef, memories: Memories, *, is_owner: bool = False) -> StoreWriter:
    """Return what the realm's player writes to; makes the folder of an embedded database where missing.

    Args: as `open_reader`.

    Raises:
        ConfigError: As `open_reader`; or the folder cannot be made.
    """
    if realm.engine == MEMORY:
        return memories.setdefault(realm.name, MemoryStore(realm))
    layouts = _layouts(realm)
    from grit.store.sql.sqlite import database_path, writing_engine
    from grit.store.sql.writer import SqlWriter

    path = database_path(realm)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(
            f"realm {realm.name}: the folder {path.parent} cannot be made: {error.strerror}; "
            "let this user write there, or set the realm's url to another place"
        ) from error
    return SqlWriter(realm.name, layouts, writing_engine(path), None if is_owner else Hold(realm.name, path))


def _layouts(realm: RealmDef) -> "Iterable[Layout]":
    if realm.engine not in EMBEDDED:
        engines = ", ".join([MEMORY, *sorted(EMBEDDED)])
        raise ConfigError(
            f"realm {realm.name}: no store for engine {realm.engine!r} in this release; there is {engines}"
        )
    from grit.store.embedded.document import document_layouts
    from grit.store.embedded.graph import graph_layouts
    from grit.store.sql.tables import table_layouts

    if realm.engine == "sqlite":
        return table_layouts(realm).values()
    return (document_layouts if realm.engine == "document" else graph_layouts)(realm).values()
