"""The file of an embedded log: one SQLite connection, used by one thread, blocking.

It holds one table, `records(offset, payload, checksum)`.

The last row is special. Its checksum cannot tell a torn write from later damage, so a damaged last row
counts as never written: readers do not see it, the next appender deletes it and uses its offset again.
That would take back what somebody has already read; therefore a connection remembers how far it has seen
the log whole, and refuses to see it become shorter. Damage anywhere else stops the reader. See protocol.md
section 2.
"""

import sqlite3
import zlib
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

from grit.core.errors import ConfigError, LogError
from grit.core.ids import Offset
from grit.log.connection import connect, execute_patiently, foreign_file, primary_code
from grit.log.port import AppendUnknown, LogUnavailable, beyond_last, refuse_cut

_FROM_START = "SELECT offset, payload, checksum FROM records WHERE offset >= ? ORDER BY offset"
_NEWEST_TWO = "SELECT offset, payload, checksum FROM records ORDER BY offset DESC LIMIT 2"
_NEWEST_OFFSET = "SELECT max(offset) FROM records"
_OLDEST_OFFSET = "SELECT min(offset) FROM records"
_OLDEST_SIZES = "SELECT offset, length(payload) FROM records WHERE offset < ? ORDER BY offset LIMIT ?"
_CUT = "DELETE FROM records WHERE offset < ?"
_INSERT = "INSERT INTO records (offset, payload, checksum) VALUES (?, ?, ?)"

