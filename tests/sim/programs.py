"""Random transactions over a few small realms, so few keys that everything meets everything."""

import json
import random
from collections.abc import Mapping, Sequence

from grit.core.catalog import END, START, Bound, CollectionDef, FieldKind, FieldType, RealmDef, Shape
from grit.core.ids import Collection, Realm
from tests.sim.script import Program, program

TABLE, DOCUMENT, GRAPH, LEDGER = Realm("table"), Realm("document"), Realm("graph"), Realm("ledger")
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


LINES = Collection("lines")
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

FOURTH = RealmDef(
    LEDGER, "memory", "", {LINES: _collection(LINES, Shape.TABLE, ("k",), {"k": _INT, "a": _INT, "n": _INT})}
)
EVERYWHERE: Mapping[Realm, RealmDef] = {**CATALOGUE, LEDGER: FOURTH}
"""From which each random run takes two to four."""
PLAIN: Mapping[Realm, Collection] = {TABLE: ITEMS, DOCUMENT: DOCS, GRAPH: NODES, LEDGER: LINES}
"""The collection of a realm that most is done in."""


def set_up(realms: Sequence[Realm]) -> Program:
    """Return what the first transaction of a run writes."""
    puts = [
        f"put {realm}.{PLAIN[realm]} {_json({'k': k, 'a': 0} | ({} if realm == GRAPH else {'n': 3}))}"
        for realm in realms
        for k in SET_UP
    ]
    return program(["begin", "commit " + "; ".join(puts)])


class Programs:
    """Makes transactions; each operation is valid by its types, and may fail by the data."""

    def __init__(self, chance: random.Random, realms: Sequence[Realm] = tuple(CATALOGUE)) -> None:
        self._chance = chance
        self._realms = realms
        # Constraints, graph and records that come and go make most of what may fail: half of the runs go without.
        self._calm = 0.6 if chance.random() < 0.7 else 1.0

    def transaction(self) -> Program:
        """Return one transaction."""
        chance = self._chance
        requests = self._skewed() if chance.random() < self._calm else self._anything()
        lines = ["; ".join(request) for request in requests]
        if len(lines) > 1 and chance.random() < 0.1:
            lines = self._with_call(lines)
        lines[-1] = f"commit {lines[-1]}".rstrip()
        return program([self._begin(), *lines])

    def _begin(self) -> str:
        key = f" key=k{self._chance.randrange(3)}" if self._chance.random() < 0.12 else ""
        return f"begin{key}" + (" status" if self._chance.random() < 0.08 else "")

    def _with_call(self, lines: list[str]) -> list[str]:
        """Let another service do the first request, or one more which is then dropped; the commit stays at home."""
        if self._chance.random() < 0.3:
            return [*lines[:-1], f"call 1 {self._safe_write()}", "drop 1", lines[-1]]
        return [f"call 1 {lines[0]}", *lines[1:]] if len(lines) > 1 else lines

    def _anything(self) -> list[list[str]]:
        requests = self._chance.choice((1, 1, 2, 2, 3))
        return [[self._operation() for _ in range(self._chance.choice((1, 1, 2)))] for _ in range(requests)]

    def _skewed(self) -> list[list[str]]:
        """Read some, then write others: what a missing check turns into a lost update, a phantom or a write skew."""
        reads = [self._read() for _ in range(self._chance.choice((1, 2, 2)))]
        writes = [self._safe_write() for _ in range(self._chance.choice((0, 1, 1, 2)))]
        return [reads, writes] if writes else [reads[:1], reads[1:]] if len(reads) > 1 else [reads]

    def _safe_write(self) -> str:
        """A write that seldom fails by the data."""
        realm, place = self._plain()
        key = self._chance.choice(SET_UP)
        kind = self._chance.randrange(4)
        if kind == 0 and realm != GRAPH:
            return f"add {place} {key} n {self._chance.choice((-2, -1, 1))}"
        if kind == 1:
            return f"put {place} {_json(self._row(realm, key))}"
        return f"patch {place} {key} {_json({'a': self._chance.randrange(3)})}"

    def _operation(self) -> str:
        make = self._chance.choice((self._read, self._read, self._write, self._write, self._increment, self._graph))
        return make()

    def _key(self) -> int:
        return self._chance.choice(KEYS)

    def _row(self, realm: Realm, key: int) -> dict[str, int]:
        row = {"k": key, "a": self._chance.randrange(3)}
        if realm == TABLE:
            row |= {"n": self._chance.randrange(4)}
            return row | ({"b": self._chance.randrange(2)} if self._chance.random() < 0.5 else {})
        return row if realm == GRAPH else row | {"n": 0}

    def _plain(self) -> tuple[Realm, str]:
        realm = self._chance.choice(self._realms)
        return realm, f"{realm}.{PLAIN[realm]}"

    def _where(self) -> str:
        leaf = f"a{self._chance.choice(('=', '<=', '>', '!='))}{self._chance.randrange(3)}"
        return f"{leaf}&k<={self._key()}" if self._chance.random() < 0.3 else leaf

    def _read(self) -> str:
        _, place = self._plain()
        kind = self._chance.randrange(6)
        if kind <= 1:
            return f"get {place} {self._key()}"
        if kind == 2:
            return f"many {place} 1 2"
        if kind == 3:
            return f"count {place} {self._where()}"
        if kind == 4:
            return f"sum {place} a {self._where()}"
        order = self._chance.choice(("", "", " order a", " order a", " order -a"))
        return f"find {place} {self._where()}{order}{self._chance.choice(('', ' limit 1', ' limit 2'))}"

    def _write(self) -> str:
        if TABLE in self._realms and self._chance.random() < 0.2:
            return self._child()
        realm, place = self._plain()
        key = self._key()
        kind = self._chance.randrange(5)
        if kind <= 1:
            return f"{'insert' if kind else 'put'} {place} {_json(self._row(realm, key))}"
        if kind == 2:
            return f"delete {place} {key}"
        changes: dict[str, int | None] = {"a": self._chance.randrange(3)}
        if realm == TABLE and self._chance.random() < 0.4:
            changes = {"b": self._chance.choice((None, 0, 1))}
        return f"patch {place} {key} {_json(changes)}"

    def _child(self) -> str:
        key = self._key()
        if self._chance.random() < 0.3:
            return f"delete {TABLE}.{CHILDREN} {key}"
        return f"put {TABLE}.{CHILDREN} {_json({'k': key, 'item': self._key()})}"

    def _increment(self) -> str:
        there = [realm for realm in self._realms if realm != GRAPH]
        realm = TABLE if TABLE in there and self._chance.random() < 0.7 else self._chance.choice(there)
        return f"add {realm}.{PLAIN[realm]} {self._key()} n {self._chance.choice((-3, -2, -1, 1, 2))}"

    def _graph(self) -> str:
        if GRAPH not in self._realms:
            return self._read()
        start, end = self._key(), self._key()
        kind = self._chance.randrange(3)
        if kind == 0:
            return f"neighbours {GRAPH}.{NODES} {start} {EDGES}"
        if kind == 1:
            return f"link {GRAPH}.{EDGES} {start} {end} {_json({'n': self._chance.randrange(3)})}"
        return f"unlink {GRAPH}.{EDGES} {start} {end}"


def _json(row: Mapping[str, int | None]) -> str:
    return json.dumps(row, separators=(",", ":"))
