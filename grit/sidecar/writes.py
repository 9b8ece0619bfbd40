"""The write buffer of a transaction: one folded write a record, and who made it.

What each call did is kept in order, tagged with the call, beside the fold of it all. So the effects of a call that was
dropped can be taken out again: the rest is folded anew. What one call does to a record without another in between is
one step, so the steps are bounded by records and calls.
"""

from collections.abc import Iterable, Mapping

import msgspec

from grit.core.catalog import END, START, Bound
from grit.core.errors import Code, GritError
from grit.core.ids import Collection, Key, Realm
from grit.core.keys import decode_key
from grit.core.operations import Change, Increment, Insert, Link, Patch, Put
from grit.core.parts import Act, Expect, Write, decode_changes, encode_changes
from grit.core.values import INT_MAX, INT_MIN, Value, decode_record, encode_record

Place = tuple[Collection, Key]
"""Where a record lies within its realm."""
ROOT = ""
"""The call of the service that began the transaction."""


class Buffered(msgspec.Struct, frozen=True):
    """One folded write; `calls` are those that had a hand in it."""

    write: Write
    calls: frozenset[str]


def write_of(change: Change) -> Write:
    """Return the write that an operation makes by itself; it is validated."""
    if isinstance(change, Insert):
        return Write(change.collection, change.key, Expect.ABSENT, Act.REPLACE, encode_record(change.row))
    if isinstance(change, Put):
        return Write(change.collection, change.key, Expect.ANYTHING, Act.REPLACE, encode_record(change.row))
    if isinstance(change, Patch):
        return Write(change.collection, change.key, Expect.PRESENT, Act.CHANGE, encode_changes(change.changes))
    if isinstance(change, Increment):
        deltas = ((change.field, change.delta),)
        return Write(change.collection, change.key, Expect.PRESENT, Act.CHANGE, deltas=deltas)
    if isinstance(change, Link):
        ends = {START: decode_key(change.start)[0], END: decode_key(change.end)[0]}
        record = encode_record({**change.properties, **ends})
        return Write(change.collection, change.key, Expect.ANYTHING, Act.REPLACE, record)
    return Write(change.collection, change.key, Expect.PRESENT, Act.DELETE)


def fold(earlier: Write | None, later: Write, *, bounds: Mapping[str, Bound], name: str) -> Write:
    """Return the one write that does what both do, one after the other.

    What the first counted on is what both count on: after it the record is known to be there, or gone.

    Args:
        earlier: What the transaction did to the record so far; None = nothing.
        later: One write as an operation makes it.
        bounds: Bounds of the collection's fields: a value known from the buffer must keep them.
        name: "realm.collection", for messages.

    Raises:
        GritError: ALREADY_EXISTS, NOT_FOUND or BOUND_VIOLATION, where the buffer alone shows it.
    """
    if earlier is None:
        return later
    is_gone = earlier.act == Act.DELETE
    if later.expect == Expect.ABSENT and not is_gone:
        raise GritError(Code.ALREADY_EXISTS, f"{spelt(name, later.key)}: this transaction has already written it")
    if later.expect == Expect.PRESENT and is_gone:
        raise GritError(Code.NOT_FOUND, f"{spelt(name, later.key)}: this transaction has deleted it")
    if later.act != Act.CHANGE:
        return msgspec.structs.replace(later, expect=earlier.expect)
    return _changed(earlier, later, bounds, name)


def spelt(name: str, key: bytes) -> str:
    """Return a record's name for people: realm.collection/(a,b)."""
    return f"{name}/({','.join(str(component) for component in decode_key(key))})"


def _changed(earlier: Write, later: Write, bounds: Mapping[str, Bound], name: str) -> Write:
    """Fold a patch or increment onto a record that the transaction has replaced or changed."""
    whole = earlier.act == Act.REPLACE
    known = decode_record(earlier.fields) if whole else decode_changes(earlier.fields)
    deltas = dict(earlier.deltas)
    for field, value in decode_changes(later.fields).items():
        known[field] = value
        deltas.pop(field, None)
    for field, delta in later.deltas:
        place = f"{spelt(name, later.key)}.{field}"
        if whole or field in known:
            known[field] = _incremented(known.get(field), delta, bounds.get(field), place)
        else:
            deltas[field] = _in_64_bits(deltas.get(field, 0) + delta, place)
    if whole:
        return msgspec.structs.replace(earlier, fields=encode_record(known))
    fields = encode_changes(known) if known else b""
    return msgspec.structs.replace(earlier, fields=fields, deltas=tuple(sorted(deltas.items())))


