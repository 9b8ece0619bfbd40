"""`python -m bench.start_role gtm|dbtm|dev CONFIG`: start it, print after how many seconds it serves, and stop.

From when its process has imported what it needs: the interpreter's own start does not grow with the logs. `dev`: all roles
in one process, until the sidecar says that everybody is there.
"""

import asyncio
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from grit.cli.role_names import every_role
from grit.cli.roles import Process
from grit.config.load import load_config
from grit.telemetry.logging import configure_logging

LOOK_S = 0.005


async def start(role: str, path: Path) -> float:
    """Start, wait until it serves, stop; return the seconds until it served."""
    config = load_config(path, {})
    # The links of one process need to know all of its roles; only what is asked for is started.
    process = Process(config, every_role(config.realms))
    began = time.perf_counter()
    await process.compose()
    started = [one for one in process.roles if role == "dev" or one.name.split()[0] == role]
    for one in started:
        await one.start()
    served = asyncio.Event()

    def look() -> None:
        if is_serving(process, started):
            served.set()
        else:
            asyncio.get_running_loop().call_later(LOOK_S, look)

    look()
    await served.wait()
    took = time.perf_counter() - began
    for one in reversed(started):
        await one.close()
    return took


def is_serving(process: Process, started: Sequence[Any]) -> bool:
    """Tell whether all that was started serves."""
    if len(started) == len(process.roles):
        return process.is_serving()
    (role,) = started
    facts = role.describe()
    return str(facts.get("state", facts.get("phase"))).lower() == "serving"


if __name__ == "__main__":
    configure_logging("error")
    print(asyncio.run(start(sys.argv[1], Path(sys.argv[2]))))
