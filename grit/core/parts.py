"""Parts: what one transaction read and wrote in one realm.

A part is encoded once, by its home, and carried as opaque bytes: through the GTM, in the GTL and in the DBTL.
A read or write of a part says *what was counted on*, so that whoever certifies later can judge it.
"""

from collections.abc import Mapping
from enum import IntEnum

import msgspec

from grit.core.ids import Collection, Key, Lsn
from grit.core.predicate import Where
from grit.core.values import Record, Row, Value, decode_record, decode_value, encode_record, encode_value


class KeyRead(msgspec.Struct, frozen=True, array_like=True, tag="k", gc=False):
    """One record was read, present or absent.

    Attributes:
        fields: The fields that were looked at; None: all; (): only whether the record exists.
        commutes: What an increment reads of its field: increments by others do not disturb it.
    """

    collection: Collection
    key: Key
    fields: tuple[str, ...] | None = None
    commutes: bool = False


class PredicateRead(msgspec.Struct, frozen=True, array_like=True, tag="p", gc=False):
    """All records that match were read (closed by order and limit where those cut the answer short).

    `fields`: the fields of the matching records that were looked at, None = all; () = only which match.
    """

    collection: Collection
    where: Where
    fields: tuple[str, ...] | None = None


Read = KeyRead | PredicateRead


class Expect(IntEnum):
    """What a write counts on at certification."""

    ANYTHING = 0
    ABSENT = 1
    PRESENT = 2


class Act(IntEnum):
    """What a write does to its record."""

    REPLACE = 0
    CHANGE = 1
    DELETE = 2


class Write(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """All that a transaction does to one record; a part holds at most one write a record.

    insert = ABSENT + REPLACE, put = ANYTHING + REPLACE, patch and increment = PRESENT + CHANGE,
    delete = PRESENT + DELETE; what a transaction does twice to a record folds into one of the nine.

    Attributes:
        fields: REPLACE: the whole record. CHANGE: the changed fields only, null = removed. DELETE: empty.
        deltas: CHANGE: (field, delta) of the increments; a field stands here or in `fields`, not in both.
    """

    collection: Collection
    key: Key
    expect: Expect
    act: Act
    fields: bytes = b""
    deltas: tuple[tuple[str, int], ...] = ()


class Part(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """`position`: the Lsn at which all reads are exact; 0 when nothing was read."""

    position: Lsn
    reads: tuple[Read, ...]
    writes: tuple[Write, ...]


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Part)


def encode_part(part: Part) -> bytes:
    """Return the bytes that travel and are logged."""
    return _encoder.encode(part)


def decode_part(data: bytes) -> Part:
    """Return the part.

    Raises:
        msgspec.DecodeError: The bytes are not a part.
    """
    return _decoder.decode(data)


def encode_changes(changes: Mapping[str, Value]) -> bytes:
    """Return the bytes of `Write.fields` of a CHANGE; unlike in a record, null is kept: it removes."""
    return encode_value(dict(changes))


def decode_changes(data: bytes) -> dict[str, Value]:
    """Return the changed fields; empty for b""."""
    return dict(decode_value(data)) if data else {}


def after_image(write: Write, before: Row | None) -> Row | None:
    """Return the record after the write, None = absent; `before` is not changed.

    A CHANGE of an absent record leaves it absent: its expectation fails, or an earlier delete of the same
    order made it moot.
    """
    if write.act == Act.REPLACE:
        return decode_record(write.fields)
    if write.act == Act.DELETE or before is None:
        return None
    after = dict(before)
    for field, value in decode_changes(write.fields).items():
        if value is None:
            after.pop(field, None)
        else:
            after[field] = value
    for field, delta in write.deltas:
        after[field] = after.get(field, 0) + delta
    return after


def encode_image(row: Row | None) -> Record | None:
    """Return the canonical bytes of an image; None stays None."""
    return None if row is None else encode_record(row)


def touched_fields(write: Write) -> frozenset[str] | None:
    """Return the fields that a write sets or increments by itself; None: any field, and existence."""
    if write.act != Act.CHANGE:
        return None
    return frozenset(decode_changes(write.fields)).union(field for field, _ in write.deltas)
