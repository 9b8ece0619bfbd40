"""The player's shell: tails the log, carries out what the machine says on the database, reports back.

    log --tail--> LogFolded --> machine --> ReadCursor, ApplyBatch --> writer --> CursorRead, Applied, ... --> machine

It holds no decision. One store call at a time is under way, the machine sees to that; the tail goes on
meanwhile as long as the machine has room.
"""

import asyncio
from collections.abc import Callable, Coroutine

import msgspec

from grit.core.errors import LogError, StoreRefused
from grit.core.ids import Millis, Offset
from grit.core.records import decode_dbtl_record
from grit.core.steps import DBTL, CatchUp, Halt, LogBegan, LogCaughtUp, LogFolded, Tick, Trace
from grit.log.port import Log, LogUnavailable
from grit.runtime.begin import find_begin
from grit.runtime.failpoints import failpoint
from grit.runtime.fatal import spawn
from grit.runtime.loop import Loop, wall_clock
from grit.store import port as store
from log_players.cursor import (
    Applied,
    ApplyBatch,
    ApplyUnknown,
    CursorRead,
    PlayerEffect,
    PlayerEvent,
    PlayerMachine,
    ReadCursor,
    StartOver,
    StoreAway,
    StoreRefusedEntry,
    Wait,
)

LINGER_MS = 10
"""What a role's machine waits for company: a tenth of the database transactions at a hundred commits in a second."""
_TICK_MS = 50
_TAIL_WAIT_MS = 100
_LOG_RETRY_MS_MIN, _LOG_RETRY_MS_MAX = 50, 5_000


class PlayerMetrics(msgspec.Struct, frozen=True):
    """Numbers for `status` and the metrics endpoint.

    Attributes:
        applied_lsn: The last Lsn in the database. lag: transactions in the log that are not yet there.
        batches, rows: Applied by this process. away: Times that the log or the database did not answer.
        restarts: Times that the database went back and replay began again.
    """

    applied_lsn: int
    lag: int
    batches: int
    rows: int
    away: int
    restarts: int


