"""The fold: which records of a log count, and what follows from them (protocol.md sections 2 and 3).

A pure function of the content of a log, so everybody who folds it agrees for ever. There is no other
place where the outcome of a transaction lives. Folds are fed every record, in order of offset.

    GtlFold   epoch, next_csn, now, fences, outcomes of global transactions and of idempotency keys
    DbtlFold  epoch, next_lsn, now, gtl_through, outcomes of local transactions

What a fold knows can be dumped (`dump`), and another one can begin with it (`load`): the same state has the same bytes.
"""

import heapq
from collections.abc import Iterable
from operator import itemgetter
from typing import Generic, TypeVar

import msgspec

from grit.core.errors import LogError
from grit.core.ids import Csn, Epoch, LeaderId, Lsn, Millis, Offset, Realm, TxnId, began_at
from grit.core.records import (
    FORMAT,
    Checkpoint,
    CommitEntry,
    Commits,
    DbtlRecord,
    DbtmEpoch,
    Entries,
    Entry,
    Fence,
    Genesis,
    GtlRecord,
    GtmEpoch,
    PartEntry,
    Refused,
    Resign,
    Through,
)
from grit.core.states import DbtlState, GtlState, KeyState, LogState, decode_state, encode_state

LIFE_MS = 60_000
"""L: the longest life of a transaction. Part of the format: readers that disagreed on it would disagree on outcomes."""
KEY_HORIZON_MS = 24 * 3600 * 1000
"""How long an idempotency key is remembered, by the log's own time."""


class Decree(msgspec.Struct, frozen=True):
    """What the fold says of one entry of a valid COMMITS record."""

    csn: Csn
    entry: CommitEntry
    committed: bool


class GtlFolded(msgspec.Struct, frozen=True):
    """What one GTL record changed. All empty for a record that is void."""

    valid: bool
    decrees: tuple[Decree, ...] = ()
    refused: tuple[TxnId, ...] = ()


class Holder(msgspec.Struct, frozen=True):
    """Who committed with an idempotency key: its Csn, and the result that it kept."""

    txid: TxnId
    csn: Csn
    result: bytes


_VOID = GtlFolded(valid=False)
_VALID = GtlFolded(valid=True)


_Number = TypeVar("_Number", Csn, Lsn)
_BY_NUMBER = itemgetter(1, 0)


