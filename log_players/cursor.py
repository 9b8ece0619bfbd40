"""The player's machine: where it is in its log, what it applies next, and when it must not go on.

Theory (protocol.md sections 2 and 9). The log is folded from a checkpoint, or its first record; what a valid ENTRIES record
holds is applied in batches of whole records, and each batch moves the cursor of the database from the value that
this player last saw to the end of the batch, by compare-and-set, in the transaction that writes the rows. So
whatever happens between two steps (a crash, a second player, a commit whose answer was lost), the rows in the
database are those of the log up to the cursor in the database. The machine never believes an own idea of the
cursor after anything but a success: it reads it again.

    STARTING --ReadCursor--> READING --CursorRead--> FOLLOWING --ApplyBatch--> APPLYING
                               ^  |                    ^   ^                    |  |
                               |  +--> SEEKING --------+   +------ applied -----+  |
                               |       (cursor ahead of the fold)                  |
                               +-- WAITING <-- store away --- READING, APPLYING ---+
                               +-- another player, unknown ------------------------+
    any --Halt--> HALTED        READING --StartOver--> (a new machine, as after a crash)

A cursor that is not of this log, or does not lie where the log says, halts: applying would mix two histories.
"""

from collections import deque
from collections.abc import Mapping
from enum import StrEnum

import msgspec

from grit.core.catalog import CollectionDef
from grit.core.errors import LogError, StoreRefused
from grit.core.fold import DbtlFold
from grit.core.ids import Collection, Lsn, Millis, Offset, Realm
from grit.core.queries import Cursor, RowWrite
from grit.core.records import DbtlRecord, Entry
from grit.core.steps import DBTL, CatchUp, Halt, LogBegan, LogCaughtUp, LogFolded, Tick, Trace
from log_players.plans.batch import WriteOrder, plan_writes


class PlayerLimits(msgspec.Struct, frozen=True):
    """How much at once, and how often.

    Attributes:
        batch_entries_max, batch_bytes_max: A batch ends with the record that reaches one of them; it has one record
            at least. Bytes are those of the after-images.
        linger_ms: An entry waits so long for others to go with it, unless a batch is full: a database transaction costs much
            the same for one and for many, and nobody who reads through GRIT waits for it.
        backlog_bytes_max, backlog_records_max: Beyond one of them the machine asks for no more of the log.
        quiet_ms: Records without entries move the cursor this often at most.
        look_ms: An idle player reads the cursor this often: a database that went back (a fail-over, a restore) is played
            forward again, whether something is committed or not.
        retry_ms_min, retry_ms_max: First and longest wait for a database that is away; it doubles in between.
    """

    batch_entries_max: int = 1_000
    batch_bytes_max: int = 1 << 20
    linger_ms: int = 0
    backlog_bytes_max: int = 16 << 20
    backlog_records_max: int = 10_000
    quiet_ms: int = 30_000
    look_ms: int = 2_000
    retry_ms_min: int = 50
    retry_ms_max: int = 5_000


class CursorRead(msgspec.Struct, frozen=True):
    """The database holds this cursor; None: nothing was ever applied."""

    cursor: Cursor | None


class Applied(msgspec.Struct, frozen=True):
    """The batch is applied (True), or nothing was changed because the stored cursor is another one (False)."""

    done: bool


class ApplyUnknown(msgspec.Struct, frozen=True):
    """The batch may have been applied, or may be later."""


class StoreAway(msgspec.Struct, frozen=True):
    """The database did not answer; it has not changed anything."""

    reason: str


class StoreRefusedEntry(msgspec.Struct, frozen=True):
    """The database refuses the batch; nothing of it was applied."""

    error: StoreRefused


class ReadCursor(msgspec.Struct, frozen=True):
    """Read the cursor of the database; answer with `CursorRead`, `StoreAway` or `StoreRefusedEntry`."""


class ApplyBatch(msgspec.Struct, frozen=True):
    """Write the rows and move the cursor from `expected` to `reached`, in one transaction.

    Answer with `Applied`, `ApplyUnknown`, `StoreAway` or `StoreRefusedEntry`. `lsns`: the transactions in it.
    """

    expected: Cursor | None
    writes: tuple[RowWrite, ...]
    reached: Cursor
    lsns: tuple[Lsn, ...]


class Wait(msgspec.Struct, frozen=True):
    """The database is away; nothing is asked of it before a `Tick` that comes `delay_ms` from now or later."""

    delay_ms: int
    reason: str


