"""The checker's own reading of the log of a realm: its transactions in order, and where every record stands."""

from collections.abc import Mapping, Sequence

import msgspec

from grit.checker.beginning import find_lie, states_in
from grit.checker.copies import LogCopy
from grit.checker.leadership import Leadership
from grit.checker.report import Finding
from grit.core.errors import LogError
from grit.core.ids import Csn, Epoch, Lsn, Offset, Realm, TxnId
from grit.core.records import Checkpoint, DbtlRecord, DbtmEpoch, Entries, Entry, Genesis, Refused
from grit.core.states import DbtlState


class Transaction(msgspec.Struct, frozen=True):
    """One committed transaction of a realm."""

    lsn: Lsn
    offset: Offset
    entry: Entry


class Mark(msgspec.Struct, frozen=True):
    """Where the log stands after a record: epoch, newest Lsn, and the Csn up to which globals are claimed whole."""

    epoch: Epoch
    lsn: Lsn
    through: Csn


class RealmHistory(msgspec.Struct, frozen=True):
    """What the log of one realm holds.

    Attributes:
        begin: Where it begins: 0, or the offset of a checkpoint when the log was cut.
        transactions: Those from there on, in order of Lsn; see `upto`.
        marks: `marks[i]`: after the records before offset begin + i; one more than there are records from there on.
        writing_epochs: Epoch -> the offset of its first record with entries.
        is_whole: The log could be read to its end.
    """

    realm: Realm
    log: str
    log_id: str
    transactions: tuple[Transaction, ...]
    marks: tuple[Mark, ...]
    writing_epochs: Mapping[Epoch, Offset]
    is_whole: bool
    findings: tuple[Finding, ...]
    begin: Offset = Offset(0)

    def mark_at(self, offset: int) -> Mark | None:
        """Return where the log stands at an offset; None: the history does not reach there."""
        return self.marks[offset - self.begin] if 0 <= offset - self.begin < len(self.marks) else None

    def upto(self, lsn: Lsn) -> tuple[Transaction, ...]:
        """Return the transactions of the history up to and including `lsn`."""
        return self.transactions[: max(0, lsn - self.marks[0].lsn)]

    @property
    def end(self) -> Mark:
        """Where the log stands at its end."""
        return self.marks[-1]

    @property
    def end_offset(self) -> Offset:
        """The offset behind its last record."""
        return Offset(self.begin + len(self.marks) - 1)

    def finding(
        self,
        transaction: Transaction,
        property_: str,
        kind: str,
        message: str,
        expected: str = "",
        found: str = "",
        *,
        key: str = "",
    ) -> Finding:
        """Return a finding about one of its transactions."""
        return Finding(
            property_,
            kind,
            message,
            log=self.log,
            offset=transaction.offset,
            lsn=transaction.lsn,
            csn=transaction.entry.csn,
            txid=transaction.entry.txid,
            key=key,
            expected=expected,
            found=found,
        )


def read_dbtl(
    copy: LogCopy[DbtlRecord], realm: Realm, *, gtl_log_id: str | None = None, is_quiesced: bool = False
) -> RealmHistory:
    """Return the history that the log holds; `gtl_log_id` is the GTL that its leaders must name, None = any."""
    reading = _Reading(copy.name, realm, gtl_log_id, is_quiesced=is_quiesced)
    try:
        states = list(states_in(copy, DbtlState))
    except LogError as error:
        states = []
        reading.find_unreadable(str(error))
    begin = reading.begin(copy.first, states)
    for placed in copy.records:
        if placed.offset >= begin:
            reading.take(placed.offset, placed.record, placed.payload)
    return reading.history(copy.damage, states)


