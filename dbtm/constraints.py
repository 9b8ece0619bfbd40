"""Constraints of the database as reads and writes, so that a certified write set can always be applied.

UNIQUE is a predicate read ("no other record holds these values"), a foreign key is a read of the parent, a
parent's delete is a predicate read ("no children"), a CHECK over several fields reads them all. As reads
they conflict with what others write, decided or not, by the one rule for all reads (docs/adr/0005). A
relationship is a child of the two nodes that it joins.
"""

from collections.abc import Iterator, Mapping

import msgspec

from grit.core.catalog import END, START, Bound, Check, CollectionDef, RealmDef, Shape
from grit.core.collection_rules import violated_check
from grit.core.errors import Code
from grit.core.ids import Collection, Key
from grit.core.keys import decode_key, encode_key
from grit.core.parts import Act, Expect, KeyRead, PredicateRead, Read, Write, after_image, encode_image, touched_fields
from grit.core.predicate import And, Compare, encode_expr
from grit.core.values import INT_MAX, INT_MIN, Row, Value, decode_record, encode_value

ANY_INT = Bound(INT_MIN, INT_MAX)


class Planned(msgspec.Struct, frozen=True, gc=False):
    """One write with its exact images as of now.

    `fields`: what it changes, None = the record comes or goes (or nobody can tell); `deltas`: those of them
    that are increments.
    """

    write: Write
    before: Row | None
    after: Row | None
    before_bytes: bytes | None
    after_bytes: bytes | None
    fields: frozenset[str] | None
    deltas: frozenset[str]


class Question(msgspec.Struct, frozen=True, gc=False):
    """No record, but `own`, may match `read` once the transaction's own writes are in place."""

    read: PredicateRead
    own: Key | None
    message: str


class Demand(msgspec.Struct, frozen=True, gc=False):
    """What the writes of a part count on, beside its own reads.

    `reads` conflict like the part's own; `presence`: (collection, key, sentence) of records that must exist;
    `broken`: what is wrong whatever others do, as (code, message).
    """

    reads: tuple[Read, ...]
    presence: tuple[tuple[Collection, Key, str], ...]
    questions: tuple[Question, ...]
    broken: tuple[tuple[Code, str], ...]


def plan_write(write: Write, before_bytes: bytes | None) -> Planned:
    """Return the write with its images, given the newest image of its record."""
    before = None if before_bytes is None else decode_record(before_bytes)
    after = after_image(write, before)
    deltas = frozenset([field for field, _ in write.deltas])
    if before is None or after is None:
        fields = None
    elif write.act == Act.CHANGE:
        fields = touched_fields(write)
    else:
        fields = frozenset([f for f in before.keys() | after.keys() if _differ(before.get(f), after.get(f))])
    return Planned(write, before, after, before_bytes, encode_image(after), fields, deltas)


def _differ(one: Value, other: Value) -> bool:
    """Tell whether two values are different bytes: Python takes False for 0, and 1 for 1.0, at any depth."""
    if type(one) is not type(other) or one != other:
        return True
    return isinstance(one, list | dict) and encode_value(one) != encode_value(other)


def name_key(collection: Collection, key: Key) -> str:
    """Return `collection/(k1,k2)` for messages."""
    return f"{collection}/({','.join(str(component) for component in decode_key(key))})"


