"""The checker's own reading of the global log: which transactions committed, and why the others did not.

Written from protocol.md sections 2 and 3, not from the fold.
"""

from collections.abc import Mapping

import msgspec

from grit.checker.copies import LogCopy
from grit.checker.leadership import Leadership
from grit.checker.report import Finding
from grit.core.ids import Csn, Epoch, Offset, Realm, TxnId, began_at
from grit.core.records import Checkpoint, CommitEntry, Commits, Fence, Genesis, GtlRecord, GtmEpoch, PartEntry, Refused

_LIFE_MS = 60_000
_KEY_HORIZON_MS = 24 * 3600 * 1000


class Void(msgspec.Struct, frozen=True):
    """Why an entry has no effect. `is_duplicate`: its id or key has committed before."""

    because: str
    is_duplicate: bool = False


class Decision(msgspec.Struct, frozen=True):
    """One numbered entry; committed unless `void` says why not."""

    csn: Csn
    offset: Offset
    entry: CommitEntry
    void: Void | None

    @property
    def is_committed(self) -> bool:
        """Tell the outcome."""
        return self.void is None

    def part_of(self, realm: str) -> PartEntry | None:
        """Return the part of a participant, None for others."""
        return next((part for part in self.entry.parts if part.realm == realm), None)


class GlobalHistory(msgspec.Struct, frozen=True):
    """All decisions, `decisions[csn - 1]`; the fences that were valid, by realm; whether all could be read."""

    log: str
    log_id: str
    decisions: tuple[Decision, ...]
    fences: Mapping[Realm, frozenset[Epoch]]
    is_whole: bool
    findings: tuple[Finding, ...]

    @property
    def last_csn(self) -> int:
        """The newest Csn."""
        return len(self.decisions)

    def at(self, csn: int) -> Decision | None:
        """Return what was decided at a Csn."""
        return self.decisions[csn - 1] if 1 <= csn <= len(self.decisions) else None

    def committed(self) -> list[Decision]:
        """Return the committed transactions, in order of Csn."""
        return [decision for decision in self.decisions if decision.is_committed]

    def committed_of(self, realm: str) -> list[Decision]:
        """Return those of them with a part in `realm`."""
        return [decision for decision in self.committed() if decision.part_of(realm)]


def read_gtl(copy: LogCopy[GtlRecord], *, is_quiesced: bool = False) -> GlobalHistory:
    """Return the history that the log holds."""
    reading = _Reading(copy.name, is_quiesced=is_quiesced)
    for placed in copy.records:
        reading.take(placed.offset, placed.record, placed.payload)
    return reading.history(copy.damage)


class _Reading:
    def __init__(self, log: str, *, is_quiesced: bool) -> None:
        self._lead = Leadership(log, "", "Csn", is_quiesced=is_quiesced)
        self._decisions: list[Decision] = []
        self._fences: dict[Realm, list[Epoch]] = {}
        self._last_csn: dict[Realm, Csn] = {}
        self._committed: dict[TxnId, Csn] = {}
        self._refused: set[TxnId] = set()
        self._bound: dict[str, tuple[int, str]] = {}

    def take(self, offset: Offset, record: GtlRecord, payload: bytes) -> None:
        self._lead.genesis(offset, record)
        if isinstance(record, Commits):
            self._commits(offset, record, payload)
        elif isinstance(record, Refused):
            self._refuse(record)
        elif isinstance(record, Fence):
            fences = self._fences.setdefault(record.realm, [])
            if record.epoch > max(fences, default=0):
                fences.append(record.epoch)
        elif isinstance(record, GtmEpoch):
            self._lead.claim(offset, record.epoch, record.time)
        elif not isinstance(record, Genesis | Checkpoint):
            self._lead.led(offset, record.epoch, self._lead.now)

    def history(self, damage: str) -> GlobalHistory:
        lead = self._lead
        lead.end()
        if damage:
            lead.find("W0", "damaged", damage, -1)
        fences = {realm: frozenset(epochs) for realm, epochs in self._fences.items()}
        return GlobalHistory(lead.log, lead.log_id, tuple(self._decisions), fences, not damage, tuple(lead.findings))

    def _commits(self, offset: Offset, record: Commits, payload: bytes) -> None:
        count = len(record.entries)
        if not self._lead.numbered(offset, record.epoch, record.first_csn, record.time, count, payload):
            return
        for place, entry in enumerate(record.entries):
            csn = Csn(record.first_csn + place)
            self._follow_chain(offset, csn, entry)
            void = self._why_void(record.epoch, entry)
            self._decisions.append(Decision(csn, offset, entry, void))
            if void is None:
                self._committed[entry.txid] = csn
                if entry.key:
                    self._bound[entry.key] = (self._lead.now, f"bound to transaction {entry.txid} of Csn {csn}")

    def _why_void(self, epoch: Epoch, entry: CommitEntry) -> Void | None:
        if entry.txid in self._committed:
            return Void(f"its id has committed before, at Csn {self._committed[entry.txid]}", is_duplicate=True)
        if entry.txid in self._refused:
            return Void("it was refused before")
        if began_at(entry.txid) < self._lead.now - 2 * _LIFE_MS:
            return Void("it began too long ago")
        if entry.key and (bound := self._what_holds(entry.key)):
            return Void(f"its idempotency key {entry.key!r} is {bound}", is_duplicate=True)
        return next((void for part in entry.parts if (void := self._why_vote_void(epoch, part))), None)

    def _why_vote_void(self, epoch: Epoch, part: PartEntry) -> Void | None:
        fence = max(self._fences.get(part.realm, ()), default=0)
        if part.gtm_epoch != epoch:
            return Void(f"the vote of realm {part.realm} was asked by GTM epoch {part.gtm_epoch}, not {epoch}")
        if part.dbtm_epoch != fence or not fence:
            return Void(f"the vote of realm {part.realm} is of DBTM epoch {part.dbtm_epoch}, its fence is {fence}")
        return None

    def _follow_chain(self, offset: Offset, csn: Csn, entry: CommitEntry) -> None:
        """Hold every part to the previous Csn of its realm, by which a realm notices that it misses an outcome."""
        for part in entry.parts:
            previous = self._last_csn.get(part.realm, 0)
            if part.prev_csn != previous:
                self._lead.find(
                    "W1",
                    "broken chain",
                    f"Csn {csn}, transaction {entry.txid}: the part of realm {part.realm} names a wrong previous Csn",
                    offset,
                    expected=str(previous),
                    found=str(part.prev_csn),
                )
            self._last_csn[part.realm] = csn

    def _refuse(self, record: Refused) -> None:
        self._refused.update(txid for txid in record.txids if txid not in self._committed)
        for key in record.keys:
            if not self._what_holds(key):
                self._bound[key] = (self._lead.now, "refused for good")

    def _what_holds(self, key: str) -> str:
        """Return by what a key is taken, by the log's time; "" = it is free."""
        bound_at, bound = self._bound.get(key, (0, ""))
        return bound if bound_at >= self._lead.now - _KEY_HORIZON_MS else ""
