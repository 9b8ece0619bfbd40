"""Random transactions over three small realms, so few keys that everything meets everything."""

import random
from collections.abc import Mapping

from grit.core.catalog import END, START, Bound, CollectionDef, FieldKind, FieldType, RealmDef, Shape
from grit.core.ids import Collection, Key, Realm
from grit.core.keys import encode_key
from grit.core.operations import (
    Count,
    Delete,
    Find,
    Get,
    GetMany,
    Increment,
    Insert,
    Link,
    Neighbours,
    Operation,
    Patch,
    Put,
    Sum,
    Unlink,
)
from grit.core.predicate import And, Compare, Where, encode_expr
from grit.core.queries import OrderBy

TABLE, DOCUMENT, GRAPH = Realm("table"), Realm("document"), Realm("graph")
ITEMS, CHILDREN, DOCS, NODES, EDGES = (Collection(n) for n in ("items", "children", "docs", "nodes", "edges"))
KEYS = (1, 2, 3)
SET_UP = (1, 2)
"""The keys that are there from the beginning."""


def _collection(
    name: Collection,
    shape: Shape,
    key: tuple[str, ...],
    fields: Mapping[str, FieldType],
    *,
    bounds: Mapping[str, Bound] | None = None,
    unique: tuple[tuple[str, ...], ...] = (),
    references: Mapping[str, Collection] | None = None,
    start: Collection | None = None,
    end: Collection | None = None,
) -> CollectionDef:
    return CollectionDef(
        name=name,
        shape=shape,
        key=key,
        fields=fields,
        bounds=bounds or {},
        unique=unique,
        references=references or {},
        start=start,
        end=end,
    )


_INT, _NULL = FieldType(FieldKind.INT), FieldType(FieldKind.INT, nullable=True)

CATALOGUE: Mapping[Realm, RealmDef] = {
    TABLE: RealmDef(
        TABLE,
        "memory",
        "",
        {
            ITEMS: _collection(
                ITEMS,
                Shape.TABLE,
                ("k",),
                {"k": _INT, "a": _INT, "b": _NULL, "n": _INT},
                bounds={"n": Bound(0, 6)},
                unique=(("b",),),
            ),
            CHILDREN: _collection(
                CHILDREN, Shape.TABLE, ("k",), {"k": _INT, "item": _NULL}, references={"item": ITEMS}
            ),
        },
    ),
    DOCUMENT: RealmDef(
        DOCUMENT, "memory", "", {DOCS: _collection(DOCS, Shape.DOCUMENT, ("k",), {"k": _INT, "a": _INT, "n": _INT})}
    ),
    GRAPH: RealmDef(
        GRAPH,
        "memory",
        "",
        {
            NODES: _collection(NODES, Shape.NODE, ("k",), {"k": _INT, "a": _INT}),
            EDGES: _collection(
                EDGES,
                Shape.RELATIONSHIP,
                (START, END),
                {START: _INT, END: _INT, "n": _NULL},
                start=NODES,
                end=NODES,
            ),
        },
    ),
}


