"""A recorded deployment as files: what the commands that read logs look at."""

import asyncio
from pathlib import Path

from grit.config.load import load_config
from grit.core.ids import Offset, Realm
from grit.core.records import encode_log_record
from grit.log.embedded import EmbeddedLog
from grit.store.open import open_writer
from log_players.replaying import play_to
from tests.unit.checker.recorded import ORDERS, Recorded

CONFIG = """\
log: {kind: embedded, path: log}
realms:
  orders:
    engine: sqlite
    url: orders.db
    collections:
      items: {key: [id], fields: {id: int, name: "string?", count: "int?"}}
  carts:
    engine: document
    url: carts.db
    collections:
      items: {key: [id], fields: {id: int, name: "string?", count: "int?"}}
"""


def deployed(folder: Path, recorded: Recorded, config: str = CONFIG) -> Path:
    """Write configuration and logs; return the configuration."""
    (folder / "grit.yaml").write_text(config)
    asyncio.run(_write(folder, recorded))
    return folder / "grit.yaml"


async def play(config: Path, end: int | None = None, realm: Realm = ORDERS) -> None:
    """Fill the database of a realm as its player does, up to an offset or the end of its log."""
    definition = load_config(config, {}).realms[realm]
    log, writer = await EmbeddedLog.open(config.parent / "log", f"dbtl.{realm}"), open_writer(definition, {})
    until = await log.end() if end is None else Offset(end)
    await play_to(definition, log, writer, until, reached=lambda _: None, tell=lambda _: None)
    await writer.close()
    await log.close()


async def _write(folder: Path, recorded: Recorded) -> None:
    logs: dict[str, list[bytes]] = {"gtl": [encode_log_record(record) for record in recorded.gtl]}
    logs |= {f"dbtl.{realm}": [encode_log_record(one) for one in records] for realm, records in recorded.dbtl.items()}
    for name, payloads in logs.items():
        log = await EmbeddedLog.open(folder / "log", name)
        await asyncio.gather(*(log.append(payload) for payload in payloads))
        await log.close()
