"""`grit txn show`: what became of a transaction, by the logs alone."""

from collections.abc import Iterator
from contextlib import aclosing
from pathlib import Path

import click
import msgspec

from grit.cli.config_option import config_option, read_config
from grit.cli.log_files import GTL, log_names, run_looking
from grit.cli.log_walk import walk
from grit.cli.record_facts import EntryFacts, RecordFacts
from grit.cli.record_text import image_line, part_lines, time_text, trace_id
from grit.config.model import Config
from grit.core.catalog import RealmDef
from grit.core.errors import ConfigError, StoreRefused
from grit.core.ids import Lsn, Offset, Realm, TxnId, began_at, is_txn_id
from grit.store.open import MEMORY, open_reader
from grit.store.port import StoreUnavailable

GOOD, FINDING = 0, 1


class Trail(msgspec.Struct, omit_defaults=True):
    """Where a transaction stands in the logs.

    Attributes:
        decided: Its entry in the global log that counts; `voided`: those that do not, in order.
        entries: Realm -> its entry in that realm's log, with its Lsn.
        refusals: (log, offset) of the records that refused it.
        applied: Realm -> the Lsn up to which the database has applied; the reason where that is not known.
    """

    txid: TxnId
    outcome: str = ""
    decided: EntryFacts | None = None
    voided: list[EntryFacts] = []
    entries: dict[Realm, EntryFacts] = {}
    refusals: list[tuple[str, Offset]] = []
    applied: dict[Realm, Lsn | str] = {}


@click.command("show")
@click.argument("txid")
@config_option
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def txn_show(txid: str, config_path: Path, *, as_json: bool) -> int:
    """Say what became of TXID: outcome, Csn and Lsn, reads and writes, after images, trace, where it is applied.

    Read from the logs, which decide it. Exit status: 0 committed, 1 refused, voided, or not in the logs.
    """
    if not is_txn_id(txid):
        raise ConfigError(f"{txid[:80]!r} is not a transaction id: t-, 11 hexadecimal digits, -, 16 of them")
    config = read_config(config_path)
    trail = run_looking(_follow(config, TxnId(txid)))
    click.echo(msgspec.json.encode(trail).decode() if as_json else "\n".join(_lines(trail, config)))
    return GOOD if trail.outcome == "COMMITTED" else FINDING


async def _follow(config: Config, txid: TxnId) -> Trail:
    trail = Trail(txid)
    for name in log_names(config):
        async with aclosing(walk(config, name)) as records:
            async for record in records:
                _take(trail, record)
    trail.outcome = _outcome(trail)
    for realm in trail.entries:
        trail.applied[realm] = await _applied(config.realms[realm])
    return trail


def _take(trail: Trail, record: RecordFacts) -> None:
    if trail.txid in record.refused:
        trail.refusals.append((record.log, record.offset))
    for entry in record.entries:
        if entry.txid != trail.txid:
            continue
        if entry.void:
            trail.voided.append(entry)
        elif record.log == GTL:
            trail.decided = entry
        else:
            trail.entries[entry.parts[0].realm] = entry


def _outcome(trail: Trail) -> str:
    if trail.decided is not None or trail.entries:
        return "COMMITTED"
    if trail.refusals:
        return "REFUSED"
    return "VOIDED" if trail.voided else "UNKNOWN"


async def _applied(realm: RealmDef) -> Lsn | str:
    """Return how far the database of a realm is, or why that is not known: it is the smallest part of the answer."""
    if realm.engine == MEMORY:
        return "its database is in the memory of a process"
    reader = open_reader(realm, {})
    try:
        cursor = (await reader.read(())).after
    except (StoreUnavailable, StoreRefused) as error:
        return str(error)
    finally:
        await reader.close()
    return Lsn(0) if cursor is None else cursor.lsn


def _lines(trail: Trail, config: Config) -> Iterator[str]:
    yield f"{trail.txid}  {_sentence(trail)}"
    yield f"began {time_text(began_at(trail.txid))}"
    known = trail.decided or next(iter([*trail.entries.values(), *trail.voided]), None)
    if known is None:
        return
    if known.origin:
        yield f"by {known.origin}"
    if known.key:
        yield f"idempotency key {known.key!r}"
    if known.trace:
        yield f"trace {trace_id(known.trace)}"
    entries = [known] if trail.decided or not trail.entries else list(trail.entries.values())
    for part in (part for entry in entries for part in entry.parts):
        lines = part_lines(part)
        yield next(lines) + (f"; {_standing(trail, part.realm)}" if trail.outcome == "COMMITTED" else "")
        yield from lines
        if part.realm in trail.entries:
            yield from (f"  after: {image_line(image)}" for image in trail.entries[part.realm].images)


def _sentence(trail: Trail) -> str:
    if trail.outcome == "COMMITTED":
        return f"COMMITTED at Csn {trail.decided.csn:,}" if trail.decided else "COMMITTED, in one realm"
    if trail.outcome == "REFUSED":
        return "REFUSED: no effect, by " + ", ".join(f"{log} offset {offset}" for log, offset in trail.refusals)
    if trail.outcome == "VOIDED":
        return f"VOIDED: no effect: {trail.voided[-1].void}"
    return "unknown: not in the logs: it never asked to commit, was turned down before, or is of another deployment"


def _standing(trail: Trail, realm: Realm) -> str:
    entry = trail.entries.get(realm)
    if entry is None:
        return "not in its log yet"
    applied = trail.applied[realm]
    if isinstance(applied, str):
        return f"Lsn {entry.lsn:,}; whether it is applied is not known: {applied}"
    state = "applied" if applied >= entry.lsn else "not applied yet"
    return f"Lsn {entry.lsn:,}, {state}: the database is at {applied:,}"