class Programs:
    """Makes operations; each is valid by its types, and may fail by the data."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance

    def transaction(self) -> list[list[Operation]]:
        """Return the requests of one transaction: lists of operations that are sent together."""
        if self._chance.random() < 0.6:
            return self._skewed()
        requests = self._chance.choice((1, 1, 2, 2, 3))
        return [[self.operation() for _ in range(self._chance.choice((1, 1, 2)))] for _ in range(requests)]

    def _skewed(self) -> list[list[Operation]]:
        """Read some, then write others: what a missing check turns into a lost update, a phantom or a write skew."""
        reads = [self._read() for _ in range(self._chance.choice((1, 2, 2)))]
        writes = [self._safe_write() for _ in range(self._chance.choice((0, 1, 1, 2)))]
        return [reads, writes] if writes else [reads[:1], reads[1:]] if len(reads) > 1 else [reads]

    def _safe_write(self) -> Operation:
        """A write that seldom fails by the data."""
        realm, collection = self._plain()
        key = self._chance.choice(SET_UP)
        kind = self._chance.randrange(4)
        if kind == 0 and realm != GRAPH:
            return Increment(realm, collection, _encoded(key), "n", self._chance.choice((-2, -1, 1)))
        if kind == 1:
            return Put(realm, collection, self._row(realm, key), _encoded(key))
        return Patch(realm, collection, _encoded(key), {"a": self._chance.randrange(3)})

    def operation(self) -> Operation:
        """Return one operation."""
        make = self._chance.choice((self._read, self._read, self._write, self._write, self._increment, self._graph))
        return make()

    def setup(self) -> list[Operation]:
        """Return what the first transaction of a run writes."""
        places = ((TABLE, ITEMS), (DOCUMENT, DOCS), (GRAPH, NODES))
        return [
            Put(r, c, {"k": k, "a": 0} | ({} if r == GRAPH else {"n": 3}), encode_key([k]))
            for r, c in places
            for k in SET_UP
        ]

    def _key(self) -> int:
        return self._chance.choice(KEYS)

    def _item(self, key: int) -> dict[str, int]:
        row = {"k": key, "a": self._chance.randrange(3), "n": self._chance.randrange(4)}
        if self._chance.random() < 0.5:
            row["b"] = self._chance.randrange(2)
        return row

    def _row(self, realm: Realm, key: int) -> dict[str, int]:
        if realm == TABLE:
            return self._item(key)
        row = {"k": key, "a": self._chance.randrange(3)}
        return row if realm == GRAPH else row | {"n": 0}

    def _plain(self) -> tuple[Realm, Collection]:
        return self._chance.choice(((TABLE, ITEMS), (TABLE, ITEMS), (DOCUMENT, DOCS), (GRAPH, NODES)))

    def _where(self) -> Where:
        op = self._chance.choice(("=", "<=", ">", "!="))
        leaf = Compare("a", op, self._chance.randrange(3))
        if self._chance.random() < 0.3:
            return encode_expr(And((leaf, Compare("k", "<=", self._key()))))
        return encode_expr(leaf)

    def _read(self) -> Operation:
        realm, collection = self._plain()
        kind = self._chance.randrange(6)
        if kind <= 1:
            return Get(realm, collection, _encoded(self._key()))
        if kind == 2:
            return GetMany(realm, collection, tuple(_encoded(k) for k in KEYS[:2]))
        if kind == 3:
            return Count(realm, collection, self._where())
        if kind == 4:
            return Sum(realm, collection, "a", self._where())
        order = (OrderBy("a", self._chance.random() < 0.5),) if self._chance.random() < 0.6 else ()
        return Find(realm, collection, self._where(), order, self._chance.choice((None, 1, 2)))

    def _write(self) -> Operation:
        if self._chance.random() < 0.2:
            return self._child()
        realm, collection = self._plain()
        key = self._key()
        row = self._row(realm, key)
        kind = self._chance.randrange(5)
        if kind == 0:
            return Insert(realm, collection, row, _encoded(key))
        if kind == 1:
            return Put(realm, collection, row, _encoded(key))
        if kind == 2:
            return Delete(realm, collection, _encoded(key))
        changes: dict[str, int | None] = {"a": self._chance.randrange(3)}
        if realm == TABLE and self._chance.random() < 0.4:
            changes = {"b": self._chance.choice((None, 0, 1))}
        return Patch(realm, collection, _encoded(key), changes)

    def _child(self) -> Operation:
        key = self._key()
        if self._chance.random() < 0.3:
            return Delete(TABLE, CHILDREN, _encoded(key))
        return Put(TABLE, CHILDREN, {"k": key, "item": self._key()}, _encoded(key))

    def _increment(self) -> Operation:
        delta = self._chance.choice((-3, -2, -1, 1, 2))
        if self._chance.random() < 0.7:
            return Increment(TABLE, ITEMS, _encoded(self._key()), "n", delta)
        return Increment(DOCUMENT, DOCS, _encoded(self._key()), "n", delta)

    def _graph(self) -> Operation:
        start, end = _encoded(self._key()), _encoded(self._key())
        kind = self._chance.randrange(3)
        if kind == 0:
            return Neighbours(GRAPH, NODES, start, EDGES)
        if kind == 1:
            return Link(GRAPH, EDGES, start, end, {"n": self._chance.randrange(3)})
        return Unlink(GRAPH, EDGES, start, end)


def _encoded(key: int) -> Key:
    return encode_key([key])
