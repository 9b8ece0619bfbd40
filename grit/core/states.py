"""The state of a fold as bytes, and its way through a log in parts (protocol.md section 2, "Checkpoints and cutting").

Canonical: everything is sorted, so equal states have equal bytes, whoever dumps them. One format byte and a msgpack
array, positional as records are: fields are only ever appended.

    dump --split_state--> CHECKPOINT records, in any log order --Parts.take--> the whole state, verified by its digest
"""

import hashlib
from typing import Generic, TypeVar

import msgspec

from grit.core.errors import LogError
from grit.core.ids import Csn, Epoch, LeaderId, Lsn, Millis, Offset, Realm, TxnId
from grit.core.records import Checkpoint, Through

STATE_FORMAT = 1
PART_BYTES = 512 * 1024
"""The state of one CHECKPOINT record: less than any log's limit of a record."""

_Number = TypeVar("_Number", Csn, Lsn)
_State = TypeVar("_State", "GtlState", "DbtlState")


class LogState(msgspec.Struct, Generic[_Number], frozen=True, gc=False, array_like=True):
    """What both logs share, just before `offset`. `committed` is in order of its numbers, `refused` of its ids."""

    log_id: str
    realm: Realm
    offset: Offset
    epoch: Epoch
    leader_id: LeaderId
    address: str
    resigned: bool
    now: Millis
    committed: tuple[tuple[TxnId, _Number], ...]
    refused: tuple[TxnId, ...]


class KeyState(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """An idempotency key, taken at `since` by the log's time. `txid` is "" when it was refused for good."""

    key: str
    since: Millis
    txid: TxnId
    csn: Csn
    result: bytes


class GtlState(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """The fold of a global log; pairs and keys are in order of name."""

    shared: LogState[Csn]
    next_csn: Csn
    fences: tuple[tuple[Realm, Epoch], ...]
    last_csn: tuple[tuple[Realm, Csn], ...]
    keys: tuple[KeyState, ...]


class DbtlState(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """The fold of the log of a realm."""

    shared: LogState[Lsn]
    next_lsn: Lsn
    through: Through
    gtl_log_id: str


_encoder = msgspec.msgpack.Encoder()
_PREFIX = bytes([STATE_FORMAT])


def encode_state(state: GtlState | DbtlState) -> bytes:
    """Return the bytes of a state."""
    return _PREFIX + _encoder.encode(state)


def decode_state(dumped: bytes, kind: type[_State], *, log: str) -> _State:
    """Return the state that the bytes hold.

    Raises:
        LogError: Unknown format, or no state of such a log.
    """
    if dumped[:1] != _PREFIX:
        raise LogError(
            f"log {log}: a checkpoint has format {dumped[0] if dumped else 'nothing'}, this program reads format "
            f"{STATE_FORMAT}: run the version of grit that wrote it, or a newer one"
        )
    try:
        return msgspec.msgpack.decode(memoryview(dumped)[1:], type=kind)
    except (msgspec.DecodeError, ValueError) as error:
        raise LogError(f"log {log}: a checkpoint holds no state of such a log ({error}): is it another log?") from error


def digest_of(dumped: bytes) -> bytes:
    """Return by what states are compared."""
    return hashlib.blake2b(dumped, digest_size=16).digest()


def split_state(at: Offset, dumped: bytes) -> tuple[Checkpoint, ...]:
    """Return the records that hold the state just before offset `at`."""
    digest = digest_of(dumped)
    shares = [dumped[first : first + PART_BYTES] for first in range(0, len(dumped), PART_BYTES)]
    return tuple(Checkpoint(at, part, len(shares), share, digest) for part, share in enumerate(shares))


def state_offset(dumped: bytes) -> Offset | None:
    """Return the offset that a state says it is of, without decoding the rest; None: it is no state."""
    if dumped[:1] != _PREFIX:
        return None
    try:
        return msgspec.msgpack.decode(memoryview(dumped)[1:], type=_Head).shared.offset
    except (msgspec.DecodeError, ValueError):
        return None


class _Shared(msgspec.Struct, frozen=True, array_like=True):
    log_id: str
    realm: Realm
    offset: Offset


class _Head(msgspec.Struct, frozen=True, array_like=True):
    """The beginning of either state; what follows is skipped."""

    shared: _Shared


class Parts:
    """The parts of checkpoints that have been met, in any order; those of several writers may lie between each other.

    Of those that are not whole, so many are kept at most: what writers that died left behind must not pile up.
    """

    def __init__(self, incomplete_max: int = 8) -> None:
        self._shares: dict[tuple[Offset, int, bytes], dict[int, bytes]] = {}
        self._incomplete_max = incomplete_max

    def take(self, record: Checkpoint) -> bytes | None:
        """Take a part; return the whole state when this one completes it, and forget it.

        What is no part, and parts that do not make what their digest says, or the state of another offset, never become
        a whole, whatever else comes: a bad record stops nobody.
        """
        if not 0 <= record.part < record.of:
            return None
        kind = (record.at, record.of, record.digest)
        shares = self._shares.setdefault(kind, {})
        shares[record.part] = record.state
        if len(shares) == record.of:
            del self._shares[kind]
            dumped = b"".join(shares[part] for part in range(record.of))
            return dumped if digest_of(dumped) == record.digest and state_offset(dumped) == record.at else None
        if len(self._shares) > self._incomplete_max:
            del self._shares[next(iter(self._shares))]
        return None

    def __len__(self) -> int:
        """Return the number of checkpoints that are not whole yet."""
        return len(self._shares)
