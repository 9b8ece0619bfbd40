"""What every store promises (`grit.store.port`), run on every adapter."""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Protocol

import msgspec
import pytest
import pytest_asyncio

from grit.core.catalog import END, START, CollectionDef, FieldKind, FieldType, RealmDef, Shape
from grit.core.errors import StoreRefused
from grit.core.ids import Collection, Epoch, Key, Lsn, Offset, Realm
from grit.core.keys import encode_key
from grit.core.predicate import (
    DEPTH_MAX,
    EVERYTHING,
    And,
    Compare,
    Contains,
    Expr,
    In,
    IsNull,
    Not,
    Or,
    Prefix,
    encode_expr,
)
from grit.core.queries import Cursor, FindRows, GetRows, OrderBy, Query, RowWrite
from grit.core.values import INT_MAX, INT_MIN, Row, Value, encode_record
from grit.store.port import StoreReader, StoreUnavailable, StoreWriter

LIMIT_S = 20.0
"""No test waits longer for anything."""
BOX, STOCK, EDGE = Collection("box"), Collection("stock"), Collection("KNOWS")
INT, STRING = FieldType(FieldKind.INT), FieldType(FieldKind.STRING)


def maybe(kind: FieldKind) -> FieldType:
    return FieldType(kind, nullable=True)


def boxes(shape: Shape) -> CollectionDef:
    kinds = ("bool", "int", "decimal", "float", "string", "bytes", "timestamp")
    fields = {kind: maybe(FieldKind(kind)) for kind in kinds}
    return CollectionDef(
        BOX, shape, ("id",), {"id": INT, **fields, "code": maybe(FieldKind.STRING)}, unique=(("code",),)
    )


def stocks(shape: Shape) -> CollectionDef:
    fields = {"seller": STRING, "product": STRING, "on_hand": INT, "note": maybe(FieldKind.STRING)}
    return CollectionDef(STOCK, shape, ("seller", "product"), fields)


def edges() -> CollectionDef:
    fields = {START: INT, END: INT, "since": maybe(FieldKind.INT)}
    return CollectionDef(EDGE, Shape.RELATIONSHIP, (START, END), fields, start=BOX, end=BOX)


def cursor(at: int, **changes: str | int) -> Cursor:
    return msgspec.structs.replace(Cursor("log-1", Offset(10 + at), Epoch(1), Lsn(at)), **changes)


def box(number: int, **fields: Value) -> RowWrite:
    return RowWrite(BOX, encode_key([number]), {"id": number, **fields})


def stock(seller: str, product: str, on_hand: int) -> RowWrite:
    row = {"seller": seller, "product": product, "on_hand": on_hand}
    return RowWrite(STOCK, encode_key([seller, product]), row)


def gone(write: RowWrite) -> RowWrite:
    return msgspec.structs.replace(write, row=None)


async def rows_of(reader: StoreReader, query: Query) -> list[tuple[Key, Row]]:
    return list((await reader.read([query])).rows[0])


async def ids(reader: StoreReader, expr: Expr, *order_by: OrderBy, limit: int | None = None) -> list[Value]:
    return [row["id"] for _, row in await rows_of(reader, FindRows(BOX, encode_expr(expr), order_by, limit))]


async def play(writer: StoreWriter, numbers: Sequence[int], last: int) -> None:
    """Write every box again and again: at Lsn n, up to `last`, all of them hold n."""
    for lsn in range(1, last + 1):
        at = cursor(lsn - 1) if lsn > 1 else None
        assert await writer.apply(at, [box(number, int=lsn) for number in numbers], cursor(lsn))


class Database(Protocol):
    """Opens handles on *the* database of a test; they are closed after it."""

    async def writer(self, realm: RealmDef | None = None) -> StoreWriter:
        """Open a player's handle, prepared."""
        ...

    async def reader(self, realm: RealmDef | None = None) -> StoreReader:
        """Open a DBTM's handle."""
        ...


