"""The file of an embedded log: one SQLite connection, used by one thread, blocking.

The file holds one table, `records(offset, payload, checksum)`. A record becomes visible to any connection
only after its commit has been synced (write-ahead log, `synchronous=FULL`: SQLite syncs first and publishes
then), which is what makes "visible" mean "durable".

The last row is special. Its checksum cannot tell a torn write from later damage, so a damaged last row
counts as never written: readers do not see it, the next appender deletes it and uses its offset again.
That would take back what somebody has already read; therefore a connection remembers how far it has seen
the log whole, and refuses to see it become shorter. Damage anywhere else stops the reader. See protocol.md
section 2.
"""

import os
import sqlite3
import time
import zlib
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

from grit.core.errors import ConfigError, LogError
from grit.core.ids import Offset
from grit.log.port import AppendUnknown, LogUnavailable

APPLICATION_ID = 0x47524954  # "GRIT": how SQLite files tell whose they are
FORMAT = 1

_CREATE = """CREATE TABLE records (
    offset INTEGER PRIMARY KEY,
    payload BLOB NOT NULL,
    checksum INTEGER NOT NULL
) STRICT"""
_FROM_START = "SELECT offset, payload, checksum FROM records WHERE offset >= ? ORDER BY offset"
_NEWEST_TWO = "SELECT offset, payload, checksum FROM records ORDER BY offset DESC LIMIT 2"
_NEWEST_OFFSET = "SELECT max(offset) FROM records"
_INSERT = "INSERT INTO records (offset, payload, checksum) VALUES (?, ?, ?)"

_REFUSED = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_FULL, sqlite3.SQLITE_READONLY})
"""Answers of SQLite to a COMMIT after which the transaction has certainly not happened."""
_BROKEN = frozenset({sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT})

Row = tuple[int, bytes, int]


def checksum_of(offset: int, payload: bytes) -> int:
    """Return the CRC-32 of the offset (8 bytes, big-endian) and the payload: a row moved is a row damaged."""
    return zlib.crc32(payload, zlib.crc32(offset.to_bytes(8, "big")))


