"""The history of a load: one JSON object a line, as Jepsen has them.

    {"index": 3, "process": 1, "type": "ok", "f": "checkout", "value": {"order_id": "c1-4"}, "time": 812345678}

`invoke` begins an operation; `ok` committed, `fail` certainly had no effect, `info` may have happened. Time is in nanoseconds
since the beginning of the load, on one monotonic clock. After an `info` its process never comes again: another number goes on
in its place, because the operation may still be under way.
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol, TextIO


class History(Protocol):
    """Takes what clients do."""

    def add(self, process: int, kind: str, function: str, value: Mapping[str, Any], time_ns: int) -> None:
        """Write one event down."""
        ...


class NoHistory:
    """Forgets everything."""

    def add(self, process: int, kind: str, function: str, value: Mapping[str, Any], time_ns: int) -> None:
        """Do nothing."""


class HistoryFile:
    """Writes every event to a file that somebody else opened and closes."""

    def __init__(self, file: TextIO) -> None:
        self._file = file
        self._index = 0

    def add(self, process: int, kind: str, function: str, value: Mapping[str, Any], time_ns: int) -> None:
        """Write one line."""
        event = {"index": self._index, "process": process, "type": kind, "f": function, "value": value, "time": time_ns}
        self._index += 1
        self._file.write(json.dumps(event, separators=(",", ":")) + "\n")


@contextmanager
def opened_history(path: Path | None) -> Iterator[History]:
    """Open the file of a history; without one nothing is kept."""
    if path is None:
        yield NoHistory()
        return
    with path.open("w", encoding="utf-8") as file:
        yield HistoryFile(file)
