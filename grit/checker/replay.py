"""An independent interpreter: what the transactions of a realm make of its records.

`replay` trusts the after-images, as a player does. `judge_images` does not: it works out every image from the
writes of the part and the image before it, and says where the log disagrees.
"""

from collections.abc import Iterable, Iterator, Mapping

import msgspec

from grit.checker.dbtl import RealmHistory, Transaction
from grit.checker.report import Finding, key_text
from grit.core.ids import Collection, Key, Lsn
from grit.core.parts import Act, Write, decode_part
from grit.core.records import Image
from grit.core.values import Value, decode_record, decode_value, encode_record

Place = tuple[Collection, Key]
Images = dict[Place, bytes | None]
"""The newest image of every record that was ever written; None = absent."""
_Fields = dict[str, Value]


def replay(transactions: Iterable[Transaction], images: Images | None = None) -> Images:
    """Return the images after the transactions, in order of Lsn; `images` is gone on with, and changed."""
    state: Images = {} if images is None else images
    for transaction in transactions:
        for image in transaction.entry.images:
            state[image.collection, image.key] = image.after
    return state


class Base(msgspec.Struct, frozen=True):
    """What the records of a realm were at an Lsn, from elsewhere than its log."""

    lsn: Lsn
    images: Images


def images_at(history: RealmHistory, lsn: Lsn, base: Base | None = None) -> Images:
    """Return the images after a transaction: of the whole history, or of `base` and what follows it."""
    begin = base.lsn if base else Lsn(0)
    state = dict(base.images) if base else {}
    return replay((one for one in history.upto(lsn) if one.lsn > begin), state)


def found_before(history: RealmHistory) -> frozenset[Place]:
    """Return the records that were in the database before the log began: the first write of each shows a before-image."""
    seen: set[Place] = set()
    older: set[Place] = set()
    for transaction in history.transactions:
        for image in transaction.entry.images:
            place = image.collection, image.key
            if place not in seen and image.before is not None:
                older.add(place)
            seen.add(place)
    return frozenset(older)


def judge_images(history: RealmHistory) -> Iterator[Finding]:
    """Yield the images that do not follow from the part and from the images before them (W4)."""
    state: Images = {}
    for transaction in history.transactions:
        yield from _judge_transaction(history, transaction, state)
        replay([transaction], state)


def _judge_transaction(
    history: RealmHistory, transaction: Transaction, state: Mapping[Place, bytes | None]
) -> Iterator[Finding]:
    try:
        writes = {(write.collection, write.key): write for write in decode_part(transaction.entry.part).writes}
    except ValueError as error:
        yield _finding(history, transaction, "unreadable part", f"the part cannot be decoded: {error}")
        return
    images = {(image.collection, image.key): image for image in transaction.entry.images}
    for place in sorted(writes.keys() | images.keys()):
        image, write = images.get(place), writes.get(place)
        if write is None:
            yield _finding(history, transaction, "image without write", "the part does not write this record", place)
        elif image is not None:
            yield from _judge_image(history, transaction, write, image, state)
        elif place not in state or _outcome(write, _decoded(state[place])) != _decoded(state[place]):
            yield _finding(history, transaction, "write without image", "the part writes it, no image is logged", place)


def _judge_image(
    history: RealmHistory,
    transaction: Transaction,
    write: Write,
    image: Image,
    state: Mapping[Place, bytes | None],
) -> Iterator[Finding]:
    place = image.collection, image.key
    try:
        told = _before_of(image)
        before = _decoded(state[place]) if place in state else told
        after = _outcome(write, before)
        logged = _decoded(image.after)
    except (ValueError, TypeError) as error:
        yield _finding(history, transaction, "unreadable image", f"the image cannot be worked out: {error}", place)
        return
    if logged != after:
        message = "the after-image is not what the part makes of the record"
        yield _finding(history, transaction, "altered image", message, place, row_text(after), row_text(logged))
    elif told != before:
        message = "the before-image is not the newest image of the record"
        yield _finding(history, transaction, "altered before-image", message, place, row_text(before), row_text(told))


def _outcome(write: Write, before: _Fields | None) -> _Fields | None:
    """Return what the write makes of the record (protocol.md section 4: put, insert, patch, delete, increment)."""
    if write.act is Act.DELETE:
        return None
    if write.act is Act.REPLACE:
        return {field: value for field, value in decode_value(write.fields).items() if value is not None}
    if before is None:
        return None
    changes = decode_value(write.fields) if write.fields else {}
    sums = {field: before.get(field, 0) + delta for field, delta in write.deltas}
    return {field: value for field, value in (before | changes | sums).items() if value is not None}


def _before_of(image: Image) -> _Fields | None:
    """Return the before-image that the log tells: the after-image, with what the changed fields held before."""
    if image.before is None:
        return None
    whole = (_decoded(image.after) or {}) | dict(decode_value(image.before))
    return {field: value for field, value in whole.items() if value is not None}


def _decoded(image: bytes | None) -> _Fields | None:
    return None if image is None else decode_record(image)


def row_text(row: Mapping[str, Value] | None) -> str:
    """Return a row as one line, fields in order; `absent` for none."""
    if row is None:
        return "absent"
    return ", ".join(f"{field}={row[field]!r}" for field in sorted(row)) or "a record without fields"


def same_row(row: Mapping[str, Value], image: bytes) -> bool:
    """Tell whether a row of a database is the logged image."""
    return encode_record(row) == image


def _finding(
    history: RealmHistory,
    transaction: Transaction,
    kind: str,
    message: str,
    place: Place | None = None,
    expected: str = "",
    found: str = "",
) -> Finding:
    key = key_text(history.realm, *place) if place else ""
    return history.finding(transaction, "W4", kind, message, expected, found, key=key)
