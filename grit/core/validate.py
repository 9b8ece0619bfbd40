"""Check an operation against the catalogue, in the sidecar, before anything happened.

`validated` returns the operation as everybody after it may rely on: names are known, keys are canonical
(strings in NFC, an int as the decimal of a decimal field, times in UTC), values fit their fields, an `Insert` or
`Put` has its key. What it cannot know, it leaves: whether records exist, UNIQUE, references, and the CHECK of
a record of which a `Patch` shows only a piece (`collection_rules.violated_check` is for the merged one).
"""

from collections.abc import Iterable
from functools import singledispatch

import msgspec

from grit.core.catalog import END, START, FieldKind, Shape
from grit.core.collection_rules import Catalogue, CollectionRules, constraint_on, rules_of
from grit.core.errors import Code, GritError
from grit.core.fields import NUMBERS
from grit.core.ids import Key
from grit.core.keys import decode_key
from grit.core.limits import Limits
from grit.core.operations import (
    Begin,
    Condition,
    Count,
    Delete,
    Direction,
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
from grit.core.queries import OrderBy
from grit.core.values import INT_MAX, INT_MIN

IDEMPOTENCY_KEY_MAX = 256
"""Characters of an idempotency key."""


def validated(operation: Operation, catalogue: Catalogue, limits: Limits) -> Operation:
    """Return the operation, normalised.

    Raises:
        GritError: Of kind InvalidRequest; names realm, collection, field and the remedy.
    """
    return _validated(operation, rules_of(operation.realm, operation.collection, catalogue, limits))


def validated_condition(condition: Condition, catalogue: Catalogue, limits: Limits) -> Condition:
    """Return the condition of a `Transact`, normalised.

    Raises:
        GritError: As `validated`.
    """
    rules = rules_of(condition.realm, condition.collection, catalogue, limits)
    return msgspec.structs.replace(condition, key=rules.key(condition.key), where=rules.where(condition.where))


def validated_begin(begin: Begin, limits: Limits) -> Begin:
    """Return how the transaction begins, with its time-out filled in; what may be stale is a snapshot.

    Raises:
        GritError: TOO_LARGE; BAD_REQUEST.
    """
    if begin.staleness_ms and not begin.read_only:
        raise GritError.bad_request("staleness_ms is for read-only transactions: set read_only, or leave it out")
    if len(begin.idempotency_key) > IDEMPOTENCY_KEY_MAX:
        raise GritError(Code.TOO_LARGE, f"idempotency_key may have {IDEMPOTENCY_KEY_MAX} characters")
    if begin.timeout_ms > limits.transaction_timeout_ms:
        raise GritError(
            Code.BAD_REQUEST, f"timeout_ms is {begin.timeout_ms:,}; it may be 1 to {limits.transaction_timeout_ms:,}"
        )
    timeout_ms = begin.timeout_ms or limits.transaction_timeout_ms
    snapshot = begin.snapshot or begin.staleness_ms > 0
    return msgspec.structs.replace(begin, timeout_ms=timeout_ms, snapshot=snapshot)


@singledispatch
def _validated(operation: Operation, rules: CollectionRules) -> Operation:
    raise AssertionError(f"not an operation: {operation!r}")


@_validated.register
def _get(operation: Get, rules: CollectionRules) -> Operation:
    return msgspec.structs.replace(operation, key=rules.key(operation.key), fields=rules.fields(operation.fields))


@_validated.register
def _get_many(operation: GetMany, rules: CollectionRules) -> Operation:
    if len(operation.keys) > rules.limits.keys_per_realm:
        raise GritError(Code.TOO_LARGE, f"{rules.name}: get_many takes {rules.limits.keys_per_realm:,} keys at most")
    keys = tuple(rules.key(key) for key in operation.keys)
    return msgspec.structs.replace(operation, keys=keys, fields=rules.fields(operation.fields))


@_validated.register
def _find(operation: Find, rules: CollectionRules) -> Operation:
    if operation.limit is not None and operation.limit < 1:
        rules.refuse(f"limit is {operation.limit}; it must be at least 1")
    order_by = _order_by(operation.order_by, rules)
    where, fields = rules.where(operation.where), rules.fields(operation.fields)
    return msgspec.structs.replace(operation, where=where, fields=fields, order_by=order_by)


def _order_by(order_by: Iterable[OrderBy], rules: CollectionRules) -> tuple[OrderBy, ...]:
    for order in order_by:
        declared = rules.field(order.field)
        if declared is None or declared.kind in (FieldKind.LIST, FieldKind.MAP):
            rules.refuse(f'cannot order by "{order.field}": only declared fields of single values have an order')
    return tuple(order_by)


@_validated.register
def _count(operation: Count, rules: CollectionRules) -> Operation:
    return msgspec.structs.replace(operation, where=rules.where(operation.where))


@_validated.register
def _sum(operation: Sum, rules: CollectionRules) -> Operation:
    declared = rules.field(operation.field)
    if declared is None or declared.kind not in NUMBERS:
        kind = "not declared" if declared is None else declared.kind
        raise GritError(
            Code.TYPE_MISMATCH, f"{rules.name}.{operation.field} is {kind}; sum is of declared number fields"
        )
    return msgspec.structs.replace(operation, where=rules.where(operation.where))


@_validated.register
def _insert(operation: Insert, rules: CollectionRules) -> Operation:
    return _whole(operation, rules, "insert")


@_validated.register
def _put(operation: Put, rules: CollectionRules) -> Operation:
    return _whole(operation, rules, "put")


def _whole(operation: Insert | Put, rules: CollectionRules, verb: str) -> Operation:
    rules.expect_not_relationship(verb, "link")
    row = rules.row(operation.row)
    return msgspec.structs.replace(operation, row=row, key=rules.key_of(row))


@_validated.register
def _patch(operation: Patch, rules: CollectionRules) -> Operation:
    if not operation.changes:
        rules.refuse("patch changes nothing: name at least one field")
    for name in operation.changes:
        if name in rules.definition.key:
            rules.refuse(f'"{name}" is a key field, which never changes: delete and insert instead')
    changes = {name: rules.value(name, value) for name, value in operation.changes.items()}
    rules.check_size(changes)
    return msgspec.structs.replace(operation, key=rules.key(operation.key), changes=changes)


@_validated.register
def _delete(operation: Delete, rules: CollectionRules) -> Operation:
    rules.expect_not_relationship("delete", "unlink")
    if operation.detach and rules.definition.shape != Shape.NODE:
        rules.refuse(f"detach is for nodes; this is a {rules.definition.shape}")
    return msgspec.structs.replace(operation, key=rules.key(operation.key))


@_validated.register
def _increment(operation: Increment, rules: CollectionRules) -> Operation:
    name, definition = operation.field, rules.definition
    declared = rules.field(name)
    if declared is None or declared.kind != FieldKind.INT:
        kind = "not declared" if declared is None else declared.kind
        raise GritError(
            Code.TYPE_MISMATCH, f"{rules.name}.{name} is {kind}; only declared int fields can be incremented"
        )
    held_by = constraint_on(definition, name)
    if held_by:
        rules.refuse(f'"{name}" cannot be incremented: it is in {held_by}; read it and patch it')
    if not INT_MIN <= operation.delta <= INT_MAX:
        raise GritError(Code.TOO_LARGE, f"{rules.name}.{name}: the delta is beyond 64 bits")
    return msgspec.structs.replace(operation, key=rules.key(operation.key))


@_validated.register
def _link(operation: Link, rules: CollectionRules) -> Operation:
    rules.expect_relationship("link")
    start, end = _ends(operation, rules)
    for name in operation.properties:
        if name in (START, END):
            rules.refuse(f'"{name}" is a node of the relationship, not a property')
    ends = {START: decode_key(start)[0], END: decode_key(end)[0]}
    row = rules.row({**operation.properties, **ends})
    properties = {name: value for name, value in row.items() if name not in ends}
    return msgspec.structs.replace(operation, start=start, end=end, properties=properties)


@_validated.register
def _unlink(operation: Unlink, rules: CollectionRules) -> Operation:
    rules.expect_relationship("unlink")
    start, end = _ends(operation, rules)
    return msgspec.structs.replace(operation, start=start, end=end)


def _ends(operation: Link | Unlink, rules: CollectionRules) -> tuple[Key, Key]:
    definition = rules.definition
    # The configuration gives every relationship both.
    assert definition.start is not None
    assert definition.end is not None
    return rules.at(definition.start).key(operation.start), rules.at(definition.end).key(operation.end)


@_validated.register
def _neighbours(operation: Neighbours, rules: CollectionRules) -> Operation:
    edges = rules.at(operation.relationship)
    edges.expect_relationship("neighbours")
    ends = {Direction.OUT: (edges.definition.start,), Direction.IN: (edges.definition.end,)}
    for end in ends.get(operation.direction, (edges.definition.start, edges.definition.end)):
        if end != operation.collection:
            rules.refuse(
                f"{edges.name} goes from {edges.definition.start} to {edges.definition.end}:"
                f" {operation.direction} of a {operation.collection} holds nothing"
            )
    return msgspec.structs.replace(operation, key=rules.key(operation.key))
