"""The player as a role of a process."""

import asyncio
from collections.abc import Callable

import structlog

from grit.core.catalog import RealmDef
from grit.core.steps import Trace
from grit.log.port import Log
from grit.runtime.fatal import spawn
from grit.store.port import StoreWriter
from log_players.cursor import PlayerLimits, PlayerMachine
from log_players.player import LINGER_MS, Player, PlayerMetrics


class PlayerRole:
    """A `grit.runtime.supervisor.Role`: one player. Halting is fatal: it ends the process with the player's line.

    The log and the writer are this role's to close.
    """

    def __init__(self, realm: RealmDef, log: Log, writer: StoreWriter, player: Player) -> None:
        self._realm = realm.name
        self._log = log
        self._writer = writer
        self._player = player
        self._running: asyncio.Task[None] | None = None

    @property
    def name(self) -> str:
        """Return the role and its realm."""
        return f"player {self._realm}"

    @property
    def metrics(self) -> PlayerMetrics:
        """Return the numbers of now."""
        return self._player.metrics

    async def start(self) -> None:
        """Begin to play. Does not wait for the database: a player whose database is away is a good player."""
        self._running = spawn(self._player.run(), name=self.name)

    async def drain(self) -> None:
        """End after the batch that is under way; what is in the log stays there for the next player."""
        if self._running is not None:
            self._running.cancel()
            # A failure has already been reported by the task itself.
            await asyncio.wait([self._running])

    async def close(self) -> None:
        """Stop, and release log and database."""
        await self.drain()
        await self._writer.close()
        await self._log.close()


def build_player(
    realm: RealmDef,
    log: Log,
    writer: StoreWriter,
    *,
    trace: Callable[[Trace], None],
    limits: PlayerLimits | None = None,
) -> PlayerRole:
    """Return the role that applies the log of `realm` to its database.

    Args:
        realm: The realm, as the catalogue has it.
        log: The DBTL of the realm, opened by the composition root.
        writer: The database of the realm, connected as the user that may write.
        trace: Takes finished spans, such as `grit.telemetry.tracing` makes.
        limits: How much at once, and how often; None: the defaults, with a short linger.
    """
    lines = structlog.get_logger("grit.player").bind(realm=realm.name)

    def make_machine() -> PlayerMachine:
        return PlayerMachine(
            realm.name, realm.collections, log=log.name, limits=limits or PlayerLimits(linger_ms=LINGER_MS)
        )

    return PlayerRole(realm, log, writer, Player(log, writer, make_machine, trace=trace, tell=lines.warning))
