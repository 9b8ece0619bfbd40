"""Certification: may this part commit, given everything that this realm has promised so far?

The three questions of protocol.md sections 5 and 6, each a pure function of what the leader knows *now*;
nothing can come between asking and inserting, because one `step` does both.

    f   a read conflicts with a decided write above its position (in flight counts): no
    g   it conflicts with a pending global: a local parks, a vote reports it
    c   what the writes count on (existence, constraints, bounds) is judged on the newest images

A vote rests on durable state alone: what it counts on above the durable tail is a `READ_CONFLICT`, and an
increment that is not durable counts as one that may not happen.
"""

from collections.abc import Callable, Iterable, Mapping

import msgspec
from msgspec import UNSET, UnsetType

from dbtm.constraints import Constraints, Demand, Planned, name_key, plan_write, rows_after
from dbtm.history import Change, History, conflict_of
from dbtm.intake import take_part
from dbtm.pending import Pending, RecordId
from grit.core.errors import Code
from grit.core.ids import Collection, Key, Lsn, Realm, TxnId
from grit.core.outcome import Conflict
from grit.core.parts import KeyRead, Part, PredicateRead, Read
from grit.core.predicate import matches
from grit.core.values import Row, decode_record

RowsOf = Callable[[PredicateRead], Mapping[Key, Row] | None]
"""The newest rows of a predicate, in flight included; None: ask the database first."""


class Refusal(msgspec.Struct, frozen=True, gc=False):
    """Why a part cannot commit as it is."""

    code: Code
    message: str = ""
    conflict: Conflict | None = None


class Examined(msgspec.Struct, frozen=True, gc=False):
    """A part with the images of its writes and everything that they count on.

    `missing`: what must be asked of the database first: records and predicates; then nothing else counts.
    `absent`: records that the writes count on, written elsewhere, and that are not there. It is kept, because who asks again
    in the same step may hear that the record is not known any more: images are forgotten as others are remembered.
    """

    part: Part
    plans: Mapping[RecordId, Planned]
    demands: tuple[Demand, ...] = ()
    missing: tuple[RecordId | PredicateRead, ...] = ()
    absent: frozenset[RecordId] = frozenset()

    def derived_reads(self) -> list[Read]:
        """Return what the writes read by themselves."""
        return [read for demand in self.demands for read in demand.reads]


