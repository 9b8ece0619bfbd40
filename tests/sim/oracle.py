"""The oracle: is there a serial order, agreeing with real time, that explains every answer?

Exact and exponential, for small histories: it tries the attempts in every order that real time allows,
executes each on a model of the data, and keeps only orders in which every answer comes out the same. It
shares nothing with what it judges but the meaning of operations on a dictionary.
"""

from collections.abc import Iterator, Mapping, Sequence

import msgspec

from grit.core.catalog import END, START, CollectionDef, RealmDef, Shape
from grit.core.errors import Code
from grit.core.ids import Collection, Key, Realm, TxnId
from grit.core.keys import decode_key, encode_key
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
    Nothing,
    NumberResult,
    Operation,
    Patch,
    Put,
    Result,
    RowResult,
    RowsResult,
    Sum,
    Unlink,
)
from grit.core.ordering import ordered
from grit.core.predicate import matches
from grit.core.values import Row, encode_record

Place = tuple[Realm, Collection]
State = dict[Place, dict[Key, Row]]


class Attempt(msgspec.Struct, frozen=True):
    """One attempt at a transaction, as its client saw it.

    Attributes:
        began, ended: Moments of the world; an attempt that ended before another began comes before it.
        results: Of the operations, as far as they were answered; None = it was not.
        error: The code of an error about the data that it was told, "" when it committed. Where several are true
            any one may be told.
        sure: False: the client does not know the outcome; then it may be left out of the order.
        checked: The moment when all its reads were done, and it asked whether they still hold; 0 = it never asked.
    """

    name: TxnId
    began: int
    ended: int
    operations: tuple[Operation, ...]
    results: tuple[Result | None, ...]
    error: str = ""
    sure: bool = True
    checked: int = 0


class Broken(Exception):
    """An operation of the model fails, as the database would."""

    def __init__(self, code: Code) -> None:
        super().__init__(code)
        self.code = code


def explain(attempts: Sequence[Attempt], realms: Mapping[Realm, RealmDef], final: State) -> list[TxnId] | None:
    """Return the names in a serial order that explains everything and leaves `final`; None: there is none."""
    search = _Search(attempts, realms, final)
    return search.run()


class _Search:
    def __init__(self, attempts: Sequence[Attempt], realms: Mapping[Realm, RealmDef], final: State) -> None:
        self._attempts = attempts
        self._model = Model(realms)
        self._final = fingerprint(final)
        self._seen: set[tuple[int, bytes]] = set()

    def run(self) -> list[TxnId] | None:
        order = self._extend((1 << len(self._attempts)) - 1, {})
        return None if order is None else [self._attempts[i].name for i in order]

    def _extend(self, left: int, state: State) -> list[int] | None:
        print_of = fingerprint(state)
        if self._may_end(left) and print_of == self._final:
            return []
        if (left, print_of) in self._seen:
            return None
        self._seen.add((left, print_of))
        for i in self._first_candidates(left):
            after = self._model.replay(self._attempts[i], state)
            if after is not None:
                rest = self._extend(left & ~(1 << i), after)
                if rest is not None:
                    return [i, *rest]
        return None

    def _may_end(self, left: int) -> bool:
        return not any(attempt.sure for i, attempt in enumerate(self._attempts) if left >> i & 1)

    def _first_candidates(self, left: int) -> list[int]:
        """Those that no other one must precede; one whose outcome is unknown precedes nothing."""
        there = [i for i in range(len(self._attempts)) if left >> i & 1]
        first_end = min((self._attempts[i].ended for i in there if self._attempts[i].sure), default=None)
        return [i for i in there if first_end is None or self._attempts[i].began <= first_end]


