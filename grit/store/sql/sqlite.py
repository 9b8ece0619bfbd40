"""SQLite: how its files are opened, and what its errors mean."""

import sqlite3
from functools import partial
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy import event

from grit.core.catalog import RealmDef
from grit.core.errors import ConfigError

BUSY_MS = 5_000
"""How long a statement waits for a lock that another process holds."""
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


def is_transient(error: sa.exc.DBAPIError) -> bool:
    """Tell whether the same may succeed later: locked, full, not there yet."""
    return _code(error) in _TRANSIENT


def is_damaged(error: sa.exc.DBAPIError) -> bool:
    """Tell whether the file is no database, or not whole."""
    return _code(error) in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


def _code(error: sa.exc.DBAPIError) -> int:
    return int(getattr(error.orig, "sqlite_errorcode", sqlite3.SQLITE_ERROR)) & 0xFF


def _engine(connect: "partial[sqlite3.Connection]", connections: int) -> sa.Engine:
    return sa.create_engine(
        "sqlite://", creator=connect, poolclass=sa.pool.QueuePool, pool_size=connections, max_overflow=0
    )
