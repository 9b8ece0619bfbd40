"""The store contract on the embedded graph store."""

from collections.abc import Iterable
from pathlib import Path

from grit.core.catalog import END, START, RealmDef, Shape
from grit.core.keys import encode_key
from grit.core.predicate import Compare, encode_expr
from grit.core.queries import FindRows, RowWrite
from grit.store.embedded.graph import graph_layouts
from grit.store.sql.layout import Layout
from tests.contract.store_contract import EDGE, Database, box, cursor, gone, rows_of
from tests.contract.store_file_contract import FileStoreContract


def edge(start: int, end: int, since: int) -> RowWrite:
    return RowWrite(EDGE, encode_key([start, end]), {START: start, END: end, "since": since})


class TestGraphStore(FileStoreContract):
    """Nodes and relationships."""

    engine = "graph"
    shape = Shape.NODE
    box_table = "node:box"
    code_column = "string:code"

    def layouts(self, realm: RealmDef) -> Iterable[Layout]:
        return graph_layouts(realm).values()

    async def test_neighbours_are_found_in_both_directions(self, database: Database, tmp_path: Path) -> None:
        writer, reader = await database.writer(), await database.reader()
        edges = [edge(1, 2, 10), edge(1, 3, 20), edge(3, 1, 30)]
        await writer.apply(None, [*edges, *map(box, (1, 2, 3))], cursor(1))
        for field, expected in ((START, [10, 20]), (END, [30])):
            query = FindRows(EDGE, encode_expr(Compare(field, "=", 1)))
            assert [row["since"] for _, row in await rows_of(reader, query)] == expected
        await writer.apply(cursor(1), [gone(box(1)), *map(gone, edges)], cursor(2))
        assert await rows_of(reader, FindRows(EDGE, encode_expr(Compare(END, ">", 0)))) == []