class Player:
    """One log player.

    Args:
        log: The DBTL of the realm; only read.
        writer: The database of the realm; prepared before it is first asked.
        make_machine: A new machine, as after a crash.
        trace: Takes the finished "apply" span of a traced transaction.
        tell: Takes one line that an operator should see.
    """

    def __init__(
        self,
        log: Log,
        writer: store.StoreWriter,
        make_machine: Callable[[], PlayerMachine],
        *,
        trace: Callable[[Trace], None],
        tell: Callable[[str], None],
        clock: Callable[[], Millis] = wall_clock,
    ) -> None:
        self._log = log
        self._writer = writer
        self._make_machine = make_machine
        self._trace = trace
        self._tell = tell
        self._clock = clock
        self._machine = make_machine()
        self._is_prepared = False
        self._is_catching_up = False
        self._begin_max: Offset | None = None
        self._has_room = asyncio.Event()
        self._store_call: asyncio.Task[None] | None = None
        self._linger: asyncio.TimerHandle | None = None
        self._batches = self._rows = self._away = self._restarts = 0

    @property
    def metrics(self) -> PlayerMetrics:
        """Return the numbers of now."""
        machine = self._machine
        return PlayerMetrics(
            machine.applied_lsn, machine.lag, self._batches, self._rows, self._away, self._restarts
        )  # fmt: skip

    async def run(self) -> None:
        """Play for ever; once a process. Being cancelled ends it after the store call that is under way.

        Raises:
            LogError: The log cannot be played into this database; says why and what to do.
            StoreRefused: The database refuses an entry; names it. Nothing of it, and nothing after it, is applied.
        """
        self._halted: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._loop: Loop[PlayerEvent, PlayerEffect] = Loop(self._step, self._perform, self._clock)
        tail = spawn(self._tail(), name=f"tail of {self._log.name}")
        try:
            self._loop.ticker(_TICK_MS, Tick)
            self._loop.post(Tick())
            await self._halted
        finally:
            self._loop.close()
            tail.cancel()
            await asyncio.wait([task for task in (tail, self._store_call) if task is not None])

    def _step(self, now: Millis, event: PlayerEvent) -> list[PlayerEffect]:
        effects = self._machine.step(now, event)
        if self._machine.has_room:
            self._has_room.set()
        else:
            self._has_room.clear()
        if self._machine.is_lingering and self._linger is None:
            self._linger = asyncio.get_running_loop().call_later(LINGER_MS / 1000, self._lingered)
        return effects

    def _lingered(self) -> None:
        self._linger = None
        self._loop.post(Tick())

    def _perform(self, effect: PlayerEffect) -> None:
        if isinstance(effect, ApplyBatch):
            self._call_store(self._apply(effect))
        elif isinstance(effect, ReadCursor):
            self._call_store(self._read_cursor())
        elif isinstance(effect, Trace):
            self._trace(effect)
        elif isinstance(effect, CatchUp):
            self._is_catching_up = True
            self._begin_max = effect.begin_max
        elif isinstance(effect, Wait):
            self._away += 1
            self._tell(f"{self._log.name}: the database is away, again in {effect.delay_ms} ms: {effect.reason}")
        elif isinstance(effect, StartOver):
            self._start_over(effect)
        else:
            self._halt(effect)

    def _start_over(self, effect: StartOver) -> None:
        self._restarts += 1
        self._tell(f"{self._log.name}: {effect.reason}: replaying from there")
        self._machine = self._make_machine()
        self._is_catching_up = False
        self._begin_max = None
        self._loop.post(Tick())

    def _halt(self, effect: Halt) -> None:
        if not self._halted.done():
            self._halted.set_exception(effect.error)

    # The database.

    def _call_store(self, call: Coroutine[None, None, PlayerEvent]) -> None:
        async def report() -> None:
            self._loop.post(await call)

        self._store_call = spawn(report(), name=f"store call of the player of {self._log.name}")

    async def _read_cursor(self) -> PlayerEvent:
        try:
            if not self._is_prepared:
                await self._writer.prepare()
                self._is_prepared = True
            return CursorRead(await self._writer.cursor())
        except store.StoreUnavailable as error:
            return StoreAway(str(error))
        except StoreRefused as error:
            return StoreRefusedEntry(error)

    async def _apply(self, batch: ApplyBatch) -> PlayerEvent:
        failpoint("player.before_apply")
        try:
            is_done = await self._writer.apply(batch.expected, batch.writes, batch.reached)
        except store.StoreUnavailable as error:
            return StoreAway(str(error))
        except store.ApplyUnknown:
            return ApplyUnknown()
        except StoreRefused as error:
            return StoreRefusedEntry(error)
        failpoint("player.after_apply")
        if is_done:
            self._batches += 1
            self._rows += len(batch.writes)
        return Applied(is_done)

    # The log.

    async def _tail(self) -> None:
        """Feed the machine with the log for ever; what cannot be read halts, what is away is tried again."""
        retry_ms = _LOG_RETRY_MS_MIN
        while True:
            await self._has_room.wait()
            try:
                await self._tail_once()
                retry_ms = _LOG_RETRY_MS_MIN
            except LogUnavailable as error:
                self._away += 1
                self._tell(f"{self._log.name}: the log is away, again in {retry_ms} ms: {error}")
                await asyncio.sleep(retry_ms / 1000)
                retry_ms = min(2 * retry_ms, _LOG_RETRY_MS_MAX)
            except LogError as error:
                self._halt(Halt(error))
                return

    async def _tail_once(self) -> None:
        machine = self._machine
        if self._begin_max is not None:
            await self._skip(machine, self._begin_max)
        end = await self._log.end() if self._is_catching_up else None
        if end is None or machine.offset < end:
            await self._read(machine)
        if end is not None and machine is self._machine and machine.offset >= end:
            self._is_catching_up = False
            self._loop.post(LogCaughtUp(DBTL))

    async def _skip(self, machine: PlayerMachine, upto: Offset) -> None:
        """Skip to the newest checkpoint at or below `upto`, if that is further than the machine is."""
        begin = await find_begin(self._log, decode_dbtl_record, upto)
        if machine is not self._machine or self._begin_max != upto:
            return
        self._begin_max = None
        if begin is not None and begin.at > machine.offset:
            self._loop.post(LogBegan(DBTL, begin.state))

    async def _read(self, machine: PlayerMachine) -> None:
        """Report the next records, if some come soon."""
        if not await self._log.wait(machine.offset, timeout_ms=_TAIL_WAIT_MS):
            await self._check_end(machine)
            return
        payloads = await self._log.read(machine.offset)
        # A machine that took this one's place while the log was read begins at the start of the log.
        if machine is self._machine:
            name = self._log.name
            records = tuple((at, decode_dbtl_record(payload, log=name, offset=at)) for at, payload in payloads)
            self._loop.post(LogFolded(DBTL, records))

    async def _check_end(self, machine: PlayerMachine) -> None:
        """Refuse a log that got shorter while this player runs: what grows back may be another history."""
        folded = machine.offset
        end = await self._log.end()
        if end < folded:
            raise LogError(
                f"log {self._log.name}: ended at offset {folded} or later, now at {end}: it lost records. "
                "Restore the newest copy of the log, or rebuild the realm from the log as it is"
            )
