"""Where a check reads from: copies of the logs, and rows with the position that they belong to."""

from collections.abc import Awaitable, Callable, Mapping
from typing import TypeVar

import msgspec

from grit.checker.copies import LogCopy, Placed
from grit.core.catalog import RealmDef
from grit.core.errors import LogError
from grit.core.ids import Offset, Realm
from grit.core.predicate import EVERYTHING
from grit.core.queries import FindRows, StoreAnswer
from grit.core.records import DbtlRecord, GtlRecord, decode_dbtl_record, decode_gtl_record
from grit.log.port import Log
from grit.store.port import StoreReader

Record = TypeVar("Record")


class Sources(msgspec.Struct, frozen=True):
    """A deployment, as a check sees it. Whoever makes it chooses the adapters.

    Attributes:
        realms: The catalogue.
        open_log: From the name of a log (`gtl`, `dbtl.<realm>`) to a handle, which the check closes.
        open_reader: From a realm to its database, which the check closes.
    """

    realms: Mapping[Realm, RealmDef]
    open_log: Callable[[str], Awaitable[Log]]
    open_reader: Callable[[RealmDef], Awaitable[StoreReader]]


async def copy_gtl(sources: Sources) -> LogCopy[GtlRecord]:
    """Return the global log; raises `LogUnavailable` when it cannot be reached."""
    return await _copy(sources, "gtl", decode_gtl_record)


async def copy_dbtl(sources: Sources, realm: Realm) -> LogCopy[DbtlRecord]:
    """Return the log of a realm; raises as `copy_gtl`."""
    return await _copy(sources, f"dbtl.{realm}", decode_dbtl_record)


async def _copy(sources: Sources, name: str, decode: Callable[..., Record]) -> LogCopy[Record]:
    records: list[Placed[Record]] = []
    log, first = None, Offset(0)
    try:
        log = await sources.open_log(name)
        end, first = await log.end(), await log.start()
        while (due := first + len(records)) < end:
            for offset, payload in await log.read(Offset(due)):
                if offset != first + len(records):
                    raise LogError(f"log {name}: after offset {first + len(records) - 1} comes offset {offset}")
                records.append(Placed(offset, decode(payload, log=name, offset=offset), payload))
    except LogError as error:
        return LogCopy(name, tuple(records), str(error), first)
    finally:
        if log is not None:
            await log.close()
    return LogCopy(name, tuple(records), first=first)


async def all_rows(reader: StoreReader, realm: RealmDef) -> StoreAnswer:
    """Return all rows of a realm, in order of its collections, and the one position that they belong to."""
    return await reader.snapshot([FindRows(name, EVERYTHING) for name in sorted(realm.collections)])