class _Reading:
    def __init__(self, log: str, realm: Realm, gtl_log_id: str | None, *, is_quiesced: bool) -> None:
        self._realm = realm
        self._gtl_log_id = gtl_log_id
        self._lead = Leadership(log, realm, "Lsn", is_quiesced=is_quiesced)
        self._transactions: list[Transaction] = []
        self._before = Lsn(0)
        self._committed: dict[TxnId, Lsn] = {}
        self._marks = [Mark(Epoch(0), Lsn(0), Csn(0))]
        self._writing: dict[Epoch, Offset] = {}
        self._through = Csn(0)
        self._refused: dict[TxnId, Offset] = {}
        self._tied_to: str | None = None
        self._begin = Offset(0)
        self._nows = [0]

    def find_unreadable(self, problem: str) -> None:
        self._lead.find("W0", "unreadable checkpoint", problem, -1)

    def begin(self, first: Offset, states: Sequence[tuple[Offset, DbtlState]]) -> Offset:
        """Begin at the first checkpoint of a log that was cut; return where."""
        if first == 0 or not states:
            self._begin = first
            return first
        state = min((state for _, state in states), key=lambda one: one.shared.offset)
        shared = state.shared
        self._begin = shared.offset
        self._lead.begin(shared.log_id, shared.epoch, state.next_lsn, shared.now)
        self._through, self._tied_to = state.through.csn, state.gtl_log_id
        self._refused = dict.fromkeys(shared.refused, shared.offset)
        self._before = Lsn(state.next_lsn - 1)
        self._marks = [Mark(shared.epoch, self._before, self._through)]
        self._committed = dict(shared.committed)
        self._nows = [shared.now]
        return self._begin

    def take(self, offset: Offset, record: DbtlRecord, payload: bytes) -> None:
        self._lead.genesis(offset, record)
        if isinstance(record, Entries):
            self._entries(offset, record, payload)
        elif isinstance(record, DbtmEpoch):
            self._claim(offset, record)
        elif not isinstance(record, Genesis | Checkpoint):
            counts = self._lead.led(offset, record.epoch, self._lead.now)
            if counts and isinstance(record, Refused):
                self._refused.update((txid, offset) for txid in record.txids)
        self._marks.append(Mark(self._lead.epoch, Lsn(self._before + len(self._transactions)), self._through))
        self._nows.append(self._lead.now)

    def history(self, damage: str, states: Sequence[tuple[Offset, DbtlState]]) -> RealmHistory:
        lead = self._lead
        lead.end()
        for offset, state in states:
            self._judge(offset, state)
        if damage:
            lead.find("W0", "damaged", damage, -1)
        return RealmHistory(
            self._realm,
            lead.log,
            lead.log_id,
            tuple(self._transactions),
            tuple(self._marks),
            self._writing,
            not damage,
            tuple(lead.findings),
            self._begin,
        )

    def _judge(self, offset: Offset, state: DbtlState) -> None:
        """Hold a checkpoint to what was read up to where it speaks of."""
        at = state.shared.offset - self._begin
        if not 0 <= at < len(self._marks):
            return
        mark = self._marks[at]
        lie = find_lie(
            state.shared,
            log_id=self._lead.log_id,
            epoch=mark.epoch,
            number=mark.lsn,
            now=self._nows[at],
            committed=self._committed,
        )
        if (state.next_lsn - 1, state.through.csn) != (mark.lsn, mark.through):
            lie = f"next Lsn {state.next_lsn}, Csn {state.through.csn}; {lie}"
        if lie:
            self._lead.find("W0", "false checkpoint", f"the checkpoint of offset {state.shared.offset}: {lie}", offset)

    def _claim(self, offset: Offset, record: DbtmEpoch) -> None:
        if self._tied_to is not None and record.gtl_log_id != self._tied_to:
            return  # void, whatever its epoch (docs/adr/0010)
        is_valid = self._lead.claim(offset, record.epoch, record.time)
        if is_valid:
            self._tied_to = record.gtl_log_id
        if is_valid and self._gtl_log_id is not None and record.gtl_log_id != self._gtl_log_id:
            self._lead.find(
                "W0",
                "wrong global log",
                f"the leader of epoch {record.epoch} works under another global log",
                offset,
                expected=self._gtl_log_id,
                found=record.gtl_log_id,
            )

    def _entries(self, offset: Offset, record: Entries, payload: bytes) -> None:
        count = len(record.entries)
        if not self._lead.numbered(offset, record.epoch, record.first_lsn, record.time, count, payload):
            return
        if count:
            self._writing.setdefault(record.epoch, offset)
        self._through = max(self._through, record.gtl_through.csn)
        for place, entry in enumerate(record.entries):
            lsn = Lsn(record.first_lsn + place)
            self._transactions.append(Transaction(lsn, offset, entry))
            self._committed[entry.txid] = lsn
            if entry.csn == 0 and entry.txid in self._refused:
                self._lead.find(
                    "W2",
                    "refused but applied",
                    f"Lsn {lsn}: transaction {entry.txid} was refused at offset {self._refused[entry.txid]}",
                    offset,
                    expected="no trace of it",
                )