class _Fold(Generic[_Number]):
    """What both logs share: identity, leadership, time, outcomes, and where the fold stands."""

    def __init__(self, log: str, realm: Realm) -> None:
        self.log = log
        self.realm = realm
        self.log_id = ""
        self.epoch = Epoch(0)
        self.leader_id = LeaderId("")
        self.address = ""
        self.resigned = False
        self.now = Millis(0)
        self.offset = Offset(0)
        self.committed: dict[TxnId, _Number] = {}
        self.refused: set[TxnId] = set()
        self._ages: list[tuple[Millis, TxnId]] = []

    def is_expired(self, txid: TxnId) -> bool:
        """Tell whether the transaction began so long ago that its outcome is no longer remembered."""
        return began_at(txid) < self.now - 2 * LIFE_MS

    def _at(self, offset: Offset, record: object) -> None:
        assert offset == self.offset, f"log {self.log}: folded offset {offset}, expected {self.offset}"
        if offset == 0 and not isinstance(record, Genesis):
            raise self._refusal(
                "the first record is no GENESIS, so this is no log of GRIT, or its start is cut: "
                "check the configured path, or restore the whole log"
            )

    def _genesis(self, record: Genesis) -> bool:
        """Take the identity from the first record; later ones are void."""
        if self.offset != 0:
            return False
        if record.format != FORMAT:
            raise self._refusal(
                f"written in format {record.format}, this program reads format {FORMAT}: run the version of grit that wrote it"
            )
        if record.realm != self.realm:
            there, here = (f"realm {realm}" if realm else "the GTL" for realm in (record.realm, self.realm))
            raise self._refusal(f"this log belongs to {there}, not to {here}: check the configured path")
        self.log_id = record.log_id
        return True

    def _claim(self, record: GtmEpoch | DbtmEpoch) -> bool:
        if record.epoch <= self.epoch:
            return False
        self.epoch, self.leader_id, self.address = record.epoch, record.leader_id, record.address
        self.resigned = False
        self._see(record.time)
        return True

    def _leads(self, epoch: Epoch) -> bool:
        """Tell whether a record of `epoch` is of the leader; before the first claim there is none."""
        return epoch == self.epoch and epoch > 0

    def _resign(self, record: Resign) -> bool:
        if not self._leads(record.epoch):
            return False
        self.resigned = True
        return True

    def _see(self, time: Millis) -> None:
        """Take the time of a valid record; what it makes too old is forgotten before the record's entries are judged."""
        self.now = max(self.now, time)
        while self._ages and self._ages[0][0] < self.now - 2 * LIFE_MS:
            _, txid = heapq.heappop(self._ages)
            self.committed.pop(txid, None)
            self.refused.discard(txid)

    def _commit(self, txid: TxnId, number: _Number) -> None:
        if not self.is_expired(txid):
            self._remember(txid)
            self.committed[txid] = number

    def _refuse(self, txids: Iterable[TxnId]) -> tuple[TxnId, ...]:
        """Refuse what is neither committed nor too old to tell; return that, repetitions included."""
        refused = tuple(txid for txid in txids if txid not in self.committed and not self.is_expired(txid))
        for txid in refused:
            self._remember(txid)
            self.refused.add(txid)
        return refused

    def _remember(self, txid: TxnId) -> None:
        if txid not in self.committed and txid not in self.refused:
            heapq.heappush(self._ages, (began_at(txid), txid))

    def _shared_state(self) -> LogState[_Number]:
        return LogState(
            self.log_id,
            self.realm,
            self.offset,
            self.epoch,
            self.leader_id,
            self.address,
            self.resigned,
            self.now,
            tuple(sorted(self.committed.items(), key=_BY_NUMBER)),
            tuple(sorted(self.refused)),
        )

    def _load_shared(self, state: LogState[_Number]) -> None:
        if state.realm != self.realm:
            raise self._refusal(
                f"the checkpoint is of another log, of realm {state.realm!r}: check the configured path"
            )
        self.log_id, self.offset = state.log_id, state.offset
        self.epoch, self.leader_id, self.address = state.epoch, state.leader_id, state.address
        self.resigned, self.now = state.resigned, state.now
        self.committed = dict(state.committed)
        self.refused = set(state.refused)
        # Every txid that is remembered has one age; in order, the list is the heap that it must be.
        self._ages = sorted((began_at(txid), txid) for txid in self.committed.keys() | self.refused)

    def _refusal(self, problem: str) -> LogError:
        return LogError(f"log {self.log}, offset {self.offset}: {problem}")


