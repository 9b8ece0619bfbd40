"""A process that appends to an embedded log: `appender.py FOLDER WRITER COUNT`.

Appends `<writer>.<number>` eight at a time and prints one line `<offset> <payload>` for each that was acknowledged.
"""

import asyncio
import sys
from pathlib import Path

from grit.log.embedded import EmbeddedLog

AT_ONCE = 8


async def append_all(folder: Path, writer: str, count: int) -> None:
    """Append `count` payloads, in order."""
    log = await EmbeddedLog.open(folder, "gtl")
    for first in range(0, count, AT_ONCE):
        payloads = [f"{writer}.{number}" for number in range(first, min(first + AT_ONCE, count))]
        offsets = await asyncio.gather(*(log.append(payload.encode()) for payload in payloads))
        for offset, payload in zip(offsets, payloads, strict=True):
            print(offset, payload, flush=True)
    await log.close()


if __name__ == "__main__":
    asyncio.run(append_all(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])))