class Certifier:
    """Certifies against the state of one realm; changes nothing."""

    def __init__(self, realm: Realm, constraints: Constraints, history: History, pending: Pending) -> None:
        self._realm = realm
        self._constraints = constraints
        self._history = history
        self._pending = pending

    def take_part(self, txid: TxnId, encoded: bytes) -> Part:
        """Return the part of a transaction; raises ValueError, see `dbtm.intake`."""
        return take_part(txid, encoded, self._constraints.collections)

    def examine(
        self, part: Part, newest: Callable[[Collection, Key], bytes | UnsetType | None], rows_of: RowsOf
    ) -> Examined:
        """Plan the writes on the newest images; say what is missing for that."""
        plans: dict[RecordId, Planned] = {}
        missing: list[RecordId | PredicateRead] = []
        for write in part.writes:
            before = newest(write.collection, write.key)
            if isinstance(before, UnsetType):
                missing.append((write.collection, write.key))
            else:
                plans[write.collection, write.key] = plan_write(write, before)
        if missing:
            return Examined(part, {}, missing=tuple(missing))
        demands = tuple(self._constraints.demand(planned) for planned in plans.values())
        needed = [(c, k) for demand in demands for c, k, _ in demand.presence if (c, k) not in plans]
        found = {record: newest(*record) for record in needed}
        missing.extend(record for record, image in found.items() if image is UNSET)
        for demand in demands:
            missing.extend(question.read for question in demand.questions if rows_of(question.read) is None)
        absent = frozenset(record for record, image in found.items() if image is None)
        return Examined(part, plans, demands, tuple(missing), absent)

    def find_stale(self, part: Part) -> Refusal | None:
        """f: a decided write above the position has changed what the part read."""
        if not part.reads:
            return None
        if part.position < self._history.floor:
            return Refusal(
                Code.TOO_OLD, f"realm {self._realm}: reads at Lsn {part.position:,} are no longer remembered"
            )
        found = self._history.find_stale_read(part.reads, part.position)
        if found is None:
            return None
        read, change = found
        return self._stale(read, change, part.position)

    def find_unsettled(self, examined: Examined, durable: Lsn) -> Refusal | None:
        """For a vote: what the writes count on has a write in flight, which may turn out void."""
        found = self._history.find_stale_read(examined.derived_reads(), durable)
        if found is None:
            return None
        read, change = found
        return self._stale(read, change, durable)

    def find_broken(self, examined: Examined, rows_of: RowsOf) -> Refusal | None:
        """Answer c: an expectation or constraint does not hold on the newest images."""
        for demand in examined.demands:
            for code, message in demand.broken:
                return Refusal(code, message)
            for collection, key, message in demand.presence:
                planned = examined.plans.get((collection, key))
                is_gone = (collection, key) in examined.absent if planned is None else planned.after is None
                if is_gone:
                    return Refusal(Code.CONSTRAINT, message)
            for question in demand.questions:
                rows = rows_of(question.read)
                assert rows is not None, "asked for before"
                after = rows_after(rows, examined.plans, question.read.collection)
                if any(k != question.own and matches(question.read.where, row) for k, row in after.items()):
                    return Refusal(Code.CONSTRAINT, question.message)
        return None

    def find_unbounded(self, examined: Examined, unsure_above: Lsn) -> Refusal | None:
        """C for increments: every undecided one, and every one above `unsure_above`, may or may not happen.

        BOUND_VIOLATION if the bound holds for no subset of those, CONTENTION if it breaks for some.
        """
        worst: Refusal | None = None
        for planned in examined.plans.values():
            for field, delta in planned.write.deltas:
                refusal = self._unbounded(planned, field, delta, unsure_above)
                if refusal is not None and (worst is None or refusal.code == Code.BOUND_VIOLATION):
                    worst = refusal
        return worst

    def _unbounded(self, planned: Planned, field: str, delta: int, unsure_above: Lsn) -> Refusal | None:
        write = planned.write
        bound = self._constraints.bound(write.collection, field)
        assert bound.min is not None
        assert bound.max is not None
        in_flight = _deltas_above(self._history.changes_of(write.collection, write.key), field, unsure_above)
        unsure = in_flight + self._pending.deltas_on(write.collection, write.key, field)
        sure = ((planned.before or {}).get(field) or 0) - sum(in_flight) + delta
        low = sure + sum(d for d in unsure if d < 0)
        high = sure + sum(d for d in unsure if d > 0)
        if low >= bound.min and high <= bound.max:
            return None
        possible = high >= bound.min and low <= bound.max
        code = Code.CONTENTION if possible else Code.BOUND_VIOLATION
        keys = f"{self._realm}.{name_key(write.collection, write.key)}.{field}"
        return Refusal(
            code, f"{keys}: adding {delta} would leave the bounds" + (" if others commit first" if possible else "")
        )

    def _stale(self, read: Read, change: Change, position: Lsn) -> Refusal:
        code = Code.READ_CONFLICT if isinstance(read, KeyRead) else Code.PHANTOM
        return Refusal(code, conflict=conflict_of(read, change, self._realm, position))


def changes_of(examined: Examined, lsn: Lsn, txid: TxnId, origin: str) -> list[Change]:
    """Return what the part does at its Lsn, for the history; no-ops are left out."""
    return [
        Change(
            lsn,
            txid,
            origin,
            planned.write.collection,
            planned.write.key,
            planned.fields,
            planned.deltas,
            planned.before_bytes,
            planned.after_bytes,
        )
        for planned in examined.plans.values()
        if planned.before_bytes != planned.after_bytes
    ]


def newest_rows(
    stored: Mapping[Key, Row], overlaid: Iterable[tuple[Key, bytes | None]], in_flight: Iterable[Change]
) -> dict[Key, Row]:
    """Return stored rows brought up to date: durable values first, then what is in flight, newest first."""
    rows = dict(stored)
    for key, image in overlaid:
        _replace(rows, key, image)
    for change in reversed(list(in_flight)):
        _replace(rows, change.key, change.after)
    return rows


def _replace(rows: dict[Key, Row], key: Key, image: bytes | None) -> None:
    if image is None:
        rows.pop(key, None)
    else:
        rows[key] = decode_record(image)


def _deltas_above(changes: Iterable[Change], field: str, above: Lsn) -> list[int]:
    return [
        decode_record(change.after)[field] - decode_record(change.before).get(field, 0)
        for change in changes
        if change.lsn > above and field in change.deltas and change.before is not None and change.after is not None
    ]
