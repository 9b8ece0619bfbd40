"""Connections to the SQLite file of an embedded log: opening it, making it, and whose file it is.

A record becomes visible to any connection only after its commit has been synced (write-ahead log,
`synchronous=FULL`: SQLite syncs first and publishes then), which is what makes "visible" mean "durable".
"""

import os
import sqlite3
import time
from pathlib import Path

from grit.core.errors import LogError

APPLICATION_ID = 0x47524954  # "GRIT": how SQLite files tell whose they are
FORMAT = 1

_CREATE = """CREATE TABLE records (
    offset INTEGER PRIMARY KEY,
    payload BLOB NOT NULL,
    checksum INTEGER NOT NULL
) STRICT"""


def connect(
    path: Path, name: str, *, busy_ms: int, page_count_max: int | None, connection_type: type[sqlite3.Connection]
) -> sqlite3.Connection:
    """Open the file of log `name`, and make it where it is missing or empty.

    Raises:
        LogError: The file belongs to somebody else, or has a format of a later version. It is left as it is.
        sqlite3.Error: Anything else, to be translated by the caller.
        OSError: What was recovered could not be synced.
    """
    connection = sqlite3.connect(path, isolation_level=None, timeout=busy_ms / 1000, factory=connection_type)
    try:
        connection.execute("PRAGMA synchronous = FULL")
        # Else, where SQLite is built so, a cut would write zeros over all that it deletes, while appends wait.
        connection.execute("PRAGMA secure_delete = OFF")
        if _is_empty(connection, path, name):
            _create(connection, path, name, busy_ms)
        _sync_recovered(path)
        if page_count_max is not None:
            connection.execute(f"PRAGMA max_page_count = {page_count_max:d}")
    except BaseException:
        connection.close()
        raise
    return connection


def execute_patiently(connection: sqlite3.Connection, statement: str, *, busy_ms: int) -> None:
    """Execute a statement that needs a lock, looking every millisecond whether it is free.

    Left to itself SQLite waits up to 100 ms between two looks, so that a busy neighbour would starve us,
    and does not wait at all for a change of the journal.

    Raises:
        sqlite3.OperationalError: Still locked after `busy_ms`, or another error.
    """
    deadline = time.monotonic() + busy_ms / 1000
    connection.execute("PRAGMA busy_timeout = 0")
    while True:
        try:
            connection.execute(statement)
            break
        except sqlite3.OperationalError as error:
            if primary_code(error) != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
            time.sleep(0.001)
    connection.execute(f"PRAGMA busy_timeout = {busy_ms:d}")


def primary_code(error: sqlite3.Error) -> int:
    """Return SQLite's primary result code, 0 for errors that Python raised by itself."""
    code: int = getattr(error, "sqlite_errorcode", 0)
    return code & 0xFF


def foreign_file(path: Path, name: str, why: str) -> LogError:
    """Return the error for a file that is no log."""
    return LogError(f"log {name}: {path} is not a log of GRIT: {why}; move it away or set log.path")


def _is_empty(connection: sqlite3.Connection, path: Path, name: str) -> bool:
    """Tell whether nobody has made tables yet; refuse a file that is not ours before anything is changed."""
    # Tables first: a process that makes the log between two looks has set the id once the tables are there.
    tables: int = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]
    application_id: int = connection.execute("PRAGMA application_id").fetchone()[0]
    if application_id == 0 and tables == 0:
        return True
    if application_id != APPLICATION_ID:
        raise foreign_file(path, name, "it belongs to another program")
    known: int = connection.execute("PRAGMA user_version").fetchone()[0]
    if known != FORMAT:
        raise LogError(
            f"log {name}: {path} has format {known}, this version of GRIT knows format {FORMAT}; "
            "use the version of GRIT that wrote it, or a newer one"
        )
    return False


def _create(connection: sqlite3.Connection, path: Path, name: str, busy_ms: int) -> None:
    """Make the table, unless another process was faster."""
    execute_patiently(connection, "PRAGMA journal_mode = WAL", busy_ms=busy_ms)
    execute_patiently(connection, "BEGIN IMMEDIATE", busy_ms=busy_ms)
    if _is_empty(connection, path, name):
        connection.execute(_CREATE)
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID:d}")
        connection.execute(f"PRAGMA user_version = {FORMAT:d}")
    connection.execute("COMMIT")


def _sync_recovered(path: Path) -> None:
    """Make durable what the opening has recovered.

    A writer that was killed between its write and its sync leaves a transaction that the next opening may
    find complete. It must not be shown before a power cut can no longer take it back. (Only the -wal file
    is opened here: to close the main file would drop this process's locks on it.)
    """
    try:
        file = os.open(f"{path}-wal", os.O_RDWR)
    except FileNotFoundError:
        return
    try:
        os.fsync(file)
    finally:
        os.close(file)
