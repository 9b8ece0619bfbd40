"""Which adapter a realm gets, and what is refused before anything is connected."""

import subprocess
import sys
from pathlib import Path

import pytest

from grit.core.catalog import CollectionDef, FieldKind, FieldType, RealmDef, Shape
from grit.core.errors import ConfigError
from grit.core.ids import Collection, Realm
from grit.store.memory import MemoryStore
from grit.store.open import open_reader, open_writer
from grit.store.sql.reader import SqlReader
from grit.store.sql.writer import SqlWriter


def realm(engine: str, url: str, *names: str, fields: tuple[str, ...] = ("id",)) -> RealmDef:
    declared = {field: FieldType(FieldKind.INT) for field in fields}
    collections = {Collection(n): CollectionDef(Collection(n), Shape.TABLE, fields[:1], declared) for n in names}
    return RealmDef(Realm("orders"), engine, url, collections)


def test_reader_and_player_in_memory_share_one_store() -> None:
    memories: dict[Realm, MemoryStore] = {}
    writer = open_writer(realm("memory", ""), memories)
    reader = open_reader(realm("memory", ""), memories)
    (shared,) = memories.values()
    assert {id(writer), id(reader)} == {id(shared)}


@pytest.mark.parametrize("engine", ["sqlite", "document", "graph"])
async def test_an_embedded_engine_gets_a_file_in_a_folder_that_is_made(engine: str, tmp_path: Path) -> None:
    path = tmp_path / "new folder" / "it's 100% ?new#.db"
    writer = open_writer(realm(engine, f"sqlite:///{path}"), {})
    reader = open_reader(realm(engine, str(path)), {})
    assert isinstance(writer, SqlWriter)
    assert isinstance(reader, SqlReader)
    await writer.prepare()
    assert (await reader.read([])).after is None
    assert path.exists()
    await writer.close()
    await reader.close()


@pytest.mark.parametrize("url", ["", ":memory:", "mysql://localhost/orders"])
def test_a_url_that_names_no_file_is_refused(url: str) -> None:
    with pytest.raises(ConfigError, match=r"realm orders: url .* names no file"):
        open_reader(realm("sqlite", url), {})


def test_an_engine_without_a_store_is_refused_and_told_what_there_is() -> None:
    with pytest.raises(ConfigError, match=r"realm orders.*'oracle'.*memory, document, graph, sqlite"):
        open_writer(realm("oracle", "x.db"), {})


def test_a_folder_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match="cannot be made"):
        open_writer(realm("sqlite", str(tmp_path / "file" / "x.db")), {})


@pytest.mark.parametrize(
    ("names", "fields", "words"),
    [
        (("Box", "box"), ("id",), "does not tell it from"),
        (("box",), ("id", "a", "A"), "orders.box: field"),
        (("grit_position",), ("id",), "does not tell it from"),
        (("GRIT_Position",), ("id",), "does not tell it from"),
        (("sqlite_box",), ("id",), "cannot have this name"),
        (("a\x00b",), ("id",), "cannot have this name"),
        (("box",), ("id", ""), "cannot have this name"),
    ],
)
def test_names_that_sqlite_cannot_have_are_refused(names: tuple[str, ...], fields: tuple[str, ...], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        open_reader(realm("sqlite", "x.db", *names, fields=fields), {})


def test_drivers_are_not_imported_before_one_is_needed() -> None:
    program = "import sys, grit.store.open; sys.exit('sqlalchemy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
