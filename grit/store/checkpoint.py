"""A checkpoint of a database: one file with all records and the position in the log that they belong to.

    magic, format | frame of the header | a frame for each record, in order of collection and key | frame of length 0 | checksum

A frame is its length in 4 bytes, big-endian, and a msgpack array: of the header (realm, log id, offset, epoch, Lsn, number of
records), of a record (collection, canonical key, canonical record). The checksum is BLAKE2b, 32 bytes, of all before it. Nothing in
it is of the moment or the machine: equal databases at equal positions make equal bytes, whatever their engine.
"""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

import msgspec

from grit.core.errors import ConfigError
from grit.core.ids import Collection, Epoch, Key, Lsn, Offset, Realm
from grit.core.queries import Cursor, StoreAnswer
from grit.core.values import encode_record
from grit.store.durable import write_whole

MAGIC, FORMAT = b"GRIT database checkpoint\n", 1
_CHECKSUM_BYTES = 32
_LENGTH_BYTES = 4
_CHUNK = 1 << 20
_encoder = msgspec.msgpack.Encoder()


class StoredRow(msgspec.Struct, frozen=True, array_like=True):
    """One record, canonically encoded."""

    collection: Collection
    key: Key
    record: bytes


class Checkpoint(msgspec.Struct, frozen=True, array_like=True):
    """What a checkpoint is of; `rows`: how many records follow."""

    realm: Realm
    log_id: str
    offset: Offset
    epoch: Epoch
    lsn: Lsn
    rows: int

    @property
    def cursor(self) -> Cursor:
        """Return the position that the records belong to."""
        return Cursor(self.log_id, self.offset, self.epoch, self.lsn)


def stored_rows(names: Sequence[Collection], answer: StoreAnswer) -> list[StoredRow]:
    """Return what a database answered, in the order of a checkpoint: all rows of one collection after the other."""
    found = [
        StoredRow(name, key, encode_record(row))
        for name, rows in zip(names, answer.rows, strict=True)
        for key, row in rows
    ]
    return sorted(found, key=lambda row: (row.collection, row.key))


def write_checkpoint(path: Path, realm: Realm, cursor: Cursor, rows: Sequence[StoredRow]) -> None:
    """Write the file, whole or not at all.

    Args:
        path: One that is there is replaced if it is a checkpoint too.
        realm: Whose database.
        cursor: The position that the rows belong to.
        rows: In order, see `stored_rows`.

    Raises:
        ConfigError: Another file is there.
        OSError: It cannot be written.
    """
    if path.exists() and not _is_checkpoint(path):
        raise ConfigError(f"{path}: another file is there: give another name")
    header = Checkpoint(realm, cursor.log_id, cursor.offset, cursor.epoch, cursor.lsn, len(rows))
    write_whole(path, _pieces(header, rows))


def read_checkpoint(path: Path) -> tuple[Checkpoint, list[StoredRow]]:
    """Return what a file holds, once its checksum has been found right.

    Raises:
        ConfigError: It is not there, no checkpoint, of another format, or damaged.
    """
    try:
        with path.open("rb") as file:
            if file.read(len(MAGIC)) != MAGIC:
                raise ConfigError(f"{path}: this is no checkpoint of a database")
            (known,) = file.read(1) or b"\0"
            if known != FORMAT:
                raise ConfigError(f"{path}: it has format {known}, this version of GRIT knows format {FORMAT}")
            if not _is_whole(file, path.stat().st_size):
                raise ConfigError(f"{path}: it is damaged: its checksum is not that of what it holds; take another one")
            frames = _frames(file)
            header = msgspec.msgpack.decode(next(frames), type=Checkpoint)
            rows = [msgspec.msgpack.decode(frame, type=StoredRow) for frame in frames]
    except OSError as error:
        raise ConfigError(f"{path}: it cannot be read: {error.strerror}") from error
    assert len(rows) == header.rows, "the checksum was right"
    return header, rows


def _pieces(header: Checkpoint, rows: Iterable[StoredRow]) -> Iterator[bytes]:
    hashed = hashlib.blake2b(digest_size=_CHECKSUM_BYTES)
    for piece in _content(header, rows):
        hashed.update(piece)
        yield piece
    yield hashed.digest()


def _content(header: Checkpoint, rows: Iterable[StoredRow]) -> Iterator[bytes]:
    yield MAGIC + bytes([FORMAT])
    yield _framed(_encoder.encode(header))
    for row in rows:
        yield _framed(_encoder.encode(row))
    yield _framed(b"")


def _framed(frame: bytes) -> bytes:
    return len(frame).to_bytes(_LENGTH_BYTES, "big") + frame


def _frames(file: BinaryIO) -> Iterator[bytes]:
    while length := int.from_bytes(file.read(_LENGTH_BYTES), "big"):
        yield file.read(length)


def _is_whole(file: BinaryIO, size: int) -> bool:
    """Compare the checksum; leave the file where it is."""
    begin, left = file.tell(), size - _CHECKSUM_BYTES
    hashed = hashlib.blake2b(digest_size=_CHECKSUM_BYTES)
    file.seek(0)
    while left > 0 and (chunk := file.read(min(left, _CHUNK))):
        hashed.update(chunk)
        left -= len(chunk)
    is_right = file.read() == hashed.digest()
    file.seek(begin)
    return is_right


def _is_checkpoint(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(len(MAGIC)) == MAGIC
