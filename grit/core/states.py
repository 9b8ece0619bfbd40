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


class Parts:
    """The parts of checkpoints that have been met, in any order; those of several writers may lie between each other."""

    def __init__(self) -> None:
        self._shares: dict[tuple[Offset, int, bytes], dict[int, bytes]] = {}

    def take(self, record: Checkpoint) -> bytes | None:
        """Take a part; return the whole state when this one completes it.

        Parts that do not make what their digest says never become a whole, whatever else comes.
        """
        shares = self._shares.setdefault((record.at, record.of, record.digest), {})
        shares[record.part] = record.state
        if len(shares) < record.of or any(part not in shares for part in range(record.of)):
            return None
        dumped = b"".join(shares[part] for part in range(record.of))
        return dumped if digest_of(dumped) == record.digest else None