_REFUSED = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_FULL, sqlite3.SQLITE_READONLY})
"""Answers to a COMMIT after which it has certainly not happened (full: its last frame, the mark, was not written whole)."""
_NO_ACCESS = frozenset({sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN})

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
        self._write_ahead = path.with_name(f"{path.name}-wal")
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
            execute_patiently(connection, "BEGIN IMMEDIATE", busy_ms=self._busy_ms)
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
            cause = error.__cause__
            if isinstance(cause, sqlite3.Error) and primary_code(cause) in _NO_ACCESS:
                raise ConfigError(_unwritable(folder, str(cause))) from error
            raise

    def read(self, start: Offset, *, bytes_max: int) -> list[tuple[Offset, bytes]]:
        """Return whole rows from `start` on, in order, at most `bytes_max` but at least one if there is one.

        Raises:
            LogUnavailable: Transient.
            LogCut: `start` lies below the first row.
            LogError: The row at `start` is damaged or missing, or `start` lies outside of the log.
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
                raise self.shorter(start, end)
            self._seen = max(self._seen, start + len(found))
        return found

    def start(self) -> Offset:
        """Return the offset of the first row; 0 when there is none.

        Raises:
            LogUnavailable: Transient.
        """
        with self._translated():
            return Offset(self._oldest(self._connection()))

    def cut(self, offset: Offset, *, rows_max: int, bytes_max: int) -> bool:
        """Delete rows below `offset`, the oldest first, at most `rows_max` and about `bytes_max`; tell whether all are gone.

        Each call is one transaction, so appends of other processes come in between, and a log whose cut was broken off
        begins a little lower than it was meant to.

        Raises:
            LogUnavailable: Perhaps not done: it may be repeated.
            LogError: `offset` lies beyond the last whole row.
        """
        with self._translated():
            connection = self._connection()
            execute_patiently(connection, "BEGIN IMMEDIATE", busy_ms=self._busy_ms)
            end = self._whole_end()
            if offset >= end:
                raise beyond_last(f"log {self._name} ({self._path})", offset, end)
            upto = size = 0
            for oldest, length in connection.execute(_OLDEST_SIZES, (offset, rows_max)).fetchall():
                upto, size = oldest + 1, size + length
                if size >= bytes_max:
                    break
            connection.execute(_CUT, (upto,))
            try:
                self._commit(connection)
            except AppendUnknown as error:
                raise LogUnavailable(f"{error}; cut it again") from error
            return upto in (0, offset)

    def glimpse(self) -> tuple[int, int]:
        """Return something that most often changes when a process appends; does not block, may be called anywhere."""
        try:
            stat = self._write_ahead.stat()
        except OSError:
            return 0, 0
        return stat.st_mtime_ns, stat.st_size

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
        """Yield rows from `start` while they are dense and whole.

        What is damaged is judged when a read begins there: a torn last row is the end of the log, anything
        else an error. So all that lies before the damage can be read.
        """
        expected = start
        for offset, payload, checksum in rows:
            is_whole = offset == expected and checksum == checksum_of(offset, payload)
            if not is_whole and expected == start:
                self._judge_damage(rows, offset, expected)
            if not is_whole:
                return
            yield offset, payload
            expected += 1

    def _judge_damage(self, rows: Iterator[Row], offset: int, expected: int) -> None:
        """Raise unless the row at `offset`, found where `expected` should be, is torn: the last, never seen whole."""
        if offset != expected:
            if (oldest := self._oldest(self._connection())) > expected:
                raise refuse_cut(f"log {self._name} ({self._path})", expected, oldest)
            raise self._damaged(expected, "the record is missing")
        if offset < self._seen or next(rows, None) is not None:
            raise self._damaged(offset, "the checksum does not match")

    def _whole_end(self) -> int:
        """Return the offset after the last row, a torn one not counted; never less than what was seen."""
        connection = self._connection()
        (newest,) = connection.execute(_NEWEST_OFFSET).fetchone()
        end = 0 if newest is None else newest + 1
        if end == self._seen:  # judged before: do not read a megabyte for every look and every append
            return end
        if end < self._seen:
            raise self.shorter(self._seen, end)
        rows: list[Row] = connection.execute(_NEWEST_TWO).fetchall()
        damaged = [offset for offset, payload, checksum in rows if checksum != checksum_of(offset, payload)]
        if end - 1 not in damaged:
            return end
        # The only row of a log that was cut is no torn one: cutting left a whole record there.
        if len(damaged) == len(rows) and end > 1:
            raise self._damaged(damaged[-1], "the checksum does not match")
        return end - 1

    def _oldest(self, connection: sqlite3.Connection) -> int:
        (oldest,) = connection.execute(_OLDEST_OFFSET).fetchone()
        return 0 if oldest is None else int(oldest)

    def _cut_torn(self, connection: sqlite3.Connection) -> int:
        """Delete a torn last row, within a transaction; return the next offset."""
        end = self._whole_end()
        connection.execute("DELETE FROM records WHERE offset >= ?", (end,))
        return end

    # -- connection ---------------------------------------------------------------------------------------

    def _connection(self) -> sqlite3.Connection:
        if self._open is None:
            self._open = connect(
                self._path,
                self._name,
                busy_ms=self._busy_ms,
                page_count_max=self._page_count_max,
                connection_type=self._connection_type,
            )
        return self._open

    def _commit(self, connection: sqlite3.Connection) -> None:
        try:
            connection.execute("COMMIT")
        except sqlite3.Error as error:
            if primary_code(error) in _REFUSED:
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
        code = primary_code(error)
        if code == sqlite3.SQLITE_NOTADB:
            return foreign_file(self._path, self._name, "it is not an SQLite file")
        if code == sqlite3.SQLITE_CORRUPT:
            return self._damaged(self._seen, f"{error} there or later")
        return LogUnavailable(f"log {self._name}: {self._path}: {error}")

    def _place(self, offset: int) -> str:
        return f"log {self._name} ({self._path}): offset {offset}"

    def _damaged(self, offset: int, how: str) -> LogError:
        return LogError(f"{self._place(offset)} is damaged: {how}; restore the file from a backup, nothing is skipped")

    def shorter(self, offset: int, end: int) -> LogError:
        """Return the refusal of a log that was seen up to `offset` and ends at `end`."""
        return LogError(
            f"log {self._name} ({self._path}) is shorter than offset {offset}: it ends at {end}; "
            "it was replaced or restored from an old backup: bring back the newer file, or rebuild what was made from it"
        )


def _unwritable(folder: Path, why: str) -> str:
    """Return the line for a folder in which no log can be made."""
    return f"{folder}: cannot keep logs here: {why}; let this user write to the folder, or set log.path to another one"