class LogFile:
    """One connection to the file of a log; every method blocks, all are called from one thread."""

    def __init__(
        self,
        path: Path,
        name: str,
        *,
        busy_ms: int,
        page_count_max: int | None,
        connection: type[sqlite3.Connection],
    ) -> None:
        self._path = path
        self._name = name
        self._busy_ms = busy_ms
        self._page_count_max = page_count_max
        self._connection_type = connection
        self._open: sqlite3.Connection | None = None
        self._seen = 0  # the log was whole up to here when we last looked

    def append(self, payloads: Sequence[bytes]) -> Offset:
        """Append all payloads or none in one transaction; return the offset of the first.

        A torn last row is cut before. With no payloads that is all that happens.

        Raises:
            LogUnavailable: Definitely not appended.
            AppendUnknown: The commit broke; it may have been.
            LogError: The log is not what it was.
        """
        with self._translated():
            connection = self._connection()
            connection.execute("BEGIN IMMEDIATE")
            first = self._cut_torn(connection)
            rows = [(offset, payload, checksum_of(offset, payload)) for offset, payload in enumerate(payloads, first)]
            connection.executemany(_INSERT, rows)
            self._commit(connection)
            self._seen = first + len(rows)
            return Offset(first)

    def prepare(self) -> None:
        """Make folder and file where missing, and cut a torn last row.

        Raises:
            ConfigError: The folder or the file cannot be written.
            LogUnavailable: Locked, or full.
            LogError: Not a log of ours, or damaged at its end.
        """
        folder = self._path.parent
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self.append(())
        except OSError as error:
            raise ConfigError(_unwritable(folder, str(error.strerror))) from error
        except LogUnavailable as error:
            if isinstance(error.__cause__, sqlite3.Error) and _primary(error.__cause__) == sqlite3.SQLITE_READONLY:
                raise ConfigError(_unwritable(folder, str(error.__cause__))) from error
            raise

    def read(self, start: Offset, *, bytes_max: int) -> list[tuple[Offset, bytes]]:
        """Return whole rows from `start` on, in order, at most `bytes_max` but at least one if there is one.

        Raises:
            LogUnavailable: Transient.
            LogError: A damaged or missing row, or `start` lies outside of the log.
        """
        if start < 0:
            raise LogError(f"{self._place(start)} lies before the beginning; offsets begin at 0")
        found: list[tuple[Offset, bytes]] = []
        size = 0
        with self._translated(), closing(self._connection().execute(_FROM_START, (start,))) as rows:
            for offset, payload in self._whole_rows(rows, start):
                size += len(payload)
                if found and size > bytes_max:
                    break
                found.append((Offset(offset), payload))
            if not found and start > (end := self._whole_end()):
                raise self._shorter(start, end)
            self._seen = max(self._seen, start + len(found))
        return found

    def end(self) -> Offset:
        """Return the offset after the last whole row.

        Raises:
            LogUnavailable: Transient.
            LogError: The log has become shorter than this connection has seen it.
        """
        with self._translated():
            self._seen = self._whole_end()
            return Offset(self._seen)

    def close(self) -> None:
        """Close the connection; a later call opens another one."""
        if self._open is not None:
            self._open.close()
            self._open = None

    # -- rows ---------------------------------------------------------------------------------------------

    def _whole_rows(self, rows: Iterator[Row], start: int) -> Iterator[tuple[int, bytes]]:
        """Yield rows from `start` while they are dense and whole; stop before a torn last row."""
        expected = start
        for offset, payload, checksum in rows:
            if offset != expected:
                raise self._damaged(expected, "the record is missing")
            if checksum != checksum_of(offset, payload):
                if offset >= self._seen and next(rows, None) is None:
                    return
                raise self._damaged(offset, "the checksum does not match")
            yield offset, payload
            expected += 1

    def _whole_end(self) -> int:
        """Return the offset after the last row, a torn one not counted; never less than what was seen."""
        rows: list[Row] = self._connection().execute(_NEWEST_TWO).fetchall()
        damaged = [offset for offset, payload, checksum in rows if checksum != checksum_of(offset, payload)]
        newest = rows[0][0] if rows else -1
        end = newest if newest in damaged else newest + 1
        if newest + 1 < self._seen:
            raise self._shorter(self._seen, end)
        if damaged and (damaged[-1] != newest or newest < self._seen):
            raise self._damaged(damaged[-1], "the checksum does not match")
        return end

    def _cut_torn(self, connection: sqlite3.Connection) -> int:
        """Delete a torn last row, within a transaction; return the next offset."""
        (newest,) = connection.execute(_NEWEST_OFFSET).fetchone()
        if newest is not None and newest + 1 == self._seen:  # seen whole: do not read a megabyte for every append
            return self._seen
        end = self._whole_end()
        connection.execute("DELETE FROM records WHERE offset >= ?", (end,))
        return end

    # -- connection ---------------------------------------------------------------------------------------

    def _connection(self) -> sqlite3.Connection:
        if self._open is None:
            self._open = self._connect()
        return self._open

    def _connect(self) -> sqlite3.Connection:
        """Open the file, and make it where it is missing or empty."""
        connection = sqlite3.connect(
            self._path, isolation_level=None, timeout=self._busy_ms / 1000, factory=self._connection_type
        )
        try:
            connection.execute("PRAGMA synchronous = FULL")
            if self._is_empty(connection):
                self._create(connection)
            self._sync_recovered()
            if self._page_count_max is not None:
                connection.execute(f"PRAGMA max_page_count = {self._page_count_max:d}")
        except BaseException:
            connection.close()
            raise
        return connection

    def _is_empty(self, connection: sqlite3.Connection) -> bool:
        """Tell whether nobody has made tables yet; refuse a file that is not ours before changing anything."""
        application_id: int = connection.execute("PRAGMA application_id").fetchone()[0]
        tables: int = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]
        if application_id == 0 and tables == 0:
            return True
        if application_id != APPLICATION_ID:
            raise self._foreign("it belongs to another program")
        known: int = connection.execute("PRAGMA user_version").fetchone()[0]
        if known != FORMAT:
            raise LogError(
                f"log {self._name}: {self._path} has format {known}, this version of GRIT knows format {FORMAT}; "
                "use the version of GRIT that wrote it, or a newer one"
            )
        return False

    def _create(self, connection: sqlite3.Connection) -> None:
        """Make the table, unless another process was faster."""
        self._switch_to_wal(connection)
        connection.execute("BEGIN IMMEDIATE")
        if self._is_empty(connection):
            connection.execute(_CREATE)
            connection.execute(f"PRAGMA application_id = {APPLICATION_ID:d}")
            connection.execute(f"PRAGMA user_version = {FORMAT:d}")
        connection.execute("COMMIT")

    def _switch_to_wal(self, connection: sqlite3.Connection) -> None:
        """Switch the journal over; SQLite does not wait by itself while another process does the same."""
        deadline = time.monotonic() + self._busy_ms / 1000
        while True:
            try:
                connection.execute("PRAGMA journal_mode = WAL")
                return
            except sqlite3.OperationalError as error:
                if _primary(error) != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                    raise
                time.sleep(0.005)

    def _sync_recovered(self) -> None:
        """Make durable what the opening has recovered.

        A writer that was killed between its write and its sync leaves a transaction that the next opening
        may find complete. It must not be shown before a power cut can no longer take it back. (Only the
        -wal file is opened here: to close the main file would drop this process's locks on it.)
        """
        try:
            file = os.open(f"{self._path}-wal", os.O_RDWR)
        except FileNotFoundError:
            return
        try:
            os.fsync(file)
        finally:
            os.close(file)

    def _commit(self, connection: sqlite3.Connection) -> None:
        try:
            connection.execute("COMMIT")
        except sqlite3.Error as error:
            if _primary(error) in _REFUSED:
                raise
            raise AppendUnknown(f"log {self._name}: {self._path}: {error} while committing") from error

    # -- errors -------------------------------------------------------------------------------------------

    @contextmanager
    def _translated(self) -> Iterator[None]:
        """Say in our words what SQLite reports. Any error drops the connection, and with it its transaction."""
        try:
            yield
        except BaseException as error:
            self.close()
            if isinstance(error, sqlite3.Error):
                raise self._translate(error) from error
            if isinstance(error, OSError):
                raise LogUnavailable(f"log {self._name}: {self._path}: {error.strerror}") from error
            raise

    def _translate(self, error: sqlite3.Error) -> Exception:
        code = _primary(error)
        if code == sqlite3.SQLITE_NOTADB:
            return self._foreign("it is not an SQLite file")
        if code == sqlite3.SQLITE_CORRUPT:
            return self._damaged(self._seen, f"{error} there or later")
        if code == sqlite3.SQLITE_CANTOPEN:
            return ConfigError(_unwritable(self._path.parent, str(error)))
        return LogUnavailable(f"log {self._name}: {self._path}: {error}")

    def _place(self, offset: int) -> str:
        return f"log {self._name} ({self._path}): offset {offset}"

    def _damaged(self, offset: int, how: str) -> LogError:
        return LogError(f"{self._place(offset)} is damaged: {how}; restore the file from a backup, nothing is skipped")

    def _shorter(self, offset: int, end: int) -> LogError:
        return LogError(
            f"log {self._name} ({self._path}) is shorter than offset {offset}: it ends at {end}; "
            "it was replaced or restored from an old backup: bring back the newer file, or rebuild what was made from it"
        )

    def _foreign(self, why: str) -> LogError:
        return LogError(f"log {self._name}: {self._path} is not a log of GRIT: {why}; move it away or set log.path")


def _unwritable(folder: Path, why: str) -> str:
    """Return the line for a folder in which no log can be made."""
    return f"{folder}: cannot keep logs here: {why}; let this user write to the folder, or set log.path to another one"


def _primary(error: sqlite3.Error) -> int:
    """Return SQLite's primary result code, 0 for errors that Python raised by itself."""
    code: int = getattr(error, "sqlite_errorcode", 0)
    return code & 0xFF