class GtlFold(_Fold[Csn]):
    """The fold of the global log.

    Attributes:
        next_csn: The Csn that the next valid entry gets.
        fences: realm -> the newest DBTM epoch; votes of others count no more.
        last_csn: realm -> the last Csn written for it, voided or not.
        committed, refused: The txids that began within 2L of `now`.
        keys: Idempotency key -> its holder. `cancelled`: keys refused for good.
    """

    def __init__(self, log: str = "gtl") -> None:
        super().__init__(log, Realm(""))
        self.next_csn = Csn(1)
        self.fences: dict[Realm, Epoch] = {}
        self.last_csn: dict[Realm, Csn] = {}
        self.keys: dict[str, Holder] = {}
        self.cancelled: set[str] = set()
        self._key_ages: list[tuple[Millis, str]] = []

    def apply(self, offset: Offset, record: GtlRecord) -> GtlFolded:
        """Fold the record at `offset`, which must be the next one; return what it changed."""
        self._at(offset, record)
        folded = self._fold(record)
        self.offset = Offset(offset + 1)
        return folded

    def dump(self) -> bytes:
        """Return the whole state, just before `offset`: equal folds have equal bytes."""
        since = {key: time for time, key in self._key_ages}
        bound = [KeyState(key, since[key], one.txid, one.csn, one.result) for key, one in self.keys.items()]
        cancelled = [KeyState(key, since[key], TxnId(""), Csn(0), b"") for key in self.cancelled]
        state = GtlState(
            self._shared_state(),
            self.next_csn,
            tuple(sorted(self.fences.items())),
            tuple(sorted(self.last_csn.items())),
            tuple(sorted([*bound, *cancelled], key=lambda one: one.key)),
        )
        return encode_state(state)

    def load(self, dumped: bytes) -> None:
        """Become the fold that was dumped; what was folded here before is forgotten.

        Raises:
            LogError: The bytes are no state of this log.
        """
        state = decode_state(dumped, GtlState, log=self.log)
        self._load_shared(state.shared)
        self.next_csn = state.next_csn
        self.fences, self.last_csn = dict(state.fences), dict(state.last_csn)
        self.keys = {one.key: Holder(one.txid, one.csn, one.result) for one in state.keys if one.txid}
        self.cancelled = {one.key for one in state.keys if not one.txid}
        self._key_ages = sorted((one.since, one.key) for one in state.keys)

    def _fold(self, record: GtlRecord) -> GtlFolded:
        if isinstance(record, Commits):
            return self._commits(record)
        if isinstance(record, Refused):
            return self._refused(record)
        if isinstance(record, Fence):
            return _VALID if self._fence(record) else _VOID
        if isinstance(record, GtmEpoch):
            return _VALID if self._claim(record) else _VOID
        if isinstance(record, Genesis):
            return _VALID if self._genesis(record) else _VOID
        if isinstance(record, Checkpoint):
            return _VOID  # it describes, and changes nothing; nor is it a sign of life
        return _VALID if self._resign(record) else _VOID

    def _fence(self, record: Fence) -> bool:
        if record.epoch <= self.fences.get(record.realm, 0):
            return False
        self.fences[record.realm] = record.epoch
        return True

    def _commits(self, record: Commits) -> GtlFolded:
        if not self._leads(record.epoch) or record.first_csn != self.next_csn:
            return _VOID
        self._see(record.time)
        return GtlFolded(valid=True, decrees=tuple(self._entry(entry) for entry in record.entries))

    def _entry(self, entry: CommitEntry) -> Decree:
        csn = self.next_csn
        self.next_csn = Csn(csn + 1)
        for part in entry.parts:
            self.last_csn[part.realm] = csn
        committed = self._counts(entry)
        if committed:
            self._commit(entry.txid, csn)
            if entry.key:
                self.keys[entry.key] = Holder(entry.txid, csn, entry.result)
                heapq.heappush(self._key_ages, (self.now, entry.key))
        return Decree(csn, entry, committed)

    def _counts(self, entry: CommitEntry) -> bool:
        if entry.txid in self.committed or entry.txid in self.refused or self.is_expired(entry.txid):
            return False
        if entry.key and (entry.key in self.keys or entry.key in self.cancelled):
            return False
        return all(self._vote_counts(part) for part in entry.parts)

    def _vote_counts(self, part: PartEntry) -> bool:
        return part.gtm_epoch == self.epoch and part.dbtm_epoch == self.fences.get(part.realm)

    def _refused(self, record: Refused) -> GtlFolded:
        txids = self._refuse(record.txids)
        for key in record.keys:
            if key not in self.keys and key not in self.cancelled:
                self.cancelled.add(key)
                heapq.heappush(self._key_ages, (self.now, key))
        return GtlFolded(valid=True, refused=txids)

    def _see(self, time: Millis) -> None:
        super()._see(time)
        while self._key_ages and self._key_ages[0][0] < self.now - KEY_HORIZON_MS:
            _, key = heapq.heappop(self._key_ages)
            self.keys.pop(key, None)
            self.cancelled.discard(key)


