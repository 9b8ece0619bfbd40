"""A whole DBTM machine in memory: its log takes every record at once, its database has applied everything."""

from collections.abc import Sequence

from dbtm.effects import Effect, Event, ReadStore, StoreRead
from dbtm.machine import DbtmMachine
from grit.core.catalog import CollectionDef, FieldKind, FieldType, RealmDef, Shape
from grit.core.ids import Collection, Epoch, LeaderId, LinkId, Lsn, Millis, Offset, Realm, TxnId, make_txn_id
from grit.core.messages import CommitAsked, OutcomeAnswered
from grit.core.outcome import State
from grit.core.queries import Cursor, StoreAnswer
from grit.core.records import DbtlRecord, Genesis, GtlRecord
from grit.core.steps import DBTL, GTL, Append, CatchUp, LogCaughtUp, LogFolded, Received, Send, Tick

REALM = Realm("bench")
ITEM = Collection("item")
HOME = LinkId(1)
TICK_MS = 250
CATALOGUE = RealmDef(
    REALM,
    "memory",
    "",
    {
        ITEM: CollectionDef(
            ITEM,
            Shape.TABLE,
            ("id",),
            {
                "id": FieldType(FieldKind.INT),
                "name": FieldType(FieldKind.STRING),
                "on_hand": FieldType(FieldKind.INT),
                "sold": FieldType(FieldKind.INT),
            },
        )
    },
)


class DbtmDriver:
    """Steps one machine, and carries out its effects at once.

    Attributes:
        committed, refused: Local commits by their answer.
    """

    def __init__(self) -> None:
        self._machine = DbtmMachine(
            CATALOGUE, leader_id=LeaderId("bench"), address="", fresh_log_id="bench-log", limits=None
        )
        self._now = Millis(1_700_000_000_000)
        self._ends = {DBTL: 0, GTL: 0}
        self._lsn = Lsn(0)
        self._asked = 0
        self.committed = self.refused = 0
        self._fold(GTL, (Genesis("bench-gtl", Realm(""), 1),))
        for _ in range(10):
            self.tick()
        assert self._machine.phase == "serving", self._machine.phase

    def tick(self) -> None:
        """Let time pass; the machine learns how far its database is."""
        self._now = Millis(self._now + TICK_MS)
        self._step(Tick())

    def txid(self) -> TxnId:
        """Return the id of a new transaction."""
        self._asked += 1
        return make_txn_id(self._now, self._asked)

    def commit(self, parts: Sequence[tuple[TxnId, bytes]]) -> None:
        """Ask for local commits, all before the log has taken the first record: a group commit."""
        appends: list[Append] = []
        for txid, part in parts:
            effects = self._machine.step(self._now, Received(HOME, CommitAsked(self._asked, txid, part)))
            appends += self._perform(effects)
        self._land(appends)

    def tail(self) -> Lsn:
        """Return the newest durable Lsn."""
        return self._lsn

    def _step(self, event: Event) -> None:
        self._land(self._perform(self._machine.step(self._now, event)))

    def _perform(self, effects: Sequence[Effect]) -> list[Append]:
        appends: list[Append] = []
        for effect in effects:
            if isinstance(effect, Append):
                appends.append(effect)
            elif isinstance(effect, Send):
                self._count(effect)
            elif isinstance(effect, CatchUp):
                self._step(LogCaughtUp(effect.log))
            elif isinstance(effect, ReadStore):
                cursor = None
                if self._lsn:
                    cursor = Cursor("bench-log", Offset(self._ends[DBTL]), Epoch(1), self._lsn)
                self._step(StoreRead(effect.id, StoreAnswer(cursor, tuple(() for _ in effect.queries), cursor)))
        return appends

    def _count(self, effect: Send) -> None:
        if isinstance(effect.message, OutcomeAnswered):
            if effect.message.outcome.state == State.COMMITTED:
                self.committed += 1
                self._lsn = max(self._lsn, effect.message.outcome.lsn)
            else:
                self.refused += 1

    def _land(self, appends: Sequence[Append]) -> None:
        for append in appends:
            self._fold(append.log, (append.record,))

    def _fold(self, log: str, records: Sequence[GtlRecord | DbtlRecord]) -> None:
        first = self._ends[log]
        self._ends[log] += len(records)
        self._step(LogFolded(log, tuple((Offset(first + at), record) for at, record in enumerate(records))))
