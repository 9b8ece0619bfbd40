"""What a database is built from: the log of its realm, and what is older than that from a checkpoint of the database."""

from collections.abc import Sequence
from pathlib import Path

import msgspec

from grit.checker.dbtl import RealmHistory, read_dbtl
from grit.checker.replay import Base, Images, found_before
from grit.checker.sources import copy_dbtl
from grit.cli.check import sources_of
from grit.config.model import Config
from grit.core.catalog import RealmDef
from grit.core.errors import ConfigError, LogError
from grit.core.queries import Cursor, RowWrite
from grit.core.values import decode_record
from grit.store.checkpoint import Checkpoint, read_checkpoint


class StartingPoint(msgspec.Struct, frozen=True):
    """What a new database begins with.

    Attributes:
        cursor: Where the player goes on.
        rows: All records there.
        base: The same for the checker, where the log cannot tell them; None: it holds the checkpoint to the log.
    """

    cursor: Cursor
    rows: Sequence[RowWrite]
    base: Base | None


async def read_history(config: Config, realm: RealmDef) -> RealmHistory:
    """Return the log of a realm as the checker reads it.

    Raises:
        ConfigError: There is none, or nothing in it.
        LogError: It is damaged.
        LogUnavailable: It cannot be read now.
    """
    copy = await copy_dbtl(sources_of(config), realm.name)
    if copy.damage:
        raise LogError(copy.damage)
    if not copy.records:
        raise ConfigError(
            f"log {copy.name} is empty: there is nothing to build the database of realm {realm.name} from"
        )
    return read_dbtl(copy, realm.name)


def starting_point(history: RealmHistory, path: Path | None) -> StartingPoint | None:
    """Return what a new database begins with; None: the beginning of its log.

    Raises:
        ConfigError: A checkpoint is needed, or the one that was given is of no use for this log; says which is.
    """
    older = len(found_before(history))
    if path is None:
        _expect_no_need(history, older)
        return None
    header, stored = read_checkpoint(path)
    _expect_fitting(header, history, path)
    rows = [RowWrite(row.collection, row.key, decode_record(row.record)) for row in stored]
    images: Images = {(row.collection, row.key): row.record for row in stored}
    needs_base = history.begin > 0 or older
    return StartingPoint(header.cursor, rows, Base(header.lsn, images) if needs_base else None)


def _expect_no_need(history: RealmHistory, older: int) -> None:
    if history.begin > 0:
        raise ConfigError(
            f"log {history.log} was cut: it begins at offset {history.begin}; give --from a checkpoint of the database of that "
            "offset or above, such as `grit realm checkpoint` writes"
        )
    if older:
        raise ConfigError(
            f"realm {history.realm}: {older} records were in its database before its log began: the log alone cannot "
            "rebuild it; give --from a checkpoint, or restore a copy of the database, which its player brings up to date"
        )


def _expect_fitting(header: Checkpoint, history: RealmHistory, path: Path) -> None:
    if header.realm != history.realm:
        raise ConfigError(f"{path}: it is of realm {header.realm}, not of {history.realm}")
    if header.log_id != history.log_id:
        raise ConfigError(f"{path}: it was made under log {header.log_id}, {history.log} is log {history.log_id}")
    if header.offset > history.end_offset:
        raise ConfigError(
            f"{path}: it stands at offset {header.offset}, log {history.log} ends at {history.end_offset}: the log lost records; "
            "bring back its newest copy, or take an older checkpoint"
        )
    if header.offset < history.begin:
        raise ConfigError(
            f"{path}: it stands at offset {header.offset}, log {history.log} was cut and begins at {history.begin}: "
            "take a newer checkpoint"
        )
    mark = history.mark_at(header.offset)
    assert mark is not None, "it lies between the beginning and the end"
    if (mark.epoch, mark.lsn) != (header.epoch, header.lsn):
        raise ConfigError(
            f"{path}: it stands at offset {header.offset} with epoch {header.epoch}, Lsn {header.lsn}; there log {history.log} has "
            f"epoch {mark.epoch}, Lsn {mark.lsn}: the log lost records and went on"
        )
