"""What stores in a file promise beyond the port: reopening, refusals, broken commits, locks, older catalogues."""

import sqlite3
from abc import abstractmethod
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
import sqlalchemy as sa

from grit.core.catalog import FieldKind, FieldType, RealmDef
from grit.core.errors import StoreRefused
from grit.core.ids import Lsn
from grit.core.predicate import EVERYTHING, And, Compare
from grit.core.queries import Cursor, FindRows
from grit.store import open as stores
from grit.store.port import ApplyUnknown, StoreReader, StoreUnavailable, StoreWriter
from grit.store.sql.layout import Layout
from grit.store.sql.sqlite import reading_engine, writing_engine
from grit.store.sql.writer import SqlWriter
from tests.contract.store_contract import (
    BOX,
    Database,
    StoreContract,
    box,
    cursor,
    expect_unavailable,
    gone,
    ids,
    rows_of,
)


class LostAnswer(sqlite3.Connection):
    """Commits the first batch, but the answer is lost."""

    def commit(self) -> None:
        super().commit()
        raise sqlite3.OperationalError("the disk went away")


class LostCommit(sqlite3.Connection):
    """Loses the first batch."""

    def commit(self) -> None:
        self.rollback()
        raise sqlite3.OperationalError("the disk went away")


class FileStoreContract(StoreContract):
    """The suite of embedded stores."""

    box_table: str
    """What the table of boxes is called."""
    code_column: str = "code"

    @abstractmethod
    def layouts(self, realm: RealmDef) -> Iterable[Layout]:
        """Return how the realm's collections lie in the file."""

    def open_writer(self, realm: RealmDef, folder: Path) -> StoreWriter:
        return stores.open_writer(realm, {})

    def open_reader(self, realm: RealmDef, folder: Path) -> StoreReader:
        return stores.open_reader(realm, {})

    @contextmanager
    def raw(self, folder: Path) -> Iterator[sqlite3.Connection]:
        """Lend somebody else's connection."""
        with closing(sqlite3.connect(folder / "store.db", isolation_level=None)) as connection:
            yield connection

    async def test_what_was_applied_is_there_after_reopening(self, database: Database) -> None:
        writer = await database.writer()
        await writer.apply(None, [box(1, string="a")], cursor(1))
        await writer.close()
        reader = await database.reader()
        assert await ids(reader, And(())) == [1]
        again = await database.writer()
        assert await again.cursor() == cursor(1)
        assert await again.apply(cursor(1), [gone(box(1))], cursor(2))
        assert await ids(reader, And(())) == []

    async def test_a_database_that_no_player_made_is_unavailable(self, database: Database, tmp_path: Path) -> None:
        reader = await database.reader()
        await expect_unavailable(reader.read([]), "player")
        assert not (tmp_path / "store.db").exists()
        with self.raw(tmp_path) as raw:
            raw.execute("CREATE TABLE other (x)")
        await expect_unavailable(reader.read([]), "player")
        await database.writer()
        assert (await reader.read([])).before is None

    async def test_a_file_that_is_no_database_is_refused(self, database: Database, tmp_path: Path) -> None:
        (tmp_path / "store.db").write_bytes(b"something else, and long enough to be looked at" * 100)
        with pytest.raises(StoreRefused, match="not a database"):
            await (await database.reader()).read([])
        with pytest.raises(StoreRefused, match="not a database"):
            await database.writer()

    async def test_a_reader_cannot_write(self, database: Database, tmp_path: Path) -> None:
        await database.writer()
        engine = reading_engine(tmp_path / "store.db", connections=1)
        with engine.connect() as connection, pytest.raises(sa.exc.OperationalError, match="readonly"):
            connection.exec_driver_sql("DELETE FROM grit_position")
        engine.dispose()

    @pytest.mark.parametrize("broken", [LostAnswer, LostCommit])
    async def test_after_an_unknown_commit_the_cursor_tells(
        self, database: Database, tmp_path: Path, broken: type[sqlite3.Connection]
    ) -> None:
        healthy, reader = await database.writer(), await database.reader()
        realm, path = self.realm(tmp_path), tmp_path / "store.db"
        writer = SqlWriter(realm.name, self.layouts(realm), writing_engine(path, connection=broken))
        with pytest.raises(ApplyUnknown, match="disk went away"):
            await writer.apply(None, [box(1)], cursor(1))
        told = await writer.cursor()
        assert told == (cursor(1) if broken is LostAnswer else None)
        assert await ids(reader, And(())) == ([1] if told else [])
        assert await healthy.apply(told, [box(1), box(2)], cursor(2))
        assert await ids(reader, And(())) == [1, 2]
        await writer.close()

    async def test_a_refused_entry_is_named_and_nothing_of_its_batch_stays(
        self, database: Database, tmp_path: Path
    ) -> None:
        writer, reader = await database.writer(), await database.reader()
        await writer.apply(None, [box(1, code="a"), box(2, code="b")], cursor(1))
        # Somebody else's hand: the code of record 2 is taken, though the log says that it is free.
        with self.raw(tmp_path) as raw:
            raw.execute(
                f'UPDATE "{self.box_table}" SET "{self.code_column}" = \'z\' WHERE "{self.code_column}" = \'b\''
            )
        with pytest.raises(StoreRefused, match=r"r\.box/\(8\).*UNIQUE"):
            await writer.apply(cursor(1), [box(7), box(8, code="z"), box(9)], cursor(2))
        assert await writer.cursor() == cursor(1)
        assert await ids(reader, And(())) == [1, 2]
        assert await writer.apply(cursor(1), [box(7)], cursor(2))

    async def test_a_foreign_trigger_that_rolls_back_leaves_nothing_of_the_batch(
        self, database: Database, tmp_path: Path
    ) -> None:
        writer, reader = await database.writer(), await database.reader()
        with self.raw(tmp_path) as raw:
            raw.execute(
                f'CREATE TRIGGER mine BEFORE INSERT ON "{self.box_table}" WHEN NEW."{self.code_column}" = \'z\' '
                "BEGIN SELECT RAISE(ROLLBACK, 'not mine'); END"
            )
        with pytest.raises(StoreRefused, match=r"r\.box/\(8\): not mine"):
            await writer.apply(None, [box(7), box(8, code="z"), box(9)], cursor(1))
        assert (await writer.cursor(), await ids(reader, And(()))) == (None, [])

    async def test_a_dropped_table_is_refused_to_both(self, database: Database, tmp_path: Path) -> None:
        writer, reader = await database.writer(), await database.reader()
        with self.raw(tmp_path) as raw:
            raw.execute(f'DROP TABLE "{self.box_table}"')
        with pytest.raises(StoreRefused, match=r"r\.box/\(1\).*no such table"):
            await writer.apply(None, [box(1)], cursor(1))
        with pytest.raises(StoreRefused, match=r"r\.box.*no such table"):
            await reader.read([FindRows(BOX, EVERYTHING)])
        assert await writer.cursor() is None

    async def test_a_missing_column_is_refused_not_read_as_text(self, database: Database, tmp_path: Path) -> None:
        # SQLite takes an unknown name in double quotes for a string.
        await database.writer()
        realm = self.with_field("extra", FieldType(FieldKind.STRING, nullable=True), tmp_path)
        reader = await database.reader(realm)
        with pytest.raises(StoreRefused, match=r"r\.box.*no such column.*extra"):
            await ids(reader, Compare("extra", "=", "extra"))

    async def test_a_value_of_another_type_is_refused_by_name(self, database: Database) -> None:
        writer = await database.writer()
        for field, value in (("int", "x"), ("int", True), ("string", 1), ("int", 1 << 63), ("decimal", 1)):
            with pytest.raises(StoreRefused, match=r"r\.box/\(5\)"):
                await writer.apply(None, [box(4), box(5, **{field: value})], cursor(1))
        assert await writer.cursor() is None

    async def test_a_locked_database_is_unavailable_and_later_applies(self, database: Database, tmp_path: Path) -> None:
        reader = await database.reader()
        await database.writer()
        realm, path = self.realm(tmp_path), tmp_path / "store.db"
        writer = SqlWriter(realm.name, self.layouts(realm), writing_engine(path, busy_ms=1))
        with self.raw(tmp_path) as raw:
            raw.execute("BEGIN IMMEDIATE")
            with pytest.raises(StoreUnavailable, match="locked"):
                await writer.apply(None, [box(1)], cursor(1))
            assert await ids(reader, And(())) == []  # readers are not locked out
        assert await writer.apply(None, [box(1)], cursor(1))
        await writer.close()

    async def test_a_full_database_is_unavailable_and_nothing_is_applied(
        self, database: Database, tmp_path: Path
    ) -> None:
        class Full(sqlite3.Connection):
            def __init__(self, *args: Any, **options: Any) -> None:
                super().__init__(*args, **options)
                self.execute("PRAGMA max_page_count = 40")

        await database.writer()
        realm, path = self.realm(tmp_path), tmp_path / "store.db"
        writer = SqlWriter(realm.name, self.layouts(realm), writing_engine(path, connection=Full))
        with pytest.raises(StoreUnavailable, match="full"):
            await writer.apply(None, [box(n, string="x" * 1_000) for n in range(500)], cursor(1))
        assert await writer.cursor() is None
        assert await writer.apply(None, [box(1)], cursor(1))
        await writer.close()

    async def test_the_catalogue_may_gain_fields_and_constraints(self, database: Database, tmp_path: Path) -> None:
        first = await database.writer()
        await first.apply(None, [box(n, string=f"s{n}", code=str(n)) for n in range(5)], cursor(1))
        await first.close()
        grown = self.with_field("extra", FieldType(FieldKind.STRING, nullable=True), tmp_path, unique=(("string",),))
        writer, reader = await database.writer(grown), await database.reader(grown)
        # The code is unique no more, the string is.
        writes = [box(7, extra="e", string="s7", code="1"), box(8, string="s8", code="1")]
        assert await writer.apply(cursor(1), writes, cursor(2))
        assert await ids(reader, Compare("extra", "=", "e")) == [7]
        assert await ids(reader, Compare("string", "=", "s3")) == [3]
        with pytest.raises(StoreRefused, match=r"r\.box/\(9\).*UNIQUE"):
            await writer.apply(cursor(2), [box(9, string="s8")], cursor(3))

    async def test_two_players_may_prepare_at_once(self, database: Database) -> None:
        for writer in [await database.writer(), await database.writer()]:
            await writer.prepare()
            assert await writer.cursor() is None

    async def test_foreign_rows_in_the_position_table_cannot_be_two(self, database: Database, tmp_path: Path) -> None:
        writer = await database.writer()
        await writer.apply(None, [], cursor(1))
        with self.raw(tmp_path) as raw, pytest.raises(sqlite3.IntegrityError):
            raw.execute("INSERT INTO grit_position VALUES (2, 'x', 1, 1, 1)")
        assert await rows_of(await database.reader(), FindRows(BOX, EVERYTHING)) == []
        assert await writer.cursor() == Cursor("log-1", cursor(1).offset, cursor(1).epoch, Lsn(1))

    def with_field(
        self, name: str, declared: FieldType, folder: Path, unique: tuple[tuple[str, ...], ...] = ()
    ) -> RealmDef:
        """Return the catalogue with one more field in the boxes."""
        realm = self.realm(folder)
        old = realm.collections[BOX]
        grown = msgspec.structs.replace(old, fields={**old.fields, name: declared}, unique=unique)
        return msgspec.structs.replace(realm, collections={**realm.collections, BOX: grown})