class StartOver(msgspec.Struct, frozen=True):
    """The database went back behind what this machine still holds: begin with a new machine, as after a crash."""

    reason: str


PlayerEvent = (
    Tick | CursorRead | LogBegan | LogFolded | LogCaughtUp | Applied | ApplyUnknown | StoreAway | StoreRefusedEntry
)
PlayerEffect = ReadCursor | ApplyBatch | CatchUp | Wait | StartOver | Halt | Trace


class PlayerState(StrEnum):
    """See the drawing above."""

    STARTING = "starting"
    READING = "reading"
    SEEKING = "seeking"
    FOLLOWING = "following"
    APPLYING = "applying"
    WAITING = "waiting"
    HALTED = "halted"


class _Stop(msgspec.Struct, frozen=True):
    """One folded record: the cursor behind it, and what it adds."""

    reached: Cursor
    entries: tuple[tuple[Lsn, Entry], ...]
    bytes: int


class PlayerMachine:
    """Applies the log of one realm; see the module.

    Attributes:
        state: Where it is.
        stored: The cursor of the database, as last known.
        halted: Why it stopped for good.
    """

    def __init__(
        self,
        realm: Realm,
        collections: Mapping[Collection, CollectionDef],
        *,
        log: str = "",
        limits: PlayerLimits | None = None,
    ) -> None:
        self.realm = realm
        self.state = PlayerState.STARTING
        self.stored: Cursor | None = None
        self.halted: Exception | None = None
        self._limits = limits or PlayerLimits()
        self._order = WriteOrder(collections)
        self._fold = DbtlFold(log or f"dbtl.{realm}", realm)
        self._base = self._here()
        self._backlog: deque[_Stop] = deque()
        self._backlog_bytes = 0
        self._backlog_entries = 0
        self._batch: tuple[_Stop, ...] = ()
        self._single_until = Offset(0)
        self._arrived_at = Millis(0)
        self._moved_at = Millis(0)
        self._looked_at = Millis(0)
        self._retry_at = Millis(0)
        self._retry_ms = self._limits.retry_ms_min

    @property
    def offset(self) -> Offset:
        """The offset of the next record to fold."""
        return self._fold.offset

    @property
    def applied_lsn(self) -> Lsn:
        """The last Lsn known to be in the database; 0 when there is none, or the cursor is not known yet."""
        return self.stored.lsn if self.stored else Lsn(0)

    @property
    def lag(self) -> int:
        """How many folded transactions are not known to be in the database."""
        return max(0, self._fold.tail - self.applied_lsn)

    @property
    def is_lingering(self) -> bool:
        """Tell whether entries wait for others to go with them: a `Tick` after `linger_ms` applies them."""
        return self.state == PlayerState.FOLLOWING and self._backlog_entries > 0

    @property
    def has_room(self) -> bool:
        """Tell whether more of the log is welcome; not before the cursor is known, nor with much unapplied."""
        if self.state == PlayerState.SEEKING:
            return True
        is_lost = self.stored is None and self.state in (PlayerState.STARTING, PlayerState.READING)
        return not is_lost and self.halted is None and not self._is_full()

    def step(self, now: Millis, event: PlayerEvent) -> list[PlayerEffect]:
        """Take one event; return what to do, in order. At most one `ReadCursor` or `ApplyBatch` is ever under way."""
        if self.halted is not None:
            return []
        try:
            return self._step(now, event)
        except (LogError, StoreRefused) as error:
            return self._halt(error)

    def _step(self, now: Millis, event: PlayerEvent) -> list[PlayerEffect]:
        if isinstance(event, LogFolded):
            return self._log_folded(now, event)
        if isinstance(event, Tick):
            return self._tick(now)
        if isinstance(event, LogCaughtUp):
            return self._log_caught_up()
        if isinstance(event, CursorRead):
            return self._cursor_read(now, event.cursor)
        if isinstance(event, LogBegan):
            return self._log_began(event.state)
        if isinstance(event, Applied):
            return self._applied(now) if event.done else self._read_cursor()
        if isinstance(event, ApplyUnknown):
            return self._read_cursor()
        if isinstance(event, StoreAway):
            return self._store_away(now, event.reason)
        return self._refused(event.error)

    # The log.

    def _here(self) -> Cursor:
        fold = self._fold
        return Cursor(fold.log_id, fold.offset, fold.epoch, fold.tail)

    def _log_began(self, state: bytes) -> list[PlayerEffect]:
        """Skip to a checkpoint at or below the cursor that is looked for: what lies before it is in the database."""
        assert self.state == PlayerState.SEEKING
        self._fold.load(state)
        self._base = self._here()
        self._arrive()
        return []

    def _log_folded(self, now: Millis, event: LogFolded) -> list[PlayerEffect]:
        if not self._backlog_entries:
            self._arrived_at = now
        for offset, record in event.records:
            self._fold_record(offset, record)
        return self._next(now)

    def _fold_record(self, offset: Offset, record: object) -> None:
        assert isinstance(record, DbtlRecord), "a player follows the log of its realm only"
        folded = self._fold.apply(offset, record)
        if self.state == PlayerState.SEEKING:
            self._base = self._here()
            self._arrive()
            return
        size = sum(len(image.after or b"") for _, entry in folded.entries for image in entry.images)
        self._backlog.append(_Stop(self._here(), folded.entries, size))
        self._backlog_bytes += size
        self._backlog_entries += len(folded.entries)

    def _log_caught_up(self) -> list[PlayerEffect]:
        if self.state != PlayerState.SEEKING:
            return []
        assert self.stored is not None
        raise LogError(
            f"log {self._fold.log}: ends at offset {self._fold.offset}, but the database of realm {self.realm} has "
            f"applied it up to offset {self.stored.offset} (Lsn {self.stored.lsn}): the log has lost records. "
            "Restore the newest copy of the log, or rebuild the realm from the log as it is; nothing was changed"
        )

    # The cursor.

    def _read_cursor(self) -> list[PlayerEffect]:
        self.state = PlayerState.READING
        self._batch = ()
        return [ReadCursor()]

    def _cursor_read(self, now: Millis, cursor: Cursor | None) -> list[PlayerEffect]:
        assert self.state == PlayerState.READING
        offset = cursor.offset if cursor else Offset(0)
        if offset < self._base.offset:
            return [
                StartOver(f"the database of realm {self.realm} went back from offset {self._base.offset} to {offset}")
            ]
        self.stored = cursor
        self._looked_at = now
        if offset > self._fold.offset:
            self._drop_backlog()
            self._base = self._here()
            self.state = PlayerState.SEEKING
            return [CatchUp(DBTL, offset)]
        self._trim(offset)
        if cursor:
            self._check_identity(cursor)
        self.state = PlayerState.FOLLOWING
        return self._next(now)

    def _arrive(self) -> None:
        """End the search when the fold stands where the database does."""
        assert self.stored is not None
        if self._fold.offset == self.stored.offset:
            self._check_identity(self.stored)
            self.state = PlayerState.FOLLOWING

    def _check_identity(self, cursor: Cursor) -> None:
        """Compare the stored cursor with what the log says at its offset, which is where the backlog begins."""
        where = f"log {self._fold.log}, offset {cursor.offset}: the database of realm {self.realm}"
        if cursor.log_id != self._fold.log_id:
            raise LogError(
                f"{where} was filled from log {cursor.log_id}, this is log {self._fold.log_id}: "
                "check the log in the configuration, or rebuild the realm from this log; nothing was changed"
            )
        if (cursor.epoch, cursor.lsn) != (self._base.epoch, self._base.lsn):
            raise LogError(
                f"{where} stands at epoch {cursor.epoch}, Lsn {cursor.lsn}, this log at epoch {self._base.epoch}, "
                f"Lsn {self._base.lsn}: the log lost records and went on, or grit_position was edited. "
                "Restore the newest copy of the log, or rebuild the realm; nothing was changed"
            )

    # Batches.

    def _next(self, now: Millis) -> list[PlayerEffect]:
        """Apply what has arrived, if there is a reason to and nothing is under way."""
        if self.state != PlayerState.FOLLOWING or not self._has_reason(now):
            return []
        self._batch = self._take()
        entries = tuple(numbered for stop in self._batch for numbered in stop.entries)
        writes = plan_writes(entries, self._order)
        self._moved_at = now
        self.state = PlayerState.APPLYING
        return [ApplyBatch(self.stored, writes, self._batch[-1].reached, tuple(lsn for lsn, _ in entries))]

    def _has_reason(self, now: Millis) -> bool:
        """Tell whether to move the cursor.

        A database without a cursor gets one from the first record on: a log that is exchanged before the first
        transaction is then noticed too.
        """
        if not self._backlog:
            return False
        is_quiet_over = now - self._moved_at >= self._limits.quiet_ms
        return self._is_batch_due(now) or self.stored is None or is_quiet_over or self._is_full()

    def _is_batch_due(self, now: Millis) -> bool:
        if not self._backlog_entries:
            return False
        has_lingered = now - self._arrived_at >= self._limits.linger_ms
        return has_lingered or self._backlog_entries >= self._limits.batch_entries_max

    def _take(self) -> tuple[_Stop, ...]:
        batch: list[_Stop] = []
        entries = size = 0
        for stop in self._backlog:
            batch.append(stop)
            entries += len(stop.entries)
            size += stop.bytes
            is_single = stop.reached.offset <= self._single_until and entries
            if is_single or entries >= self._limits.batch_entries_max or size >= self._limits.batch_bytes_max:
                break
        return tuple(batch)

    def _applied(self, now: Millis) -> list[PlayerEffect]:
        assert self.state == PlayerState.APPLYING
        batch, self._batch = self._batch, ()
        self.stored = batch[-1].reached
        self._looked_at = now
        self._trim(self.stored.offset)
        self._arrived_at = now
        self._retry_ms = self._limits.retry_ms_min
        self.state = PlayerState.FOLLOWING
        return [*self._traces(batch, now), *self._next(now)]

    def _traces(self, batch: tuple[_Stop, ...], now: Millis) -> list[Trace]:
        return [
            Trace("apply", entry.trace, self._moved_at, now, {"realm": self.realm, "txid": entry.txid, "lsn": lsn})
            for stop in batch
            for lsn, entry in stop.entries
            if entry.trace
        ]

    def _is_full(self) -> bool:
        limits = self._limits
        return self._backlog_bytes >= limits.backlog_bytes_max or len(self._backlog) >= limits.backlog_records_max

    def _trim(self, offset: Offset) -> None:
        """Forget what lies before `offset`: it is in the database."""
        while self._backlog and self._backlog[0].reached.offset <= offset:
            stop = self._backlog.popleft()
            self._base = stop.reached
            self._backlog_bytes -= stop.bytes
            self._backlog_entries -= len(stop.entries)

    def _drop_backlog(self) -> None:
        self._backlog.clear()
        self._backlog_bytes = self._backlog_entries = 0

    # Trouble.

    def _tick(self, now: Millis) -> list[PlayerEffect]:
        is_over = self.state == PlayerState.WAITING and now >= self._retry_at
        if self.state == PlayerState.STARTING or is_over:
            return self._read_cursor()
        is_idle = self.state == PlayerState.FOLLOWING and not self._has_reason(now)
        if is_idle and now - self._looked_at >= self._limits.look_ms:
            return self._read_cursor()
        return self._next(now)

    def _store_away(self, now: Millis, reason: str) -> list[PlayerEffect]:
        delay_ms = self._retry_ms
        self._retry_ms = min(2 * delay_ms, self._limits.retry_ms_max)
        self._retry_at = Millis(now + delay_ms)
        self._batch = ()
        self.state = PlayerState.WAITING
        return [Wait(delay_ms, reason)]

    def _refused(self, error: StoreRefused) -> list[PlayerEffect]:
        """Stop at the record that the database refuses; first apply, one by one, what lies before it."""
        guilty = [stop for stop in self._batch if stop.entries]
        if len(guilty) > 1:
            self._single_until = self._batch[-1].reached.offset
            return self._read_cursor()
        return self._halt(StoreRefused(f"realm {self.realm}: {_place(guilty, self._fold.log)}: {error}. {_REMEDY}"))

    def _halt(self, error: Exception) -> list[PlayerEffect]:
        self.state = PlayerState.HALTED
        self.halted = error
        return [Halt(error)]


_REMEDY = "Repair what interferes and start the player again, or rebuild the realm; nothing is skipped"


def _place(guilty: list[_Stop], log: str) -> str:
    if not guilty:
        return "the database refuses the player"
    (stop,) = guilty
    named = ", ".join(f"{lsn} ({entry.txid})" for lsn, entry in stop.entries[:3])
    more = f" and {len(stop.entries) - 3} more" if len(stop.entries) > 3 else ""
    return f"the database refuses log {log}, offset {stop.reached.offset - 1}, Lsn {named}{more}"
