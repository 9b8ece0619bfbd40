"""The checker's own reading of the global log: which transactions committed, and why the others did not.

Written from protocol.md sections 2 and 3, not from the fold.
"""

from collections.abc import Mapping, Sequence

import msgspec

from grit.checker.beginning import find_lie, states_in
from grit.checker.copies import LogCopy
from grit.checker.leadership import Leadership
from grit.checker.report import Finding
from grit.core.errors import LogError
from grit.core.ids import Csn, Epoch, Offset, Realm, TxnId, began_at
from grit.core.records import Checkpoint, CommitEntry, Commits, Fence, Genesis, GtlRecord, GtmEpoch, PartEntry, Refused
from grit.core.states import GtlState

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
    """All decisions, in order of Csn; the fences that were valid, by realm; whether all could be read.

    Of a log that was cut: what follows Csn `before`, and of fences those from the newest at the checkpoint on.
    """

    log: str
    log_id: str
    decisions: tuple[Decision, ...]
    fences: Mapping[Realm, frozenset[Epoch]]
    is_whole: bool
    findings: tuple[Finding, ...]
    before: Csn = Csn(0)

    @property
    def last_csn(self) -> int:
        """The newest Csn."""
        return self.before + len(self.decisions)

    def at(self, csn: int) -> Decision | None:
        """Return what was decided at a Csn."""
        return self.decisions[csn - self.before - 1] if self.before < csn <= self.last_csn else None

    def committed(self) -> list[Decision]:
        """Return the committed transactions, in order of Csn."""
        return [decision for decision in self.decisions if decision.is_committed]

    def committed_of(self, realm: str) -> list[Decision]:
        """Return those of them with a part in `realm`."""
        return [decision for decision in self.committed() if decision.part_of(realm)]


def read_gtl(copy: LogCopy[GtlRecord], *, is_quiesced: bool = False) -> GlobalHistory:
    """Return the history that the log holds."""
    reading = _Reading(copy.name, is_quiesced=is_quiesced)
    try:
        states = list(states_in(copy, GtlState))
    except LogError as error:
        states = []
        reading.find_unreadable(str(error))
    begin = reading.begin(copy.first, states)
    for placed in copy.records:
        if placed.offset >= begin:
            reading.take(placed.offset, placed.record, placed.payload)
    return reading.history(copy.damage, states)


class _Reading:
    def __init__(self, log: str, *, is_quiesced: bool) -> None:
        self._lead = Leadership(log, "", "Csn", is_quiesced=is_quiesced)
        self._decisions: list[Decision] = []
        self._fences: dict[Realm, list[Epoch]] = {}
        self._last_csn: dict[Realm, Csn] = {}
        self._committed: dict[TxnId, Csn] = {}
        self._refused: set[TxnId] = set()
        self._bound: dict[str, tuple[int, str]] = {}

        self._before = Csn(0)
        self._begin = Offset(0)
        self._marks = [(Epoch(0), Csn(0), 0)]

    def find_unreadable(self, problem: str) -> None:
        self._lead.find("W0", "unreadable checkpoint", problem, -1)

    def begin(self, first: Offset, states: Sequence[tuple[Offset, GtlState]]) -> Offset:
        """Begin at the first checkpoint of a log that was cut; return where."""
        if first == 0 or not states:
            self._begin = first
            return first
        state = min((state for _, state in states), key=lambda one: one.shared.offset)
        shared = state.shared
        self._begin = shared.offset
        self._lead.begin(shared.log_id, shared.epoch, state.next_csn, shared.now)
        self._before = Csn(state.next_csn - 1)
        self._fences = {realm: [epoch] for realm, epoch in state.fences}
        self._last_csn = dict(state.last_csn)
        self._committed = dict(shared.committed)
        self._refused = set(shared.refused)
        for key in state.keys:
            bound = f"bound to transaction {key.txid} of Csn {key.csn}" if key.txid else "refused for good"
            self._bound[key.key] = (key.since, bound)
        self._marks = [(shared.epoch, self._before, shared.now)]
        return self._begin

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
        self._marks.append((self._lead.epoch, Csn(self._before + len(self._decisions)), self._lead.now))

    def history(self, damage: str, states: Sequence[tuple[Offset, GtlState]]) -> GlobalHistory:
        lead = self._lead
        lead.end()
        for offset, state in states:
            self._judge(offset, state)
        if damage:
            lead.find("W0", "damaged", damage, -1)
        fences = {realm: frozenset(epochs) for realm, epochs in self._fences.items()}
        return GlobalHistory(
            lead.log, lead.log_id, tuple(self._decisions), fences, not damage, tuple(lead.findings), self._before
        )

    def _judge(self, offset: Offset, state: GtlState) -> None:
        """Hold a checkpoint to what was read up to where it speaks of."""
        at = state.shared.offset - self._begin
        if not 0 <= at < len(self._marks):
            return
        epoch, csn, now = self._marks[at]
        log_id, committed = self._lead.log_id, self._committed
        lie = find_lie(state.shared, log_id=log_id, epoch=epoch, number=csn, now=now, committed=committed)
        if state.next_csn - 1 != csn:
            lie = f"next Csn {state.next_csn}, expected {csn + 1}; {lie}"
        if lie:
            self._lead.find("W0", "false checkpoint", f"the checkpoint of offset {state.shared.offset}: {lie}", offset)

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
