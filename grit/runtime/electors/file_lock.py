"""An elector for the processes of one machine: a seat is a lock on a file, which its holder's death gives up.

The file says who holds it, or held it last. The operating system lets the lock go with the process, whatever ended it; of a
process that is only stopped (SIGSTOP) it keeps it, so then the silence in the log decides, as without an elector.
"""

import asyncio
import fcntl
import os
from pathlib import Path

import structlog

from grit.core.errors import ConfigError
from grit.runtime.electors.port import Candidacy, SeatCallbacks
from grit.runtime.fatal import spawn

TRY_S = 0.05
"""So often a candidate tries the lock: a microsecond of CPU each."""
STEP_BACK_S = 1.0
"""Who has stepped back tries again after so long: meanwhile every other candidate has."""
_NAME_BYTES_MAX = 4096


class FileElector:
    """Seats are files in one folder, `<seat>.lock`.

    Args:
        folder: Made where missing.

    Raises:
        ConfigError: The folder cannot be made or written.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigError(f"elector: the folder {folder} cannot be made: {error.strerror}") from error
        if not os.access(folder, os.W_OK | os.X_OK):
            raise ConfigError(f"elector: the folder {folder} cannot be written: give this user the right to")

    def stand(self, seat: str, candidate: str, callbacks: SeatCallbacks) -> Candidacy:
        """Stand for a seat; see `Elector`."""
        return _FileCandidacy(self._folder / f"{seat}.lock", candidate, callbacks)


class _FileCandidacy:
    """Tries the lock until it has it, and again after stepping back."""

    def __init__(self, path: Path, candidate: str, callbacks: SeatCallbacks) -> None:
        self._path = path
        self._candidate = candidate
        self._callbacks = callbacks
        self._held: int | None = None
        self._is_failing = self._is_closed = False
        self._trying = spawn(self._try_until_won(), name=f"stand for {path.name}")

    def step_back(self) -> None:
        if self._is_closed:
            return
        self._give_up()
        self._trying.cancel()
        self._trying = spawn(self._try_until_won(STEP_BACK_S), name=f"stand for {self._path.name}")

    async def close(self) -> None:
        self._is_closed = True
        self._trying.cancel()
        await asyncio.gather(self._trying, return_exceptions=True)
        self._give_up()

    async def _try_until_won(self, pause_s: float = 0.0) -> None:
        await asyncio.sleep(pause_s)
        while True:
            former = self._try()
            if former is not None:
                self._callbacks.on_won(former)
                return
            await asyncio.sleep(TRY_S)

    def _try(self) -> str | None:
        """Return who held the seat before, if it is held now."""
        try:
            self._held = _lock(self._path)
            if self._held is None:
                return None
            return _sign(self._held, self._candidate)
        except OSError as error:
            self._give_up()
            self._tell(error)
            return None

    def _tell(self, error: OSError) -> None:
        """Say it once: the deployment goes on without an elector."""
        if not self._is_failing:
            self._is_failing = True
            log = structlog.get_logger("grit.elector")
            log.warning("elector cannot be asked", seat=str(self._path), reason=error.strerror)

    def _give_up(self) -> None:
        held, self._held = self._held, None
        if held is not None:
            os.close(held)


def _lock(path: Path) -> int | None:
    """Return the descriptor of the locked file; None: somebody else has it.

    Raises:
        OSError: It cannot be opened or locked.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        if isinstance(error, BlockingIOError):
            return None
        raise
    return descriptor


def _sign(descriptor: int, candidate: str) -> str:
    """Put the candidate's name into a locked file; return the name that was there."""
    former = os.pread(descriptor, _NAME_BYTES_MAX, 0).decode("utf-8", "replace").strip()
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, f"{candidate}\n".encode(), 0)
    return former
