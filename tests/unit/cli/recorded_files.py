"""A recorded deployment as files: what the commands that read logs look at."""

import asyncio
from pathlib import Path

from grit.core.records import encode_log_record
from grit.log.embedded import EmbeddedLog
from tests.unit.checker.recorded import Recorded

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


async def _write(folder: Path, recorded: Recorded) -> None:
    logs: dict[str, list[bytes]] = {"gtl": [encode_log_record(record) for record in recorded.gtl]}
    logs |= {f"dbtl.{realm}": [encode_log_record(one) for one in records] for realm, records in recorded.dbtl.items()}
    for name, payloads in logs.items():
        log = await EmbeddedLog.open(folder / "log", name)
        await asyncio.gather(*(log.append(payload) for payload in payloads))
        await log.close()