class Model:
    """What operations mean on plain dictionaries, constraints included."""

    def __init__(self, realms: Mapping[Realm, RealmDef]) -> None:
        self._realms = realms

    def replay(self, attempt: Attempt, state: State) -> State | None:
        """Return the state after the attempt; None: at this place it would have been answered otherwise."""
        mine: State = {place: dict(rows) for place, rows in state.items()}
        broken: set[str] = set()
        assumed: set[object] = set()
        for i, operation in enumerate(attempt.operations):
            try:
                result = self.apply(mine, operation)
            except Broken as error:
                broken.add(error.code.value)
                assumed.add(_record_of(operation))
                if isinstance(operation, Insert):
                    mine[operation.realm, operation.collection][operation.key] = operation.row
                continue
            if isinstance(operation, Insert) and _record_of(operation) in assumed:
                broken.add(Code.ALREADY_EXISTS.value)
            if i < len(attempt.results) and attempt.results[i] not in (None, result):
                return None
        broken |= {code.value for code in self._violations(mine)}
        if attempt.error:
            return state if attempt.error in broken else None
        return None if broken else mine

    def apply(self, state: State, operation: Operation) -> Result:
        """Carry out one operation; raises `Broken`."""
        if isinstance(operation, Neighbours):
            rows = state.get((operation.realm, operation.relationship), {})
            node = decode_key(operation.key)[0]
            sides = {"out": (START,), "in": (END,), "both": (START, END)}[operation.direction.value]
            found = [pair for pair in rows.items() if any(pair[1][side] == node for side in sides)]
            return RowsResult(tuple(row for _, row in ordered(found, ())))
        rows = state.setdefault((operation.realm, operation.collection), {})
        if isinstance(operation, Get):
            return RowResult(rows.get(operation.key))
        if isinstance(operation, GetMany):
            return RowsResult(tuple(rows.get(key) for key in operation.keys))
        if isinstance(operation, Find):
            found = [pair for pair in rows.items() if matches(operation.where, pair[1])]
            return RowsResult(tuple(row for _, row in ordered(found, operation.order_by)[: operation.limit]))
        if isinstance(operation, Count):
            return NumberResult(sum(matches(operation.where, row) for row in rows.values()))
        if isinstance(operation, Sum):
            chosen = (row.get(operation.field) for row in rows.values() if matches(operation.where, row))
            return NumberResult(sum(value for value in chosen if value is not None))
        self._change(rows, operation)
        return Nothing()

    def _change(
        self, rows: dict[Key, Row], operation: Insert | Put | Patch | Delete | Increment | Link | Unlink
    ) -> None:
        key = operation.key
        if isinstance(operation, Insert) and key in rows:
            raise Broken(Code.ALREADY_EXISTS)
        if isinstance(operation, Patch | Delete | Increment | Unlink) and key not in rows:
            raise Broken(Code.NOT_FOUND)
        if isinstance(operation, Insert | Put):
            rows[key] = operation.row
        elif isinstance(operation, Link):
            start, end = decode_key(operation.start)[0], decode_key(operation.end)[0]
            rows[key] = {**operation.properties, START: start, END: end}
        elif isinstance(operation, Patch):
            changed = {**rows[key], **operation.changes}
            rows[key] = {field: value for field, value in changed.items() if value is not None}
        elif isinstance(operation, Increment):
            rows[key] = {**rows[key], operation.field: rows[key].get(operation.field, 0) + operation.delta}
        else:
            del rows[key]

    def _violations(self, state: State) -> Iterator[Code]:
        """Constraints hold at commit, whatever the order of the writes."""
        for (realm, name), rows in sorted(state.items()):
            definition = self._realms[realm].collections[name]
            for row in rows.values():
                yield from _out_of_bounds(definition, row)
                yield from self._orphans(state, realm, definition, row)
            for group in definition.unique:
                values = [tuple(row.get(field) for field in group) for row in rows.values()]
                known = [one for one in values if None not in one]
                if len(known) != len(set(known)):
                    yield Code.CONSTRAINT

    def _orphans(self, state: State, realm: Realm, definition: CollectionDef, row: Row) -> Iterator[Code]:
        parents = dict(definition.references)
        if definition.shape == Shape.RELATIONSHIP:
            assert definition.start is not None
            assert definition.end is not None
            parents |= {START: definition.start, END: definition.end}
        for field, parent in parents.items():
            value = row.get(field)
            if value is not None and encode_key([value]) not in state.get((realm, parent), {}):
                yield Code.CONSTRAINT


def _out_of_bounds(definition: CollectionDef, row: Row) -> Iterator[Code]:
    for field, bound in definition.bounds.items():
        value = row.get(field)
        low = value is not None and bound.min is not None and value < bound.min
        high = value is not None and bound.max is not None and value > bound.max
        if low or high:
            yield Code.BOUND_VIOLATION


def _record_of(operation: Operation) -> object:
    """Name the record: what a write counts on is judged at commit, until then its home takes it as done."""
    return (operation.realm, operation.collection, getattr(operation, "key", None))


def fingerprint(state: State) -> bytes:
    """Return what tells two states apart."""
    parts: list[bytes] = []
    for (realm, name), rows in sorted(state.items()):
        for key, row in sorted(rows.items()):
            parts.append(f"{realm}.{name}".encode() + b"/" + key + b"=" + encode_record(row))
    return b"\n".join(parts)
