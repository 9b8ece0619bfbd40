"""The log contract on `MemoryLog`."""

from pathlib import Path

from grit.log.memory import MemoryLog
from grit.log.port import Log
from tests.contract.log_contract import LogContract, Opener


class TestMemoryLog(LogContract):
    """Handles on a memory log are the object itself."""

    def opener(self, folder: Path) -> Opener:
        """Return what hands out the one object."""
        log = MemoryLog("gtl")

        async def open_log() -> Log:
            return log

        return open_log
