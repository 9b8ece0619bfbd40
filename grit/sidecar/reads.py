"""Reads of a transaction: what a realm is asked, and how the answer is joined with the transaction's own writes.

A plan is made when the operation's turn comes, from a snapshot of the write buffer; it says which queries it needs, and
makes of their rows the result, and the reads that certification must judge. What the buffer alone answers is no read.
"""

from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import Protocol

import msgspec

from grit.core.catalog import END, START, CollectionDef, FieldKind, RealmDef
from grit.core.errors import Code, GritError
from grit.core.ids import Collection, Key, Realm
from grit.core.keys import decode_key
from grit.core.operations import (
    Condition,
    Count,
    Delete,
    Direction,
    Find,
    Get,
    GetMany,
    Neighbours,
    Nothing,
    NumberResult,
    Result,
    RowResult,
    RowsResult,
    Sum,
)
from grit.core.operations import Read as ReadOperation
from grit.core.ordering import ordered
from grit.core.parts import Act, Expect, KeyRead, PredicateRead, Read, Write, after_image, decode_changes
from grit.core.predicate import (
    EVERYTHING,
    And,
    Compare,
    Expr,
    IsNull,
    Or,
    Where,
    decode_expr,
    encode_expr,
    fields_of,
    matches,
)
from grit.core.queries import FindRows, GetRows, OrderBy, Query
from grit.core.values import Row, decode_record
from grit.sidecar.writes import Buffered, WriteBuffer, spelt

Rows = Sequence[tuple[bytes, bytes]]
"""What one query found: (key, encoded record), in the query's order."""
Fields = tuple[str, ...] | None

_SORTED_KINDS = frozenset(FieldKind) - {FieldKind.LIST, FieldKind.MAP}
_SORTED_KEY_KINDS = _SORTED_KINDS - {FieldKind.DECIMAL}


class Joined(msgspec.Struct, frozen=True):
    """What a plan made of its rows.

    Attributes:
        result: For the caller.
        reads: What was looked at, for certification.
        writes: What follows from it, to be buffered next.
        error: An answer about the data instead of the result; it is true if the reads are.
    """

    result: Result
    reads: tuple[Read, ...]
    writes: tuple[Write, ...] = ()
    error: GritError | None = None


class Plan(Protocol):
    """One operation that reads."""

    @property
    def realm(self) -> Realm:
        """Return where it reads."""
        ...

    @property
    def queries(self) -> tuple[Query, ...]:
        """Return what the realm must be asked; () when the buffer has it all."""
        ...

    @property
    def seen(self) -> frozenset[str]:
        """Return the calls whose buffered writes have a part in the result."""
        ...

    def finish(self, rows: Sequence[Rows]) -> Joined:
        """Join the rows of the queries, in their order, with the own writes."""
        ...


class PointPlan:
    """Records by key."""

    def __init__(self, operation: Get | GetMany, buffer: WriteBuffer) -> None:
        self.realm = operation.realm
        self._is_one = isinstance(operation, Get)
        self._keys = (operation.key,) if isinstance(operation, Get) else operation.keys
        self._collection = operation.collection
        self._fields = operation.fields
        self._own = {key: own for key in self._keys if (own := buffer.get(operation.collection, key)) is not None}
        self._asked = tuple(dict.fromkeys(key for key in self._keys if needs_image(self._own.get(key))))
        self.queries: tuple[Query, ...] = (GetRows(self._collection, self._asked),) if self._asked else ()
        self.seen = calls_of(self._own.values())

    def finish(self, rows: Sequence[Rows]) -> Joined:
        """Return the records in the order of the keys."""
        found = {key: decode_record(record) for key, record in rows[0]} if rows else {}
        out = tuple(self._image(key, found.get(key)) for key in self._keys)
        reads = tuple(KeyRead(self._collection, key, self._fields) for key in self._asked)
        return Joined(RowResult(out[0]) if self._is_one else RowsResult(out), reads)

    def _image(self, key: Key, before: Row | None) -> Row | None:
        own = self._own.get(key)
        row = before if own is None else after_image(own.write, before)
        return None if row is None else projected(row, self._fields)