class Constraints:
    """The constraints of one realm, arranged by what triggers them, and its `collections`."""

    def __init__(self, realm: RealmDef) -> None:
        self._realm = realm
        self.collections = realm.collections
        self._parents = {name: dict(_parents(c)) for name, c in realm.collections.items()}
        self._children: dict[Collection, list[tuple[Collection, str]]] = {name: [] for name in realm.collections}
        for child, parents in sorted(self._parents.items()):
            for field, parent in parents.items():
                self._children[parent].append((child, field))

    def demand(self, planned: Planned) -> Demand:
        """Return what one write counts on."""
        write, definition = planned.write, self.collections[planned.write.collection]
        reads: list[Read] = []
        broken: list[tuple[Code, str]] = []
        if write.expect != Expect.ANYTHING:
            reads.append(KeyRead(write.collection, write.key, ()))
            broken.extend(_existence(planned))
        if write.deltas:
            reads.append(KeyRead(write.collection, write.key, tuple(f for f, _ in write.deltas), commutes=True))
        if planned.after is not None:
            broken.extend(_static(planned, definition))
        reads.extend(self._whole_groups(planned, definition))
        presence = tuple(self._presence(planned))
        questions = (*_unique(planned, definition), *self._childless(planned))
        reads.extend(KeyRead(collection, key, ()) for collection, key, _ in presence)
        reads.extend(question.read for question in questions)
        return Demand(tuple(reads), presence, questions, tuple(broken))

    def bound(self, collection: Collection, field: str) -> Bound:
        """Return the bounds that increments of a field must keep."""
        bound = self.collections[collection].bounds.get(field)
        if bound is None:
            return ANY_INT
        return Bound(INT_MIN if bound.min is None else bound.min, INT_MAX if bound.max is None else bound.max)

    def _whole_groups(self, planned: Planned, definition: CollectionDef) -> Iterator[Read]:
        """A write of one field of a constraint over several reads them all."""
        if planned.write.act != Act.CHANGE or planned.fields is None:
            return
        groups: list[tuple[str, ...]] = [*definition.unique, *(check.fields for check in definition.checks)]
        for group in groups:
            if len(group) > 1 and not planned.fields.isdisjoint(group):
                yield KeyRead(planned.write.collection, planned.write.key, group)

    def _presence(self, planned: Planned) -> Iterator[tuple[Collection, Key, str]]:
        if planned.after is None:
            return
        for field, parent in self._parents[planned.write.collection].items():
            value = planned.after.get(field)
            if value is not None and (planned.before is None or planned.before.get(field) != value):
                key = encode_key([value])
                record = name_key(planned.write.collection, planned.write.key)
                yield parent, key, f"{record}: {field} names {name_key(parent, key)}, which does not exist"

    def _childless(self, planned: Planned) -> Iterator[Question]:
        if planned.write.act != Act.DELETE or planned.before is None:
            return
        components = decode_key(planned.write.key)
        for child, field in self._children[planned.write.collection]:
            where = encode_expr(Compare(field, "=", components[0]))
            record = name_key(planned.write.collection, planned.write.key)
            yield Question(PredicateRead(child, where, ()), None, f"{record} is still named by {child}.{field}")


def _parents(definition: CollectionDef) -> Iterator[tuple[str, Collection]]:
    yield from sorted(definition.references.items())
    if definition.shape == Shape.RELATIONSHIP and definition.start is not None and definition.end is not None:
        yield START, definition.start
        yield END, definition.end


def _existence(planned: Planned) -> Iterator[tuple[Code, str]]:
    write = planned.write
    if write.expect == Expect.ABSENT and planned.before is not None:
        yield Code.ALREADY_EXISTS, f"{name_key(write.collection, write.key)} already exists"
    if write.expect == Expect.PRESENT and planned.before is None:
        yield Code.NOT_FOUND, f"{name_key(write.collection, write.key)} does not exist"


def _static(planned: Planned, definition: CollectionDef) -> Iterator[tuple[Code, str]]:
    """Bounds of fields that are set, and CHECKs: they hold or not whatever others do."""
    assert planned.after is not None
    write = planned.write
    for field, bound in definition.bounds.items():
        value = planned.after.get(field)
        set_here = planned.fields is None or field in planned.fields - planned.deltas
        if set_here and value is not None and not _within(value, bound):
            yield (
                Code.BOUND_VIOLATION,
                f"{name_key(write.collection, write.key)}: {field} = {value} is outside {_interval(bound)}",
            )
    fired = tuple(check for check in definition.checks if _check_fires(planned, check))
    check = violated_check(msgspec.structs.replace(definition, checks=fired), planned.after) if fired else None
    if check is not None:
        yield Code.CONSTRAINT, f"{name_key(write.collection, write.key)}: check `{check.text}` does not hold"


def _check_fires(planned: Planned, check: Check) -> bool:
    return planned.fields is None or not planned.fields.isdisjoint(check.fields)


def _within(value: int, bound: Bound) -> bool:
    return (bound.min is None or value >= bound.min) and (bound.max is None or value <= bound.max)


def _interval(bound: Bound) -> str:
    low = "-inf" if bound.min is None else str(bound.min)
    high = "inf" if bound.max is None else str(bound.max)
    return f"[{low}, {high}]"


def _unique(planned: Planned, definition: CollectionDef) -> Iterator[Question]:
    if planned.after is None:
        return
    for group in definition.unique:
        values = [planned.after.get(field) for field in group]
        same = planned.before is not None and values == [planned.before.get(field) for field in group]
        if same or any(value is None for value in values):
            continue
        where = encode_expr(And(tuple(Compare(f, "=", v) for f, v in zip(group, values, strict=True))))
        named = ", ".join(f"{f}={v}" for f, v in zip(group, values, strict=True))
        record = name_key(planned.write.collection, planned.write.key)
        message = f"{record}: another record has the unique {named}"
        yield Question(PredicateRead(planned.write.collection, where, ()), planned.write.key, message)


def rows_after(
    rows: Mapping[Key, Row], writes: Mapping[tuple[Collection, Key], Planned], collection: Collection
) -> dict[Key, Row]:
    """Return the rows of a collection once the transaction's own writes are in place."""
    out = dict(rows)
    for (written, key), planned in writes.items():
        if written == collection:
            out.pop(key, None)
            if planned.after is not None:
                out[key] = planned.after
    return out
