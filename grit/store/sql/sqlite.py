"""SQLite: how its files are opened, and what its errors mean."""

import sqlite3
from contextlib import closing
from functools import partial
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy import event

from grit.core.catalog import RealmDef
from grit.core.errors import ConfigError

BUSY_MS = 5_000
"""How long a statement waits for a lock that another process holds."""
SEAL_MS = 500
"""How long `seal` does: who has the file open has no reason to close it."""
_TRANSIENT = frozenset({
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_INTERRUPT,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_LOCKED,
    sqlite3.SQLITE_NOMEM,
    sqlite3.SQLITE_PROTOCOL,
    sqlite3.SQLITE_READONLY,
})  # fmt: skip


_DAMAGE = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})


def database_path(realm: RealmDef) -> Path:
    """Return the file of an embedded realm; its url is the path, or `sqlite:///` and the path.

    Raises:
        ConfigError: The url names no file.
    """
    path = realm.url.removeprefix("sqlite:///")
    if not path or path == ":memory:" or "://" in path:
        raise ConfigError(
            f"realm {realm.name}: url {realm.url!r} names no file: give the path of one, or engine memory"
        )
    return Path(path).absolute()


def reading_engine(path: Path, *, connections: int) -> sa.Engine:
    """Return an engine whose connections cannot write, nor make a file that is missing."""
    connect = partial(sqlite3.connect, f"{path.as_uri()}?mode=ro", uri=True, timeout=BUSY_MS / 1000)
    return _engine(partial(connect, isolation_level=None, check_same_thread=False), connections)


def writing_engine(
    path: Path, *, busy_ms: int = BUSY_MS, connection: type[sqlite3.Connection] = sqlite3.Connection
) -> sa.Engine:
    """Return an engine with one connection, whose transactions lock out other writers from their beginning on.

    Args:
        path: Its folder exists.
        busy_ms: How long to wait for another writer.
        connection: The class of the connection; tests break commits with it.
    """
    connect = partial(sqlite3.connect, path, timeout=busy_ms / 1000, factory=connection)
    engine = _engine(partial(connect, isolation_level=None, check_same_thread=False), 1)

    @event.listens_for(engine, "connect")
    def make_durable(opened: sqlite3.Connection, _: object) -> None:
        opened.execute("PRAGMA journal_mode=WAL")
        opened.execute("PRAGMA synchronous=FULL")

    @event.listens_for(engine, "begin")
    def lock(opened: sa.Connection) -> None:
        opened.exec_driver_sql("BEGIN IMMEDIATE")

    return engine


def seal(path: Path) -> bool:
    """Bring what lies beside a database (`-wal`) into its file, so that the file is the whole of it.

    Its connections turn the write-ahead log on again. To turn it off needs the file for itself: another program that has it open,
    though it does nothing, is noticed.

    Args:
        path: It exists.

    Returns:
        False: it is damaged or no database, and is left as it is.

    Raises:
        sqlite3.Error: Another program has it open, the disk is full.
    """
    try:
        _look(path)
        with closing(sqlite3.connect(path, timeout=SEAL_MS / 1000, isolation_level=None)) as connection:
            (mode,) = connection.execute("PRAGMA journal_mode=DELETE").fetchone()
    except sqlite3.DatabaseError as error:
        if primary_code(error) in _DAMAGE:
            return False
        raise
    if mode != "delete":
        raise sqlite3.OperationalError("its write-ahead log is in use")
    return True


def _look(path: Path) -> None:
    """Open a database so that nothing of it is changed: to open a damaged one for writing removes what lies beside it."""
    with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True, timeout=SEAL_MS / 1000)) as connection:
        connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()


def primary_code(error: BaseException | None) -> int:
    """Return SQLite's primary result code; errors without one count as SQLITE_ERROR."""
    return int(getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR)) & 0xFF


def is_transient(error: sa.exc.DBAPIError) -> bool:
    """Tell whether the same may succeed later: locked, full, not there yet."""
    return primary_code(error.orig) in _TRANSIENT


def is_damaged(error: sa.exc.DBAPIError) -> bool:
    """Tell whether the file is no database, or not whole."""
    return primary_code(error.orig) in _DAMAGE


def _engine(connect: "partial[sqlite3.Connection]", connections: int) -> sa.Engine:
    return sa.create_engine(
        "sqlite://", creator=connect, poolclass=sa.pool.QueuePool, pool_size=connections, max_overflow=0
    )