class ConditionPlan:
    """A condition of a `Transact`: one record and what must hold of it."""

    def __init__(self, condition: Condition) -> None:
        self.realm = condition.realm
        self._condition = condition
        self.queries: tuple[Query, ...] = (GetRows(condition.collection, (condition.key,)),)
        self.seen: frozenset[str] = frozenset()

    def finish(self, rows: Sequence[Rows]) -> Joined:
        """Return nothing, or say which condition does not hold."""
        asked = self._condition
        fields = () if asked.where == EVERYTHING or not asked.present else _sorted(fields_of(decode_expr(asked.where)))
        row = decode_record(rows[0][0][1]) if rows[0] else None
        wrong = self._failure(row)
        return Joined(
            Nothing(),
            (KeyRead(asked.collection, asked.key, fields),),
            error=None if not wrong else GritError(Code.CONSTRAINT, f"condition not met: {self._name()} {wrong}"),
        )

    def _failure(self, row: Row | None) -> str:
        if not self._condition.present:
            return "" if row is None else "is there; it must be absent"
        if row is None:
            return "is absent; it must be there"
        return "" if matches(self._condition.where, row) else "does not satisfy the predicate"

    def _name(self) -> str:
        return spelt(f"{self.realm}.{self._condition.collection}", self._condition.key)


class RangePlan:
    """The records of one collection that match a predicate, with the transaction's own changes among them.

    A record that the transaction replaced or deleted counts as it left it, whatever the realm answers. One that it
    changed in part is asked for by key too: it may match now although what lies in the realm does not, and then its
    other fields were looked at. Own writes may remove at most as many rows as there are: so many more are asked for.
    """

    def __init__(self, definition: CollectionDef, operation: Find, buffer: WriteBuffer) -> None:
        self.realm = operation.realm
        self.collection = operation.collection
        self._definition = definition
        self._find = operation
        self._own = buffer.of(operation.collection)
        self._changed = tuple(sorted(key for key, own in self._own.items() if own.write.act == Act.CHANGE))
        limit = None if operation.limit is None else operation.limit + len(self._own)
        asked = FindRows(operation.collection, operation.where, operation.order_by, limit)
        changed = (GetRows(operation.collection, self._changed),) if self._changed else ()
        self.queries: tuple[Query, ...] = (asked, *changed)
        self.seen = calls_of(self._own.values())

    def finish(self, rows: Sequence[Rows]) -> Joined:
        """Return the records in order, cut at the limit."""
        chosen, reads = self.join(rows)
        return Joined(RowsResult(tuple(projected(row, self._find.fields) for _, row in chosen)), reads)

    def join(self, rows: Sequence[Rows]) -> tuple[list[tuple[Key, Row]], tuple[Read, ...]]:
        """Return the whole records in order, cut at the limit, and what was looked at."""
        asked = self._find
        found: list[tuple[Key, Row]] = [(Key(key), decode_record(row)) for key, row in rows[0] if key not in self._own]
        before = {key: decode_record(record) for key, record in rows[1]} if self._changed else {}
        for key, own in self._own.items():
            row = after_image(own.write, before.get(key))
            if row is not None and matches(asked.where, row):
                found.append((key, row))
        chosen = ordered(found, asked.order_by)
        where = asked.where
        if asked.limit is not None and len(chosen) >= asked.limit:
            chosen = chosen[: asked.limit]
            where = closed(where, asked.order_by, chosen[-1][1], self._definition)
        return chosen, (PredicateRead(asked.collection, where, self._looked_at()), *self._changed_reads())

    def _looked_at(self) -> Fields:
        if self._find.fields is None:
            return None
        return _sorted({*self._find.fields, *(order.field for order in self._find.order_by)})

    def _changed_reads(self) -> tuple[Read, ...]:
        looked_at, collection = self._looked_at(), self._find.collection
        if looked_at is None:
            return tuple(KeyRead(collection, key, None) for key in self._changed)
        fields = {*looked_at, *fields_of(decode_expr(self._find.where))}
        return tuple(
            KeyRead(collection, key, _sorted(fields.difference(decode_changes(self._own[key].write.fields))))
            for key in self._changed
        )


class NumberPlan:
    """A count or a sum, made of the records themselves."""

    def __init__(self, definition: CollectionDef, operation: Count | Sum, buffer: WriteBuffer) -> None:
        self._field = operation.field if isinstance(operation, Sum) else None
        fields = () if self._field is None else (self._field,)
        find = Find(operation.realm, operation.collection, operation.where, fields=fields)
        self._range = RangePlan(definition, find, buffer)
        self.realm, self.queries, self.seen = operation.realm, self._range.queries, self._range.seen

    def finish(self, rows: Sequence[Rows]) -> Joined:
        """Return the number."""
        chosen, reads = self._range.join(rows)
        if self._field is None:
            return Joined(NumberResult(len(chosen)), reads)
        values = [row[self._field] for _, row in chosen if self._field in row]
        total: int | Decimal | float = sum(values)
        return Joined(NumberResult(total), reads)


