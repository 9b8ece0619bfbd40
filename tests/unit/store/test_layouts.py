"""How collections lie in tables: names, indexes that lookups use, and the order of a batch."""

from pathlib import Path

import pytest
import sqlalchemy as sa

from grit.core.catalog import END, START, CollectionDef, FieldKind, FieldType, RealmDef, Shape
from grit.core.ids import Collection, Key, Realm
from grit.core.keys import encode_key
from grit.core.predicate import Compare, Expr, In, Prefix, encode_expr
from grit.core.queries import RowWrite
from grit.store.embedded.document import document_layouts
from grit.store.embedded.graph import graph_layouts
from grit.store.sql.batch import plan
from grit.store.sql.layout import Layout, TableAccess
from grit.store.sql.schema import make_missing
from grit.store.sql.sqlite import writing_engine
from grit.store.sql.tables import table_layouts
from grit.store.sql.where import translate

INT, STRING = FieldType(FieldKind.INT, nullable=True), FieldType(FieldKind.STRING, nullable=True)
PEOPLE, KNOWS, ORDERS = Collection("people"), Collection("KNOWS"), Collection("orders")
GRAPH = RealmDef(
    Realm("social"),
    "graph",
    "",
    {
        KNOWS: CollectionDef(KNOWS, Shape.RELATIONSHIP, (START, END), {START: INT, END: INT}, start=PEOPLE, end=PEOPLE),
        PEOPLE: CollectionDef(PEOPLE, Shape.NODE, ("id",), {"id": INT}),
    },
)


def orders(shape: Shape, engine: str) -> RealmDef:
    fields = {"id": STRING, "line": INT, "customer": STRING, "a": INT, "b": INT}
    made = CollectionDef(
        ORDERS, shape, ("id", "line"), fields, unique=(("a", "b"),), references={"customer": Collection("customers")}
    )
    return RealmDef(Realm("shop"), engine, "", {ORDERS: made})


def plan_of(layout: Layout, expr: Expr, folder: Path) -> str:
    """Return how SQLite would look it up."""
    where = translate(encode_expr(expr), layout.columns, is_open=layout.is_open)
    assert where.is_exact
    engine = writing_engine(folder / "x.db")
    with engine.connect() as connection:
        make_missing(connection, [TableAccess(Realm("r"), layout)])
        text = (
            sa.select(*layout.selected).where(where.clause).compile(connection, compile_kwargs={"literal_binds": True})
        )
        steps = [str(row[-1]) for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {text}")]
    engine.dispose()
    return " ".join(steps)


@pytest.mark.parametrize("end", [START, END])
def test_adjacency_is_looked_up_in_an_index(end: str, tmp_path: Path) -> None:
    assert f"SEARCH relationship:^k^n^o^w^s USING INDEX grit:by:relationship:^k^n^o^w^s:int:{end}" in plan_of(
        graph_layouts(GRAPH)[KNOWS], Compare(end, "=", 7), tmp_path
    )


@pytest.mark.parametrize(
    "expr", [Compare("customer", "=", "c"), In("customer", ("c", "d")), Prefix("customer", "c"), Compare("a", "=", 1)]
)
def test_references_and_unique_groups_are_looked_up_in_an_index(expr: Expr, tmp_path: Path) -> None:
    for layouts, realm in (
        (table_layouts, orders(Shape.TABLE, "sqlite")),
        (document_layouts, orders(Shape.DOCUMENT, "document")),
    ):
        (tmp_path / realm.engine).mkdir()
        assert "USING INDEX grit:" in plan_of(layouts(realm)[ORDERS], expr, tmp_path / realm.engine)


def test_the_primary_key_answers_its_own_predicates(tmp_path: Path) -> None:
    layout = table_layouts(orders(Shape.TABLE, "sqlite"))[ORDERS]
    assert "USING PRIMARY KEY" in plan_of(layout, Compare("id", "=", "x"), tmp_path)


def test_get_of_many_composite_keys_is_a_lookup_of_each(tmp_path: Path) -> None:
    access = TableAccess(Realm("r"), table_layouts(orders(Shape.TABLE, "sqlite"))[ORDERS])
    engine = writing_engine(tmp_path / "x.db")
    with engine.connect() as connection:
        make_missing(connection, [access])
        rows = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {access.get(2)}", ("x", 1, "y", 2)).fetchall()
    engine.dispose()
    assert [row[-1] for row in rows if "SCAN" in row[-1]] == []


def test_names_that_differ_in_case_only_lie_apart_in_the_document_store() -> None:
    names = [Collection(name) for name in ("Box", "box", "bOX", "^box")]
    fields = {"id": INT, "Id": INT, "ID": INT, "^id": INT}
    realm = RealmDef(
        Realm("r"), "document", "", {name: CollectionDef(name, Shape.DOCUMENT, ("id",), fields) for name in names}
    )
    layouts = document_layouts(realm).values()
    assert len({layout.table.name.lower() for layout in layouts}) == len(names)
    for layout in layouts:
        assert len({at.column.name.lower() for at in layout.columns.values()}) == len(fields)


def test_a_batch_deletes_relationships_first_and_writes_nodes_first() -> None:
    def write(name: Collection, *parts: int, gone: bool = False) -> RowWrite:
        row = dict(zip(GRAPH.collections[name].key, parts, strict=True))
        return RowWrite(name, encode_key(parts), None if gone else row)

    writes = [write(KNOWS, 1, 2), write(PEOPLE, 3, gone=True), write(KNOWS, 3, 1, gone=True), write(PEOPLE, 1)]
    tables = {name: TableAccess(GRAPH.name, layout) for name, layout in graph_layouts(GRAPH).items()}
    steps = [(step.access.place, step.text[:6], step.keys) for step in plan(writes, tables)]

    def keys(*parts: int) -> list[Key]:
        return [encode_key(parts)]

    assert steps == [
        ("social.KNOWS", "DELETE", keys(3, 1)),
        ("social.people", "DELETE", keys(3)),
        ("social.people", "INSERT", keys(1)),
        ("social.KNOWS", "INSERT", keys(1, 2)),
    ]
