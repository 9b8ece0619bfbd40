"""The work of `grit realm rebuild`: a database anew beside the old one, held to its log, and the two compared.

    [checkpoint of the database] --loaded--+
    log --the player's machine and shell---+--> orders.db.rebuild --rows--> equal to the checker's own replay?
                                                 |  at the position of the old one: the same hash?
    orders.db (old, only read) ------------------+

Nothing of the old database is changed here.
"""

from pathlib import Path

import click
import msgspec

from grit.checker.check import judge_state
from grit.checker.dbtl import RealmHistory
from grit.checker.difference import judge_position
from grit.checker.digest import digest_of_replay, digest_of_rows
from grit.checker.replay import Base
from grit.checker.report import Finding
from grit.checker.sources import all_rows
from grit.cli.log_files import open_existing
from grit.cli.progress import progress
from grit.cli.realm_base import StartingPoint, read_history, starting_point
from grit.config.model import Config
from grit.core.catalog import RealmDef
from grit.core.errors import StoreRefused
from grit.core.ids import Offset
from grit.core.queries import StoreAnswer
from grit.log.port import Log
from grit.store.open import open_reader, open_writer
from grit.store.port import StoreUnavailable
from grit.store.swap import remove_database, remove_second_names
from log_players.loading import load_rows
from log_players.replaying import play_to


class State(msgspec.Struct, frozen=True):
    """What a database holds at a position: its Lsn, how many records, their hash."""

    lsn: int
    rows: int
    digest: str


class Comparison(msgspec.Struct, frozen=True):
    """The old database and the new one at one position.

    Attributes:
        unasked: Why they were not compared; "" when they were.
        old, new: What each held.
        findings: What differs, as the checker names it.
    """

    unasked: str = ""
    old: State | None = None
    new: State | None = None
    findings: tuple[Finding, ...] = ()

    @property
    def is_equal(self) -> bool:
        """Tell whether both held the same records."""
        return self.old is not None and self.old == self.new


class Built(msgspec.Struct, frozen=True):
    """A new database.

    Attributes:
        path: Where it lies, beside the one that is in use.
        state: What it holds. expected: The hash of the checker's replay.
        findings: What in it is not as the log says: empty, or GRIT or the checkpoint is wrong.
        comparison: With the old one.
    """

    path: Path
    state: State
    expected: str
    findings: tuple[Finding, ...]
    comparison: Comparison

    @property
    def is_right(self) -> bool:
        """Tell whether it is what its log says."""
        return not self.findings and self.state.digest == self.expected


async def build(config: Config, realm: RealmDef, live: Path, *, is_there: bool, checkpoint: Path | None) -> Built:
    """Build the database of a realm anew beside `live`, which the caller owns, whether it `is_there` or not.

    Args:
        config: The deployment.
        realm: Whose database.
        live: The file of the database in use.
        is_there: Whether there is one.
        checkpoint: A file to begin with; None: the log alone.

    Raises:
        ConfigError: There is no log, or it does not hold all that was in the database, or the checkpoint is of no use for it.
        LogError, StoreRefused: The log cannot be played.
        LogUnavailable, StoreUnavailable: It cannot be read, or the new database not be made, now.
    """
    history = await read_history(config, realm)
    point = starting_point(history, checkpoint)
    new = live.with_name(f"{live.name}.rebuild")
    remove_second_names(live)
    remove_database(new)
    builder = _Builder(msgspec.structs.replace(realm, url=str(new)), history, point)
    log = await open_existing(config, history.log)
    try:
        await builder.load()
        old = await _look_at_old(realm) if is_there else "there is none"
        comparison = await builder.compare(log, old)
        answer = await builder.play(log, history.end_offset)
    finally:
        await log.close()
    findings = judge_state(history, answer, builder.names, builder.base).findings
    expected = digest_of_replay(history, history.end.lsn, builder.base)
    return Built(new, builder.state(answer), expected, findings, comparison)


async def _look_at_old(realm: RealmDef) -> StoreAnswer | str:
    """Return all rows of the database in use, or why they cannot be had."""
    reader = open_reader(realm, {}, is_owner=True)
    try:
        return await all_rows(reader, realm)
    except (StoreRefused, StoreUnavailable) as error:
        return f"it cannot be read: {error}"
    finally:
        await reader.close()


class _Builder:
    """The new database while it grows.

    Attributes:
        names: The order in which its collections are read.
        base: What the checker's replay begins with; None: the log has it all.
    """

    def __init__(self, realm: RealmDef, history: RealmHistory, point: StartingPoint | None) -> None:
        self.names = sorted(realm.collections)
        self.base: Base | None = point.base if point else None
        self._realm = realm
        self._history = history
        self._point = point

    def state(self, answer: StoreAnswer) -> State:
        """Return what a database holds, by all of its rows."""
        rows = sum(len(found) for found in answer.rows)
        return State(answer.after.lsn if answer.after else 0, rows, digest_of_rows(self.names, answer))

    async def load(self) -> None:
        """Begin with what is not to come from the log."""
        if self._point is None:
            return
        writer = open_writer(self._realm, {}, is_owner=True)
        try:
            await load_rows(self._realm, writer, self._point.cursor, self._point.rows)
        finally:
            await writer.close()

    async def compare(self, log: Log, old: StoreAnswer | str) -> Comparison:
        """Play to the position of the old database, and compare the two there."""
        if isinstance(old, str):
            return Comparison(old)
        if old.after is None:
            return Comparison("nothing was ever applied to it")
        wrong = judge_position(self._history, old.after)
        if wrong is not None:
            return Comparison(f"{wrong.message}: expected {wrong.expected}, found {wrong.found}")
        if self._point is not None and old.after.offset < self._point.cursor.offset:
            return Comparison(f"it stands at offset {old.after.offset}, before the checkpoint")
        new = await self.play(log, old.after.offset)
        findings = judge_state(self._history, old, self.names, self.base).findings
        return Comparison("", self.state(old), self.state(new), findings)

    async def play(self, log: Log, end: Offset) -> StoreAnswer:
        """Play on to an offset; return all rows."""
        writer = open_writer(self._realm, {}, is_owner=True)
        try:
            with progress(f"realm {self._realm.name}: replaying {log.name}", end) as advance:
                await play_to(
                    self._realm,
                    log,
                    writer,
                    end,
                    reached=lambda cursor: advance(cursor.offset),
                    tell=lambda line: click.echo(line, err=True),
                )
        finally:
            await writer.close()
        reader = open_reader(self._realm, {}, is_owner=True)
        try:
            return await all_rows(reader, self._realm)
        finally:
            await reader.close()
