"""The checker's own reading of the log of a realm: its transactions in order, and where every record stands."""

from collections.abc import Mapping

import msgspec

from grit.checker.copies import LogCopy
from grit.checker.leadership import Leadership
from grit.checker.report import Finding
from grit.core.ids import Csn, Epoch, Lsn, Offset, Realm, TxnId
from grit.core.records import Checkpoint, DbtlRecord, DbtmEpoch, Entries, Entry, Genesis, Refused


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
        transactions: `transactions[lsn - 1]`.
        marks: `marks[i]`: after the records before offset i; one more than there are records.
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

    @property
    def end(self) -> Mark:
        """Where the log stands at its end."""
        return self.marks[-1]

    @property
    def end_offset(self) -> Offset:
        """The offset behind its last record."""
        return Offset(len(self.marks) - 1)

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
    for placed in copy.records:
        reading.take(placed.offset, placed.record, placed.payload)
    return reading.history(copy.damage)


class _Reading:
    def __init__(self, log: str, realm: Realm, gtl_log_id: str | None, *, is_quiesced: bool) -> None:
        self._realm = realm
        self._gtl_log_id = gtl_log_id
        self._lead = Leadership(log, realm, "Lsn", is_quiesced=is_quiesced)
        self._transactions: list[Transaction] = []
        self._marks = [Mark(Epoch(0), Lsn(0), Csn(0))]
        self._writing: dict[Epoch, Offset] = {}
        self._through = Csn(0)
        self._refused: dict[TxnId, Offset] = {}
        self._tied_to: str | None = None

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
        self._marks.append(Mark(self._lead.epoch, Lsn(len(self._transactions)), self._through))

    def history(self, damage: str) -> RealmHistory:
        lead = self._lead
        lead.end()
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
        )

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
            if entry.csn == 0 and entry.txid in self._refused:
                self._lead.find(
                    "W2",
                    "refused but applied",
                    f"Lsn {lsn}: transaction {entry.txid} was refused at offset {self._refused[entry.txid]}",
                    offset,
                    expected="no trace of it",
                )
