"""The work of `grit log cut`: a checkpoint of a log at a place that nobody needs to read below, proved, and then the cut.

    fold of one's own, from the first that is kept --> state at c --> CHECKPOINT{at: c} appended --> read back from the file
      --> equal? --> nobody has come to need more? --> cut

Whatever is broken off leaves a log that everybody can begin at (docs/adr/0014).
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from grit.cli.log_files import open_existing
from grit.cli.log_walk import payloads
from grit.config.model import Config
from grit.core.catalog import RealmDef
from grit.core.errors import ConfigError, LogError
from grit.core.fold import DbtlFold, GtlFold
from grit.core.ids import Offset, Realm
from grit.core.records import decode_dbtl_record, decode_gtl_record, encode_log_record
from grit.core.states import split_state
from grit.core.steps import GTL
from grit.log.port import Log
from grit.runtime.begin import find_begin, find_first
from grit.store.checkpoint import Checkpoint, read_checkpoint
from grit.store.open import open_reader


class Plan(msgspec.Struct, frozen=True):
    """Where a log can be cut.

    Attributes:
        log: Its name.
        start, end: What it keeps now, `end` excluded.
        cut: The offset at which everybody who needs the log goes on; what lies below can go.
        holds_back: Because of what it is not more, for people.
        state: Of the fold just before `cut`.
    """

    log: str
    start: Offset
    end: Offset
    cut: Offset
    holds_back: str
    state: bytes


async def plan_gtl_cut(config: Config) -> Plan:
    """Return where the global log can be cut: at the least `gtl_through` of all realms, by a fold of it to there.

    Raises:
        ConfigError: A realm has no log here, or the global log knows one that the configuration does not.
        LogError: A log cannot be read, or the logs do not belong together.
        LogUnavailable: Transient.
    """
    folds = {realm: await _fold_dbtl(config, realm) for realm in config.realms}
    log = await open_existing(config, GTL)
    try:
        realm, cut = least_through(folds)
        fold = GtlFold(GTL)
        await _fold_to(log, fold, decode_gtl_record, cut)
        expect_whole(config, fold, folds)
        return Plan(GTL, await log.start(), await log.end(), cut, f"realm {realm} has merged it", fold.dump())
    finally:
        await log.close()


async def plan_dbtl_cut(config: Config, realm: RealmDef, checkpoint: Path) -> Plan:
    """Return where the log of a realm can be cut: where a checkpoint of its database begins, by a fold of it to there.

    Without that file a database that is lost could not be built anew.

    Raises:
        ConfigError: The file is no checkpoint of this realm, or the database has not come as far.
        LogError: The log cannot be read, or the file is of another one.
        LogUnavailable: Transient.
    """
    saved, _ = read_checkpoint(checkpoint)
    await _expect_applied(realm, saved, checkpoint)
    name = f"dbtl.{realm.name}"
    log = await open_existing(config, name)
    try:
        start, end = await log.start(), await log.end()
        fold = DbtlFold(name, realm.name)
        if start <= saved.offset <= end:
            await _fold_to(log, fold, decode_dbtl_record, saved.offset)
        if (fold.log_id, fold.tail) != (saved.log_id, saved.lsn):
            raise LogError(
                f"log {name} is not the one that {checkpoint} belongs to, or was cut above it: take a newer checkpoint with "
                f"`grit realm checkpoint {realm.name}`; nothing was cut"
            )
        return Plan(name, start, end, saved.offset, f"{checkpoint} begins there", fold.dump())
    finally:
        await log.close()


async def _expect_applied(realm: RealmDef, saved: Checkpoint, path: Path) -> None:
    """Check that the database goes on in this log at or after a checkpoint of it."""
    if saved.realm != realm.name:
        raise ConfigError(f"{path}: this is a checkpoint of realm {saved.realm}, not of {realm.name}")
    reader = open_reader(realm, {})
    try:
        cursor = (await reader.read(())).after
    finally:
        await reader.close()
    if cursor is None or cursor.log_id != saved.log_id or cursor.offset < saved.offset:
        at = "nowhere" if cursor is None else f"at offset {cursor.offset:,} of log {cursor.log_id}"
        raise ConfigError(
            f"realm {realm.name}: its database is {at}, {path} at {saved.offset:,} of {saved.log_id}: its player still "
            "needs what lies between; nothing was cut"
        )


async def cut_log(config: Config, plan: Plan) -> None:
    """Write the checkpoint of a plan, prove that it can be read, and cut there.

    Raises:
        LogError: What can be read back is not what was written. Nothing was cut.
        LogUnavailable: Transient; a part may be cut, and it may be repeated.
    """
    decode = decode_gtl_record if plan.log == GTL else decode_dbtl_record
    writer, reader = await open_existing(config, plan.log), None
    try:
        found = await find_begin(writer, decode, plan.cut)
        if found is None or found.at != plan.cut:
            for record in split_state(plan.cut, plan.state):
                await writer.append(encode_log_record(record))
        # By a handle that has nothing in its memory: what it reads is in the file.
        reader = await open_existing(config, plan.log)
        found = await find_begin(reader, decode, plan.cut)
        if found is None or (found.at, found.state) != (plan.cut, plan.state):
            raise LogError(
                f"log {plan.log}: its checkpoint of offset {plan.cut} is not what this program has folded: nothing was cut; "
                "run one version of grit everywhere, and `grit check log`"
            )
        await reader.cut(plan.cut)
    finally:
        await writer.close()
        if reader is not None:
            await reader.close()


def least_through(folds: Mapping[Realm, DbtlFold]) -> tuple[Realm, Offset]:
    """Return the realm that has followed the global log least far, and to where."""
    return min(((realm, fold.through.offset) for realm, fold in folds.items()), key=lambda one: (one[1], one[0]))


def expect_whole(config: Config, gtl: GtlFold, folds: Mapping[Realm, DbtlFold]) -> None:
    """Check that the realms of the configuration are all that need this global log.

    Raises:
        ConfigError: The log knows another one: what it needs cannot be asked.
        LogError: A realm is coordinated under another global log.
    """
    strangers = sorted(gtl.fences.keys() - folds.keys())
    if strangers:
        raise ConfigError(
            f"{config.source}: the global log has realm {strangers[0]}, the configuration has not: what that one still needs "
            "cannot be known; nothing was cut"
        )
    for _, fold in sorted(folds.items()):
        if gtl.offset and fold.gtl_log_id and fold.gtl_log_id != gtl.log_id:
            raise LogError(
                f"log {fold.log} is coordinated under GTL {fold.gtl_log_id}, this one is {gtl.log_id}: check log.path; "
                "nothing was cut"
            )


async def _fold_dbtl(config: Config, realm: Realm) -> DbtlFold:
    """Return the fold of the log of a realm at its end; from its newest checkpoint, since only where it stands is asked."""
    name = f"dbtl.{realm}"
    log = await open_existing(config, name)
    try:
        fold = DbtlFold(name, realm)
        begin = await find_begin(log, decode_dbtl_record)
        if begin is not None:
            fold.load(begin.state)
        async for offset, payload in payloads(log, fold.offset, await log.end()):
            fold.apply(offset, decode_dbtl_record(payload, log=name, offset=offset))
        return fold
    finally:
        await log.close()


async def _fold_to(log: Log, fold: GtlFold | DbtlFold, decode: Callable[..., Any], upto: Offset) -> None:
    """Fold a log from the first that it keeps: no checkpoint on the way is believed."""
    begin = await find_first(log, decode)
    if begin is not None:
        fold.load(begin.state)
    async for offset, payload in payloads(log, fold.offset, upto):
        fold.apply(offset, decode(payload, log=log.name, offset=offset))
