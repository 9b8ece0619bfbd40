"""What is looked at in a GTM and a DBTM at every step, because nothing that they leave behind shows it."""

from collections.abc import Iterable, Iterator
from typing import Any

from dbtm.machine import DbtmMachine
from grit.core.ids import Epoch, LinkId, Lsn, Realm, TxnId
from grit.core.limits import Limits
from grit.core.messages import ReadAnswered, ReadAsked
from grit.core.parts import Part, decode_part
from grit.core.queries import Query
from grit.core.records import Entries, Entry
from grit.core.steps import Append, Received, Send, Tick
from gtm.config import GtmConfig
from gtm.machine import GtmMachine
from tests.sim.chronicle import Shown
from tests.sim.world import World

LOOK_EVERY = 32
"""So many ticks lie between two looks at the tables."""


class GtmWatch:
    """Notes that the epoch of one GTM never goes back (I10), and that its tables keep their bounds (I12)."""

    def __init__(self, world: World, name: str, config: GtmConfig) -> None:
        self._world = world
        self._name = name
        self._config = config
        self._epoch = Epoch(0)
        self._ticks = 0

    def before(self, machine: GtmMachine, event: Any) -> None:
        """Note where the machine stands before a step."""
        self._epoch = machine.fold.epoch
        if isinstance(event, Tick):
            self._ticks += 1
            if self._ticks % LOOK_EVERY == 0:
                self._look(machine)

    def after(self, machine: GtmMachine) -> None:
        """Judge what a step has done."""
        if machine.fold.epoch < self._epoch:
            self._world.chronicle.slip("I10", f"{self._name}: its epoch went back from {self._epoch}")

    def _look(self, machine: GtmMachine) -> None:
        config, desk = self._config, machine._desk
        counts = {
            **machine.describe(),
            "refusing": len(desk.refusals),
            "aborted": len(desk.aborted._outcomes),
        }
        bounds = {
            "waiting": config.waiting_max,
            "voting": config.round_max,
            "in_flight": config.round_max * config.rounds_evaluated_max,
            "refusing": config.refusals_max,
            "aborted": config.aborted_max,
        }
        self._world.chronicle.expect_within(self._name, counts, bounds)


class DbtmWatch:
    """Notes what one DBTM certifies (I9) and shows (I8), and that its epoch and tables keep their bounds (I10, I12)."""

    def __init__(self, world: World, name: str, realm: Realm, limits: Limits) -> None:
        self._world = world
        self._name = name
        self._realm = realm
        self._limits = limits
        self._floor = self._newest = Lsn(0)
        self._epoch = Epoch(0)
        self._pending: set[TxnId] = set()
        self._asked: dict[tuple[LinkId, int], tuple[Query, ...]] = {}
        self._ticks = 0

    def before(self, machine: DbtmMachine, event: Any) -> None:
        """Note where the machine stands before a step."""
        ledger = machine._ledger
        self._floor, self._newest, self._epoch = ledger.history.floor, ledger.newest, ledger.fold.epoch
        if isinstance(event, Received) and isinstance(event.message, ReadAsked):
            self._asked[event.link, event.message.id] = event.message.queries
        elif isinstance(event, Tick):
            self._ticks += 1
            if self._ticks % LOOK_EVERY == 0:
                self._look(machine)

    def after(self, machine: DbtmMachine, effects: Iterable[Any]) -> None:
        """Judge what a step has done."""
        ledger = machine._ledger
        if ledger.fold.epoch < self._epoch:
            self._world.chronicle.slip("I10", f"{self._name}: its epoch went back from {self._epoch}")
        for effect in effects:
            if isinstance(effect, Send) and isinstance(effect.message, ReadAnswered):
                queries = self._asked.pop((effect.link, effect.message.id))
                self._world.chronicle.shown.append(Shown(self._realm, queries, effect.message))
        if ledger.newest > self._newest:
            self._note_admitted(machine, effects)
        if len(ledger.pending.parts) != len(self._pending):
            for txid, pending in ledger.pending.parts.items():
                if txid not in self._pending:
                    self._expect_remembered(txid, pending.part)
            self._pending = set(ledger.pending.parts)

    def _note_admitted(self, machine: DbtmMachine, effects: Iterable[Any]) -> None:
        moment = self._world.moment()
        for lsn, entry in _in_flight(machine, effects):
            if lsn > self._newest and not entry.csn:
                self._world.chronicle.admitted[self._realm, lsn, entry.txid] = moment
                self._expect_remembered(entry.txid, decode_part(entry.part))

    def _expect_remembered(self, txid: TxnId, part: Part) -> None:
        if part.reads and part.position < self._floor:
            text = f"{self._name} certified {txid}, which read at Lsn {part.position}, below its low watermark {self._floor}"
            self._world.chronicle.slip("I9", text)

    def _look(self, machine: DbtmMachine) -> None:
        limits, facts = self._limits, machine.describe()
        in_flight = facts["in_flight"]
        bounds = {
            "pending": limits.pending_parts,
            "judging": limits.open_requests,
            "waiting": limits.open_requests + in_flight,
            "reading": limits.open_requests,
            "validating": limits.open_requests,
            "held": limits.open_requests,
            "parked": limits.parked_per_key,
            "aborted": limits.aborts_remembered,
        }
        self._world.chronicle.expect_within(self._name, facts, bounds)
        # One transaction may write several records, and is forgotten as a whole; what is in flight never is.
        undone = sum(change.lsn > machine._ledger.tail for change in machine._ledger.history._in_order)
        self._world.chronicle.expect_within(self._name, facts, {"history": limits.history_keys + undone})


def _in_flight(machine: DbtmMachine, effects: Iterable[Any]) -> Iterator[tuple[Lsn, Entry]]:
    """Yield what has an Lsn: what this step has handed to the log, and what waits for the next record."""
    for effect in effects:
        if isinstance(effect, Append) and isinstance(effect.record, Entries):
            for place, entry in enumerate(effect.record.entries):
                yield Lsn(effect.record.first_lsn + place), entry
    outbox = machine._ledger._outbox
    for place, (entry, _) in enumerate(outbox):
        yield Lsn(machine._ledger.newest - len(outbox) + 1 + place), entry