class DetachPlan:
    """Delete a node with its relationships of every type; without `detach` certification sees that it has none."""

    def __init__(self, realm: RealmDef, operation: Delete, buffer: WriteBuffer) -> None:
        self.realm = operation.realm
        self._delete = operation
        self._ranges = [
            RangePlan(edges, _adjacent(operation.realm, edges, operation.collection, operation.key), buffer)
            for _, edges in sorted(realm.collections.items())
            if operation.collection in (edges.start, edges.end)
        ]
        self.queries: tuple[Query, ...] = tuple(query for plan in self._ranges for query in plan.queries)
        self.seen = frozenset[str]().union(*(plan.seen for plan in self._ranges))

    def finish(self, rows: Sequence[Rows]) -> Joined:
        """Return the deletes of the relationships, then of the node."""
        reads: list[Read] = []
        writes: list[Write] = []
        at = 0
        for plan in self._ranges:
            chosen, looked_at = plan.join(rows[at : at + len(plan.queries)])
            at += len(plan.queries)
            reads.extend(looked_at)
            writes.extend(Write(plan.collection, key, Expect.PRESENT, Act.DELETE) for key, _ in chosen)
        writes.append(Write(self._delete.collection, self._delete.key, Expect.PRESENT, Act.DELETE))
        return Joined(Nothing(), tuple(reads), tuple(writes))


def plan_read(operation: ReadOperation, realm: RealmDef, buffer: WriteBuffer) -> Plan:
    """Return the plan of an operation that reads; it is validated."""
    if isinstance(operation, Get | GetMany):
        return PointPlan(operation, buffer)
    if isinstance(operation, Neighbours):
        edges = realm.collections[operation.relationship]
        where = _touching(operation.key, operation.direction)
        return RangePlan(edges, Find(operation.realm, operation.relationship, where), buffer)
    definition = realm.collections[operation.collection]
    if isinstance(operation, Find):
        return RangePlan(definition, operation, buffer)
    return NumberPlan(definition, operation, buffer)


def needs_image(own: Buffered | None) -> bool:
    """Tell whether what lies in the realm has a part in what the transaction sees of a record."""
    return own is None or own.write.act == Act.CHANGE


def calls_of(writes: Iterable[Buffered]) -> frozenset[str]:
    """Return every call that had a hand in these writes."""
    return frozenset[str]().union(*(own.calls for own in writes))


def projected(row: Row, fields: Fields) -> Row:
    """Return only the fields asked for; those that are null are left out."""
    return row if fields is None else {field: row[field] for field in fields if field in row}


def closed(where: Where, order_by: Sequence[OrderBy], last: Row, definition: CollectionDef) -> Where:
    """Return the predicate of what an answer that was cut at its limit depends on: nothing after the last row.

    The first field of the order decides; ties of its last value are kept in, which is more than needed. Without an order
    rows come by key, so its first component decides where its encoding sorts as its values do. Where values of several
    families could be mixed (a field that is not declared) the predicate stays as it is.
    """
    order = order_by[0] if order_by else OrderBy(definition.key[0])
    declared = definition.fields.get(order.field)
    if declared is None or declared.kind not in (_SORTED_KINDS if order_by else _SORTED_KEY_KINDS):
        return where
    value = last.get(order.field)
    field = order.field
    if order.descending:
        if value is None:
            return where
        upto: Expr = Compare(field, ">=", value)
    elif value is None:
        upto = IsNull(field)
    else:
        upto = Or((Compare(field, "<=", value), IsNull(field)))
    return encode_expr(And((decode_expr(where), upto)) if where else upto)


def _adjacent(realm: Realm, edges: CollectionDef, node: Collection, key: Key) -> Find:
    """Return the query for the relationships of one type that join a node, at either end."""
    ends = {Direction.BOTH: edges.start == edges.end, Direction.OUT: edges.start == node, Direction.IN: True}
    direction = next(direction for direction, holds in ends.items() if holds)
    return Find(realm, edges.name, _touching(key, direction))


def _touching(key: Key, direction: Direction) -> Where:
    node = decode_key(key)[0]
    out, into = Compare(START, "=", node), Compare(END, "=", node)
    choice: dict[Direction, Expr] = {Direction.OUT: out, Direction.IN: into, Direction.BOTH: Or((out, into))}
    return encode_expr(choice[direction])


def _sorted(fields: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted(set(fields)))
