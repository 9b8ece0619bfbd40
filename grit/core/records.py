"""Log records: what leaders append, and their bytes (protocol.md section 3).

A payload is one format byte and a msgpack array. Positional: fields are only ever appended, with defaults;
another meaning needs another format number, and a newer program reads every older one.
"""

from typing import TypeVar

import msgspec

from grit.core.errors import LogError
from grit.core.ids import Collection, Csn, Epoch, Key, LeaderId, Lsn, Millis, Offset, Realm, TxnId

FORMAT = 1


class Genesis(msgspec.Struct, frozen=True, gc=False, array_like=True, tag="genesis"):
    """The identity of a log; valid only as the first record ever. `realm` is "" in the GTL."""

    log_id: str
    realm: Realm
    format: int


class GtmEpoch(msgspec.Struct, frozen=True, gc=False, array_like=True, tag="gtm_epoch"):
    """A GTM claims leadership."""

    epoch: Epoch
    leader_id: LeaderId
    address: str
    time: Millis


class DbtmEpoch(msgspec.Struct, frozen=True, gc=False, array_like=True, tag="dbtm_epoch"):
    """A DBTM claims leadership of its realm; `gtl_log_id` ties its log to one GTL."""

    epoch: Epoch
    leader_id: LeaderId
    address: str
    time: Millis
    gtl_log_id: str


class Fence(msgspec.Struct, frozen=True, gc=False, array_like=True, tag="fence"):
    """GTL: votes of the realm's DBTM epochs below `epoch` count no more."""

    realm: Realm
    epoch: Epoch


class PartEntry(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """One realm's share of a global transaction.

    Attributes:
        dbtm_epoch: Epoch of the DBTM that voted.
        gtm_epoch: Epoch of the GTM that asked for the vote.
        prev_csn: The previous Csn written for this realm, voided or not; 0 = none.
        part: `grit.core.parts.Part`, encoded by its home.
    """

    realm: Realm
    dbtm_epoch: Epoch
    gtm_epoch: Epoch
    prev_csn: Csn
    part: bytes


class CommitEntry(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """One global transaction, whole. Its Csn is the record's `first_csn` plus its place in it."""

    txid: TxnId
    parts: tuple[PartEntry, ...]
    key: str = ""
    result: bytes = b""
    trace: str = ""
    origin: str = ""


class Commits(msgspec.Struct, frozen=True, gc=False, array_like=True, tag="commits"):
    """GTL: decisions of a GTM, in order."""

    epoch: Epoch
    first_csn: Csn
    time: Millis
    entries: tuple[CommitEntry, ...]


class Refused(msgspec.Struct, frozen=True, gc=False, array_like=True, tag="refused"):
    """These transactions (their begin stands in their id) and keys can never commit from here on.

    In the GTL it counts from anybody (`epoch` is 0); in a DBTL only from the leader of `epoch`.
    """

    epoch: Epoch
    txids: tuple[TxnId, ...]
    keys: tuple[str, ...] = ()


class Resign(msgspec.Struct, frozen=True, gc=False, array_like=True, tag="resign"):
    """The leader of `epoch` gives up: a standby may claim at once."""

    epoch: Epoch


class Checkpoint(msgspec.Struct, frozen=True, gc=False, array_like=True, tag="checkpoint"):
    """A part of the fold's state just before the past offset `at`; it has no effect on the fold, and anybody may write it.

    Attributes:
        at: Where a reader goes on who has loaded it: never where this record itself lies (docs/adr/0013).
        part, of: Which part this is, from 0, and how many there are.
        state: Its share of the bytes of the state, see `grit.core.states`.
        digest: Of the whole state: only parts of one digest make a whole.
    """

    at: Offset
    part: int
    of: int
    state: bytes
    digest: bytes


class Image(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """What one write made of one record.

    Attributes:
        after: The whole record, canonical; None = absent.
        before: None = it was absent; else `encode_changes` of the values that the changed fields had
            (null = had none), from which the whole before-image can be rebuilt.
    """

    collection: Collection
    key: Key
    after: bytes | None
    before: bytes | None


class Entry(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """One committed transaction of a realm. Its Lsn is the record's `first_lsn` plus its place in it.

    `csn` is 0 for a local transaction; `images` is empty for a participant that only read.
    """

    txid: TxnId
    csn: Csn
    part: bytes
    images: tuple[Image, ...]
    trace: str = ""
    origin: str = ""


class Through(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """Every committed entry of the realm with a Csn up to `csn` lies in the DBTL; GTL read up to `offset`."""

    csn: Csn
    offset: Offset


class Entries(msgspec.Struct, frozen=True, gc=False, array_like=True, tag="entries"):
    """DBTL: committed transactions of a realm, in order; without entries it is a renewal."""

    epoch: Epoch
    first_lsn: Lsn
    time: Millis
    gtl_through: Through
    entries: tuple[Entry, ...]


GtlRecord = Genesis | GtmEpoch | Fence | Commits | Refused | Resign | Checkpoint
DbtlRecord = Genesis | DbtmEpoch | Entries | Refused | Resign | Checkpoint

_encoder = msgspec.msgpack.Encoder()
_gtl_decoder: msgspec.msgpack.Decoder[GtlRecord] = msgspec.msgpack.Decoder(GtlRecord)
_dbtl_decoder: msgspec.msgpack.Decoder[DbtlRecord] = msgspec.msgpack.Decoder(DbtlRecord)
_PREFIX = bytes([FORMAT])
_CHECKPOINT_TAG = _encoder.encode("checkpoint")
_R = TypeVar("_R")


def encode_log_record(record: GtlRecord | DbtlRecord) -> bytes:
    """Return the payload to append."""
    return _PREFIX + _encoder.encode(record)


def is_checkpoint(payload: bytes) -> bool:
    """Tell whether a payload is a CHECKPOINT, without decoding it."""
    # Format byte, header of the array, tag.
    return payload.startswith(_PREFIX) and payload.startswith(_CHECKPOINT_TAG, 2)


def decode_gtl_record(payload: bytes, *, log: str, offset: Offset) -> GtlRecord:
    """Return the record of a GTL payload.

    Raises:
        LogError: Unknown format number, or not a record; names the log and the offset.
    """
    return _decode(_gtl_decoder, payload, log, offset)


def decode_dbtl_record(payload: bytes, *, log: str, offset: Offset) -> DbtlRecord:
    """Return the record of a DBTL payload; raises as `decode_gtl_record`."""
    return _decode(_dbtl_decoder, payload, log, offset)


def _decode(decoder: msgspec.msgpack.Decoder[_R], payload: bytes, log: str, offset: Offset) -> _R:
    if payload[:1] != _PREFIX:
        found = payload[0] if payload else "nothing"
        raise LogError(
            f"log {log}, offset {offset}: record format {found}, this program reads format {FORMAT}: "
            "run the version of grit that wrote it, or a newer one"
        )
    try:
        return decoder.decode(memoryview(payload)[1:])
    except (msgspec.DecodeError, ValueError) as error:
        raise LogError(f"log {log}, offset {offset}: not a record of this log ({error}): is it another log?") from error
