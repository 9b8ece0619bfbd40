"""Who uses the file of an embedded database: everybody who opens it shares a hold, and who swaps it owns it alone.

    players, DBTMs, checks --shared--> orders.db.lock <--owned, if nobody shares-- grit realm rebuild

A lock of the operating system (flock) on a file beside the database: it ends with its process, however that ends. Not
on the database itself: to close any handle on that would drop the locks that SQLite has there.
"""

import errno
import fcntl
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from grit.core.errors import ConfigError
from grit.core.ids import Realm
from grit.store.port import StoreUnavailable

_CONFLICTS = frozenset({errno.EAGAIN, errno.EACCES, errno.EWOULDBLOCK})


class Hold:
    """A shared hold: while it lasts, the file is not swapped. May be used from several threads."""

    def __init__(self, realm: Realm, database: Path) -> None:
        self._realm = realm
        self._lock_path = _lock_path(database)
        self._lock = threading.Lock()
        self._file: int | None = None

    def take(self) -> None:
        """Begin to hold, unless it is held already.

        Raises:
            StoreUnavailable: Somebody owns the file now, or the folder is not there yet.
        """
        with self._lock:
            if self._file is not None:
                return
            try:
                self._file = _locked(self._lock_path, fcntl.LOCK_SH)
            except OSError as error:
                raise StoreUnavailable(f"realm {self._realm}: the database cannot be used: {_reason(error)}") from error

    def release(self) -> None:
        """Stop to hold; it may be taken again."""
        with self._lock:
            if self._file is not None:
                os.close(self._file)
                self._file = None


@contextmanager
def owned(realm: Realm, database: Path) -> Iterator[None]:
    """Own the file of a database: nobody else uses it meanwhile, and who wants to is told that it is being rebuilt.

    Its folder is made where missing.

    Raises:
        ConfigError: Somebody uses it, or its folder cannot be written.
    """
    try:
        database.parent.mkdir(parents=True, exist_ok=True)
        file = _locked(_lock_path(database), fcntl.LOCK_EX)
    except OSError as error:
        if error.errno in _CONFLICTS and not error.filename:
            raise ConfigError(
                f"realm {realm}: {database} is in use by a player, a DBTM or a check of this realm: "
                "stop the player and every DBTM of the realm first"
            ) from error
        raise ConfigError(f"realm {realm}: {database.parent}: {error.strerror}") from error
    try:
        yield
    finally:
        os.close(file)


def _lock_path(database: Path) -> Path:
    return database.with_name(f"{database.name}.lock")


def _locked(path: Path, kind: int) -> int:
    """Return a handle that has the lock until it is closed; the file stays for ever, or two could lock two files."""
    file = os.open(path, os.O_RDONLY | os.O_CREAT, 0o666)
    try:
        fcntl.flock(file, kind | fcntl.LOCK_NB)
    except BaseException:
        os.close(file)
        raise
    return file


def _reason(error: OSError) -> str:
    if error.errno in _CONFLICTS and not error.filename:
        return "it is being rebuilt"
    return f"{error.filename}: {error.strerror}: has its player been started?"