def _incremented(value: Value, delta: int, bound: Bound | None, place: str) -> int:
    total = _in_64_bits((value or 0) + delta, place)
    if bound is None:
        return total
    if (bound.min is not None and total < bound.min) or (bound.max is not None and total > bound.max):
        least, most = ("any" if end is None else f"{end:,}" for end in (bound.min, bound.max))
        raise GritError(Code.BOUND_VIOLATION, f"{place} would be {total:,}; it may be {least} to {most}")
    return total


def _in_64_bits(total: int, place: str) -> int:
    if not INT_MIN <= total <= INT_MAX:
        raise GritError(Code.BOUND_VIOLATION, f"{place} would be beyond 64 bits")
    return total


class WriteBuffer:
    """What a transaction writes in one realm, before commit.

    Args:
        realm: For messages.
        bounds: Collection -> bounds of its fields.

    Attributes:
        bytes: About how much the folded writes weigh.
    """

    def __init__(self, realm: Realm, bounds: Mapping[Collection, Mapping[str, Bound]]) -> None:
        self._realm = realm
        self._bounds = bounds
        self._steps: list[tuple[str, Write]] = []
        self._newest: dict[Place, int] = {}
        """Record -> the newest step that concerns it."""
        self._folded: dict[Collection, dict[Key, Buffered]] = {}
        self.bytes = 0
        self.records = 0

    def __len__(self) -> int:
        return self.records

    def add(self, call: str, write: Write) -> None:
        """Take one write as an operation of `call` makes it.

        Raises:
            GritError: As `fold`; then nothing was taken.
        """
        self._take(call, write)
        self._note(call, write)

    def get(self, collection: Collection, key: Key) -> Buffered | None:
        """Return what the transaction does to a record."""
        return self._folded.get(collection, {}).get(key)

    def of(self, collection: Collection) -> Mapping[Key, Buffered]:
        """Return everything it does in a collection; a snapshot, later writes do not show."""
        return dict(self._folded.get(collection, {}))

    def writes(self) -> tuple[Write, ...]:
        """Return the writes of the part, by collection and key."""
        return tuple(
            self._folded[collection][key].write
            for collection in sorted(self._folded)
            for key in sorted(self._folded[collection])
        )

    def drop(self, calls: Iterable[str]) -> None:
        """Take out what these calls did.

        Raises:
            GritError: What others did makes no sense without it.
        """
        gone = frozenset(calls)
        steps = [(call, write) for call, write in self._steps if call not in gone]
        if len(steps) == len(self._steps):
            return
        self._steps, self._newest, self._folded, self.bytes, self.records = [], {}, {}, 0, 0
        for call, write in steps:
            self.add(call, write)

    def _note(self, call: str, write: Write) -> None:
        """Remember a step that has been taken."""
        place = write.collection, write.key
        at = self._newest.get(place)
        if at is not None and self._steps[at][0] == call:
            # Bounds were checked against what the whole transaction knows.
            self._steps[at] = call, fold(self._steps[at][1], write, bounds={}, name="")
            return
        self._newest[place] = len(self._steps)
        self._steps.append((call, write))

    def _take(self, call: str, write: Write) -> None:
        records = self._folded.setdefault(write.collection, {})
        before = records.get(write.key)
        name = f"{self._realm}.{write.collection}"
        earlier = None if before is None else before.write
        folded = fold(earlier, write, bounds=self._bounds.get(write.collection, {}), name=name)
        calls = frozenset({call}) if before is None else before.calls | {call}
        records[write.key] = Buffered(folded, calls)
        self.records += before is None
        self.bytes += _weight(folded) - (0 if earlier is None else _weight(earlier))


def _weight(write: Write) -> int:
    return len(write.key) + len(write.fields) + len(write.collection) + 16 * len(write.deltas) + 8
