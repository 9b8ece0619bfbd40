"""The log contract on `EmbeddedLog`."""

from pathlib import Path

from grit.log.embedded import EmbeddedLog
from grit.log.port import Log
from tests.contract.log_contract import LogContract, Opener


class TestEmbeddedLog(LogContract):
    """Handles on an embedded log are connections to one file."""

    def opener(self, folder: Path) -> Opener:
        """Return what opens the file again."""

        async def open_log() -> Log:
            return await EmbeddedLog.open(folder, "gtl")

        return open_log
