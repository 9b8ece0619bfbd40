"""One short name for all records of a realm: equal records have equal bytes (docs/protocol/encoding.md), so equal names."""

import hashlib
from collections.abc import Mapping, Sequence

import msgspec

from grit.checker.dbtl import RealmHistory
from grit.checker.replay import Base, Place, images_at
from grit.core.ids import Collection, Lsn
from grit.core.queries import StoreAnswer
from grit.core.values import encode_record

_BYTES = 16
_encoder = msgspec.msgpack.Encoder()


def digest_of_rows(names: Sequence[Collection], answer: StoreAnswer) -> str:
    """Return the hash of what a database answered: all rows of one collection after the other, named in that order."""
    return _digest({
        (name, key): encode_record(row) for name, found in zip(names, answer.rows, strict=True) for key, row in found
    })  # fmt: skip


def digest_of_replay(history: RealmHistory, lsn: Lsn, base: Base | None = None) -> str:
    """Return the hash of what a log makes of the records, from its beginning or from `base`, up to and including a transaction."""
    return _digest(images_at(history, lsn, base))


def _digest(images: Mapping[Place, bytes | None]) -> str:
    """Return, in hexadecimal, the hash of the records that are there, in order of collection and key."""
    hashed = hashlib.blake2b(digest_size=_BYTES)
    for place in sorted(images):
        image = images[place]
        if image is not None:
            hashed.update(_encoder.encode((*place, image)))
    return hashed.hexdigest()