class DbtlFolded(msgspec.Struct, frozen=True):
    """What one DBTL record changed: entries with their Lsn, and refusals. All empty for a void record."""

    valid: bool
    entries: tuple[tuple[Lsn, Entry], ...] = ()
    refused: tuple[TxnId, ...] = ()


_DBTL_VOID = DbtlFolded(valid=False)
_DBTL_VALID = DbtlFolded(valid=True)


class DbtlFold(_Fold[Lsn]):
    """The fold of the log of one realm.

    Attributes:
        next_lsn: The Lsn that the next valid entry gets; the durable tail is one below.
        through: Every committed global of this realm up to it lies at or before the fold's offset.
        committed, refused: The txids that began within 2L of `now`.
    """

    def __init__(self, log: str, realm: Realm) -> None:
        super().__init__(log, realm)
        self.next_lsn = Lsn(1)
        self.through = Through(Csn(0), Offset(0))
        self.gtl_log_id = ""

    @property
    def tail(self) -> Lsn:
        """The newest durable Lsn; 0 when there is none."""
        return Lsn(self.next_lsn - 1)

    def apply(self, offset: Offset, record: DbtlRecord) -> DbtlFolded:
        """Fold the record at `offset`, which must be the next one; return what it changed."""
        self._at(offset, record)
        folded = self._fold(record)
        self.offset = Offset(offset + 1)
        return folded

    def dump(self) -> bytes:
        """Return the whole state, just before `offset`: equal folds have equal bytes."""
        return encode_state(DbtlState(self._shared_state(), self.next_lsn, self.through, self.gtl_log_id))

    def load(self, dumped: bytes) -> None:
        """Become the fold that was dumped; what was folded here before is forgotten.

        Raises:
            LogError: The bytes are no state of this log.
        """
        state = decode_state(dumped, DbtlState, log=self.log)
        self._load_shared(state.shared)
        self.next_lsn, self.through, self.gtl_log_id = state.next_lsn, state.through, state.gtl_log_id

    def _fold(self, record: DbtlRecord) -> DbtlFolded:
        if isinstance(record, Entries):
            return self._entries(record)
        if isinstance(record, DbtmEpoch):
            return self._dbtm_epoch(record)
        if isinstance(record, Genesis):
            return _DBTL_VALID if self._genesis(record) else _DBTL_VOID
        if isinstance(record, Refused):
            return self._refusals(record)
        if isinstance(record, Checkpoint):
            return _DBTL_VOID
        return _DBTL_VALID if self._resign(record) else _DBTL_VOID

    def _dbtm_epoch(self, record: DbtmEpoch) -> DbtlFolded:
        """Take a claim. One under another GTL is void: whoever made it is the one to stop (docs/adr/0010)."""
        is_stranger = self.gtl_log_id and record.gtl_log_id != self.gtl_log_id
        if is_stranger or not self._claim(record):
            return _DBTL_VOID
        self.gtl_log_id = record.gtl_log_id
        return _DBTL_VALID

    def _entries(self, record: Entries) -> DbtlFolded:
        if not self._leads(record.epoch) or record.first_lsn != self.next_lsn:
            return _DBTL_VOID
        self._see(record.time)
        numbered = tuple((Lsn(record.first_lsn + i), entry) for i, entry in enumerate(record.entries))
        for lsn, entry in numbered:
            self._commit(entry.txid, lsn)
        self.next_lsn = Lsn(record.first_lsn + len(numbered))
        self.through = _later(self.through, record.gtl_through)
        return DbtlFolded(valid=True, entries=numbered)

    def _refusals(self, record: Refused) -> DbtlFolded:
        if not self._leads(record.epoch):
            return _DBTL_VOID
        return DbtlFolded(valid=True, refused=self._refuse(record.txids))


def _later(one: Through, other: Through) -> Through:
    """Return the one that reaches further; neither number ever goes back."""
    return max(one, other, key=lambda through: (through.csn, through.offset))