class _Handles:
    def __init__(self, suite: "StoreContract", folder: Path) -> None:
        self._suite, self._folder = suite, folder
        self._close: list[Callable[[], Awaitable[None]]] = []

    async def writer(self, realm: RealmDef | None = None) -> StoreWriter:
        writer = self._suite.open_writer(realm or self._suite.realm(self._folder), self._folder)
        self._close.append(writer.close)
        await writer.prepare()
        return writer

    async def reader(self, realm: RealmDef | None = None) -> StoreReader:
        reader = self._suite.open_reader(realm or self._suite.realm(self._folder), self._folder)
        self._close.append(reader.close)
        return reader

    async def close(self) -> None:
        for close in self._close:
            await close()


@pytest.mark.asyncio
class StoreContract(ABC):
    """The suite; a subclass says how its adapter is opened."""

    engine: str
    shape: Shape

    @abstractmethod
    def open_writer(self, realm: RealmDef, folder: Path) -> StoreWriter:
        """Return a player's handle on the one database that lives in `folder`."""

    @abstractmethod
    def open_reader(self, realm: RealmDef, folder: Path) -> StoreReader:
        """Return a DBTM's handle on it."""

    def realm(self, folder: Path, *others: CollectionDef) -> RealmDef:
        """Return the catalogue of the suite, with other collections that a test wants."""
        definitions = [boxes(self.shape), stocks(self.shape), *others]
        if self.shape == Shape.NODE:
            definitions.append(edges())
        collections = {definition.name: definition for definition in definitions}
        return RealmDef(Realm("r"), self.engine, str(folder / "store.db"), collections)

    @pytest_asyncio.fixture
    async def database(self, tmp_path: Path) -> AsyncIterator[Database]:
        """Give the one database of a test."""
        handles = _Handles(self, tmp_path)
        yield handles
        await handles.close()

    async def test_before_the_first_batch_there_is_no_position(self, database: Database) -> None:
        writer, reader = await database.writer(), await database.reader()
        answer = await reader.read([])
        assert (await writer.cursor(), answer.before, answer.rows, answer.after) == (None, None, (), None)

    async def test_a_batch_moves_the_position_and_shows_its_rows(self, database: Database) -> None:
        writer, reader = await database.writer(), await database.reader()
        assert await writer.apply(None, [box(1, string="a")], cursor(1))
        answer = await reader.read([GetRows(BOX, (encode_key([1]),))])
        assert (answer.before, answer.after) == (cursor(1), cursor(1)) == (await writer.cursor(), cursor(1))
        assert answer.rows == (((encode_key([1]), {"id": 1, "string": "a"}),),)

    async def test_an_empty_batch_moves_the_position(self, database: Database) -> None:
        writer = await database.writer()
        assert await writer.apply(None, [], cursor(1))
        assert await writer.apply(cursor(1), [], cursor(1, offset=99))
        assert await writer.cursor() == cursor(1, offset=99)

    async def test_get_answers_in_the_order_of_the_query_and_leaves_absent_keys_out(self, database: Database) -> None:
        writer, reader = await database.writer(), await database.reader()
        await writer.apply(None, [box(number) for number in (1, 2, 3)], cursor(1))
        query = GetRows(BOX, tuple(encode_key([number]) for number in (3, 9, 1, 3)))
        assert [row["id"] for _, row in await rows_of(reader, query)] == [3, 1, 3]

    async def test_get_takes_many_keys(self, database: Database) -> None:
        writer, reader = await database.writer(), await database.reader()
        await writer.apply(None, [stock(f"s{number}", "p", number) for number in range(700)], cursor(1))
        keys = tuple(encode_key([f"s{number}", "p"]) for number in reversed(range(1_000)))
        found = await rows_of(reader, GetRows(STOCK, keys))
        assert [row["on_hand"] for _, row in found] == list(reversed(range(700)))

    async def test_a_key_of_another_shape_is_absent(self, database: Database) -> None:
        writer, reader = await database.writer(), await database.reader()
        await writer.apply(None, [stock("s", "p", 1)], cursor(1))
        keys = ([b"s", "p"], ["s"], ["s", "p", 1], [1, 2], [Decimal(1), datetime(2020, 1, 1, tzinfo=UTC)])
        assert await rows_of(reader, GetRows(STOCK, tuple(encode_key(key) for key in keys))) == []

    async def test_an_upsert_replaces_the_whole_record(self, database: Database) -> None:
        writer, reader = await database.writer(), await database.reader()
        await writer.apply(None, [box(1, string="a", int=5)], cursor(1))
        await writer.apply(cursor(1), [box(1, float=0.5)], cursor(2))
        assert await rows_of(reader, FindRows(BOX, EVERYTHING)) == [(encode_key([1]), {"id": 1, "float": 0.5})]

    async def test_a_null_is_a_missing_field(self, database: Database) -> None:
        writer, reader = await database.writer(), await database.reader()
        await writer.apply(None, [box(1, string=None)], cursor(1))
        assert await rows_of(reader, FindRows(BOX, EVERYTHING)) == [(encode_key([1]), {"id": 1})]

    async def test_a_deleted_record_is_absent_and_deleting_it_again_is_nothing(self, database: Database) -> None:
        writer, reader = await database.writer(), await database.reader()
        await writer.apply(None, [box(1), box(2)], cursor(1))
        assert await writer.apply(cursor(1), [gone(box(1)), gone(box(7))], cursor(2))
        assert await writer.apply(cursor(2), [gone(box(1))], cursor(3))
        assert await ids(reader, And(())) == [2]

    async def test_find_matches_as_the_evaluator_does(self, database: Database) -> None:
        writer, reader = await database.writer(), await database.reader()
        writes = [box(1, string="Ab", int=1), box(2, string="ab", int=2, decimal=Decimal("1.50")), box(3)]
        await writer.apply(None, writes, cursor(1))
        for expr, expected in (
            (Compare("string", "=", "ab"), [2]),
            (Not(Compare("string", "=", "ab")), [1, 3]),
            (Compare("int", "!=", 1), [2]),
            (Compare("decimal", "=", 1.5), [2]),
            (Compare("int", "<", Decimal("1.5")), [1]),
            (Compare("int", "=", "1"), []),
            (In("int", (2, 1.0, "x")), [1, 2]),
            (Prefix("string", "A"), [1]),
            (Contains("string", "b"), [1, 2]),
            (IsNull("int"), [3]),
            (Or((IsNull("string"), And((Compare("int", ">=", 2), Prefix("string", "a"))))), [2, 3]),
            (Or(()), []),
        ):
            assert await ids(reader, expr) == expected, expr

    async def test_find_orders_null_first_and_ties_by_key_and_then_cuts(self, database: Database) -> None:
        writer, reader = await database.writer(), await database.reader()
        await writer.apply(None, [box(1, int=2), box(2), box(3, int=1), box(4, int=2), box(5)], cursor(1))
        everything = And(())
        assert await ids(reader, everything, OrderBy("int")) == [2, 5, 3, 1, 4]
        assert await ids(reader, everything, OrderBy("int", descending=True)) == [1, 4, 3, 2, 5]
        assert await ids(reader, everything, OrderBy("int", descending=True), limit=3) == [1, 4, 3]
        assert await ids(reader, Not(IsNull("int")), OrderBy("int"), OrderBy("id", descending=True)) == [3, 4, 1]
        assert await ids(reader, everything, limit=0) == []

    async def test_a_predicate_may_be_wide_and_deep(self, database: Database) -> None:
        writer, reader = await database.writer(), await database.reader()
        await writer.apply(None, [box(number, int=number) for number in range(5)], cursor(1))
        wide = Or(tuple(Compare("int", "=", number) for number in range(2, 3_000)))
        deep: Expr = Compare("int", "<", 3)
        for _ in range(10):
            deep = Not(And((Not(deep), Or((IsNull("string"),)))))
        negated: Expr = Compare("int", "<", 3)
        for _ in range(DEPTH_MAX - 1):
            negated = Not(negated)
        assert await ids(reader, negated) == [3, 4]
        assert await ids(reader, wide) == [2, 3, 4]
        assert await ids(reader, In("int", tuple(range(3, 40_000)))) == [3, 4]
        assert await ids(reader, deep) == [0, 1, 2]
        assert await ids(reader, And((deep, wide)), OrderBy("int", descending=True), limit=1) == [2]

    async def test_one_read_answers_many_queries(self, database: Database) -> None:
        writer, reader = await database.writer(), await database.reader()
        await writer.apply(None, [box(1), stock("s", "p", 1)], cursor(1))
        answer = await reader.read([FindRows(STOCK, EVERYTHING), FindRows(BOX, EVERYTHING), GetRows(BOX, ())])
        assert [len(rows) for rows in answer.rows] == [1, 1, 0]

    async def test_a_batch_on_another_position_changes_nothing(self, database: Database) -> None:
        writer, reader = await database.writer(), await database.reader()
        assert not await writer.apply(cursor(1), [box(1)], cursor(2))
        assert await writer.apply(None, [box(1)], cursor(2))
        others = [
            None,
            cursor(1),
            *(cursor(2, **{name: 7}) for name in ("offset", "epoch", "lsn")),
            cursor(2, log_id="x"),
        ]
        for other in others:
            assert not await writer.apply(other, [box(2), gone(box(1))], cursor(3))
        assert await ids(reader, And(())) == [1]
        assert await writer.cursor() == cursor(2)

    async def test_of_two_players_at_once_one_applies(self, database: Database) -> None:
        first, second = await database.writer(), await database.writer()
        at: Cursor | None = None
        for lsn in range(1, 20):
            writes = [[box(1, int=player), stock("s", "p", player)] for player in (1, 2)]
            applied = await asyncio.gather(
                first.apply(at, writes[0], cursor(lsn)), second.apply(at, writes[1], cursor(lsn))
            )
            assert sorted(applied) == [False, True]
            at = cursor(lsn)

    async def test_rows_lie_between_the_two_looks_at_the_position(self, database: Database) -> None:
        """Section 4 of the protocol: every row shows all writes up to `before` and none above `after`."""
        writer, reader = await database.writer(), await database.reader()
        numbers, last = range(20), 60
        async with asyncio.timeout(LIMIT_S):
            player = asyncio.create_task(play(writer, numbers, last))
            seen = 0
            while seen < last:
                get = GetRows(BOX, tuple(encode_key([number]) for number in numbers))
                answers = await asyncio.gather(*(reader.read([get, FindRows(BOX, EVERYTHING)]) for _ in range(4)))
                for answer in answers:
                    before, after = (0 if look is None else look.lsn for look in (answer.before, answer.after))
                    for rows in answer.rows:
                        assert len(rows) == len(numbers) or before == 0
                        assert all(before <= row["int"] <= after for _, row in rows)
                    seen = max(seen, before)
                await asyncio.sleep(0)  # memory never waits: let the player have its turn
            await player

    async def test_a_snapshot_is_of_one_moment_while_a_player_writes(self, database: Database) -> None:
        writer, reader = await database.writer(), await database.reader()
        assert (await reader.snapshot([FindRows(BOX, EVERYTHING)])).after is None
        numbers, last = range(20), 12
        async with asyncio.timeout(LIMIT_S):
            player = asyncio.create_task(play(writer, numbers, last))
            seen = 0
            while seen < last:
                answer = await reader.snapshot([FindRows(BOX, EVERYTHING)] * 3)
                seen = answer.after.lsn if answer.after else 0
                assert answer.before == answer.after
                assert [[row["int"] for _, row in rows] for rows in answer.rows] == [
                    [seen] * len(numbers) * bool(seen)
                ] * 3
                await asyncio.sleep(0)  # memory never waits: let the player have its turn
            await player

    async def test_an_unknown_collection_is_refused_by_name(self, database: Database) -> None:
        writer, reader = await database.writer(), await database.reader()
        unknown = Collection("boks")
        with pytest.raises(StoreRefused, match="boks"):
            await reader.read([FindRows(unknown, EVERYTHING)])
        with pytest.raises(StoreRefused, match="boks"):
            await writer.apply(None, [box(1), RowWrite(unknown, encode_key([1]), {"id": 1})], cursor(1))
        assert (await writer.cursor(), await ids(reader, And(()))) == (None, [])

    async def test_values_come_back_as_they_went_in(self, database: Database) -> None:
        writer, reader = await database.writer(), await database.reader()
        rows: list[Row] = [
            {"int": INT_MAX, "decimal": Decimal("1.0"), "float": 1.0, "string": "", "bytes": b"", "bool": False},
            {
                "int": INT_MIN,
                "decimal": Decimal("1.00"),
                "float": 5e-324,
                "string": "'\";--\\\n%_",
                "bytes": b"\x00\xff",
            },
            {"int": 0, "decimal": Decimal("-12345678901234567890.12345678"), "string": "a\x00b", "bool": True},
            {"decimal": Decimal(0), "float": 0.1, "string": "e\u0301", "timestamp": datetime(1, 1, 1, tzinfo=UTC)},
            {"decimal": Decimal("1E+2"), "float": -1e308, "string": "é 😀 \U0010ffff \ufffe"},
            {"timestamp": datetime(9999, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC)},
            {"timestamp": datetime(1969, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC)},
        ]
        await writer.apply(None, [box(number, **row) for number, row in enumerate(rows)], cursor(1))
        found = await rows_of(reader, FindRows(BOX, EVERYTHING))
        assert [encode_record(row) for _, row in found] == [encode_record({"id": n, **r}) for n, r in enumerate(rows)]
        for number, row in enumerate(rows):
            for field, value in row.items():
                assert number in await ids(reader, Compare(field, "=", value)), (field, value)

    async def test_keys_may_be_any_text(self, database: Database) -> None:
        writer, reader = await database.writer(), await database.reader()
        parts = ["", "a", "A", "a\x00", "a\x00b", "a ", "'; DROP TABLE stock;--", "é", "\U0010ffff", "😀", "%"]
        await writer.apply(None, [stock(part, "p", at) for at, part in enumerate(parts)], cursor(1))
        for at, part in enumerate(parts):
            ((_, row),) = await rows_of(reader, GetRows(STOCK, (encode_key([part, "p"]),)))
            assert (row["seller"], row["on_hand"]) == (part, at)
        found = [key for key, _ in await rows_of(reader, FindRows(STOCK, EVERYTHING))]
        assert found == sorted(encode_key([part, "p"]) for part in parts)

    async def test_names_may_be_hostile(self, database: Database, tmp_path: Path) -> None:
        fields = ["select", "a b", 'q"uote', "semi;colon", "it's", "ключ", "per%cent", "c:olon", "(paren)", "c1", "[x]"]
        names = [Collection(name) for name in ("order", 'q"t', "x; drop table box", "таблица", "p%(s)s:n", "select *")]
        kinds = {field: maybe(FieldKind.STRING) for field in fields}
        hostile = [
            CollectionDef(name, self.shape, ("group",), {"group": STRING, **kinds}, unique=(("a b", "it's"),))
            for name in names
        ]
        realm = self.realm(tmp_path, *hostile)
        writer, reader = await database.writer(realm), await database.reader(realm)
        key, row = encode_key(["k"]), {"group": "k"} | {field: f"in {field}" for field in fields}
        assert await writer.apply(None, [RowWrite(name, key, row) for name in names], cursor(1))
        for name in names:
            assert await rows_of(reader, GetRows(name, (key,))) == [(key, row)]
            for field in fields:
                where = encode_expr(Compare(field, "=", f"in {field}"))
                assert await rows_of(reader, FindRows(name, where, (OrderBy(field),))) == [(key, row)]
        assert await writer.apply(cursor(1), [RowWrite(names[0], key, None)], cursor(2))
        assert await rows_of(reader, FindRows(names[0], EVERYTHING)) == []

    async def test_records_may_swap_a_unique_value_in_one_batch(self, database: Database) -> None:
        writer, reader = await database.writer(), await database.reader()
        await writer.apply(None, [box(1, code="a"), box(2, code="b"), box(3, code="c")], cursor(1))
        swapped: Sequence[RowWrite] = [box(1, code="b"), box(2, code="a"), box(4, code="c"), gone(box(3))]
        assert await writer.apply(cursor(1), swapped, cursor(2))
        assert await ids(reader, In("code", ("a", "b", "c")), OrderBy("code")) == [2, 1, 4]

    async def test_a_closed_store_has_finished_what_it_began(self, database: Database) -> None:
        writer = await database.writer()
        applying = asyncio.create_task(writer.apply(None, [box(1)], cursor(1)))
        await asyncio.sleep(0)
        await writer.close()
        assert await applying


async def expect_unavailable(reading: Awaitable[object], words: str) -> None:
    """Expect that it may succeed later, and that the message has these words."""
    with pytest.raises(StoreUnavailable, match=words):
        await reading
