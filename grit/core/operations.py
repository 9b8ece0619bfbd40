"""Operations: what a transaction may ask of its home, and what it is answered (interfaces.md section 2).

Decoded from the wire by `grit.wire`, checked and normalised by `grit.core.validate`, carried out by the
session of the sidecar. Keys are canonical bytes; records are decoded, because their types are checked.
"""

from decimal import Decimal
from enum import StrEnum

import msgspec

from grit.core.ids import Collection, Csn, Key, Lsn, Realm
from grit.core.predicate import EVERYTHING, Where
from grit.core.queries import OrderBy
from grit.core.values import Row


class Get(msgspec.Struct, frozen=True, gc=False):
    """One record or "absent". `fields` None: all; the key fields are not added by themselves."""

    realm: Realm
    collection: Collection
    key: Key
    fields: tuple[str, ...] | None = None


class GetMany(msgspec.Struct, frozen=True, gc=False):
    """Records or "absent", in the order of the keys; a key may come twice."""

    realm: Realm
    collection: Collection
    keys: tuple[Key, ...]
    fields: tuple[str, ...] | None = None


class Find(msgspec.Struct, frozen=True, gc=False):
    """The records that match, ordered (ties by canonical key), at most `limit`; None = all."""

    realm: Realm
    collection: Collection
    where: Where = EVERYTHING
    order_by: tuple[OrderBy, ...] = ()
    limit: int | None = None
    fields: tuple[str, ...] | None = None


class Count(msgspec.Struct, frozen=True, gc=False):
    """How many records match."""

    realm: Realm
    collection: Collection
    where: Where = EVERYTHING


class Sum(msgspec.Struct, frozen=True, gc=False):
    """The sum of a number field over the records that match; nulls count as nothing, of none: 0."""

    realm: Realm
    collection: Collection
    field: str
    where: Where = EVERYTHING


class Insert(msgspec.Struct, frozen=True, gc=False):
    """A new record; ALREADY_EXISTS when the key is there.

    `row` holds its key fields. `key` is made from them by `validate`; b"" before that.
    """

    realm: Realm
    collection: Collection
    row: Row
    key: Key = Key(b"")


class Put(msgspec.Struct, frozen=True, gc=False):
    """The full record, inserted or replaced; `row` and `key` as in `Insert`."""

    realm: Realm
    collection: Collection
    row: Row
    key: Key = Key(b"")


class Patch(msgspec.Struct, frozen=True, gc=False):
    """Change the named fields, null = remove; NOT_FOUND when the record is absent."""

    realm: Realm
    collection: Collection
    key: Key
    changes: Row


class Delete(msgspec.Struct, frozen=True, gc=False):
    """Remove a record; NOT_FOUND when absent. `detach`: a node's relationships too."""

    realm: Realm
    collection: Collection
    key: Key
    detach: bool = False


class Increment(msgspec.Struct, frozen=True, gc=False):
    """Add to an int field; commutes with other increments and tells no value."""

    realm: Realm
    collection: Collection
    key: Key
    field: str
    delta: int


class Link(msgspec.Struct, frozen=True, gc=False):
    """Make or replace the relationship between two nodes; `collection` is its type."""

    realm: Realm
    collection: Collection
    start: Key
    end: Key
    properties: Row = {}

    @property
    def key(self) -> Key:
        """The relationship's key."""
        return edge_key(self.start, self.end)


class Unlink(msgspec.Struct, frozen=True, gc=False):
    """Remove a relationship; NOT_FOUND when there is none."""

    realm: Realm
    collection: Collection
    start: Key
    end: Key

    @property
    def key(self) -> Key:
        """The relationship's key."""
        return edge_key(self.start, self.end)


class Direction(StrEnum):
    """Which relationships of a node: it is their start, their end, or either."""

    OUT = "out"
    IN = "in"
    BOTH = "both"


class Neighbours(msgspec.Struct, frozen=True, gc=False):
    """The relationships of one type at a node: records with `start`, `end` and properties, by canonical key.

    `collection` and `key` are the node's.
    """

    realm: Realm
    collection: Collection
    key: Key
    relationship: Collection
    direction: Direction = Direction.OUT


Read = Get | GetMany | Find | Count | Sum | Neighbours
"""Answered with rows or a number."""
Change = Insert | Put | Patch | Delete | Increment | Link | Unlink
"""Answered with `Nothing`."""
Operation = Read | Change


class Nothing(msgspec.Struct, frozen=True, gc=False):
    """A write was taken."""


class RowResult(msgspec.Struct, frozen=True, gc=False):
    """Of Get; None = absent."""

    row: Row | None


class RowsResult(msgspec.Struct, frozen=True, gc=False):
    """Of GetMany (None = absent), Find, Neighbours."""

    rows: tuple[Row | None, ...]


class NumberResult(msgspec.Struct, frozen=True, gc=False):
    """Of Count an int; of Sum what the field is."""

    number: int | Decimal | float


Result = Nothing | RowResult | RowsResult | NumberResult


class Condition(msgspec.Struct, frozen=True, gc=False):
    """What must hold for a `Transact` to commit: the record is absent, or there and satisfies `where`."""

    realm: Realm
    collection: Collection
    key: Key
    present: bool = True
    where: Where = EVERYTHING


class SessionToken(msgspec.Struct, frozen=True, gc=False):
    """What a client has seen: realm -> a position that it saw, and a Csn up to which it saw every global it came across."""

    lsns: dict[Realm, Lsn] = {}
    csn: Csn = Csn(0)

    def merged(self, other: "SessionToken") -> "SessionToken":
        """Return the token of who has seen both."""
        lsns = {realm: max(self.lsns.get(realm, Lsn(0)), lsn) for realm, lsn in other.lsns.items()}
        return SessionToken({**self.lsns, **lsns}, max(self.csn, other.csn))


class Begin(msgspec.Struct, frozen=True, gc=False):
    """How a transaction begins.

    Attributes:
        timeout_ms: From now; 0 = the sidecar's default.
        staleness_ms: With `read_only`: how old the state may be; 0 = strict.
        age: What the GTM gave to the attempt before this one; 0 = first attempt.
        session: What the client has seen and must see again.
        traceparent: W3C trace context of the caller, "" = none.
        origin: What it does and who began it, "checkout, shop": shown to those that it wins against.
    """

    snapshot: bool = False
    read_only: bool = False
    staleness_ms: int = 0
    timeout_ms: int = 0
    idempotency_key: str = ""
    age: int = 0
    session: SessionToken = SessionToken()
    traceparent: str = ""
    origin: str = ""


def edge_key(start: Key, end: Key) -> Key:
    """Return the key of the relationship between two nodes: a key is the sequence of its components."""
    return Key(start + end)
