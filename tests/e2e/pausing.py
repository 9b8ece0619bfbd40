"""Stop a process without stopping a log with it."""

import signal
import sqlite3
from contextlib import closing
from pathlib import Path

from tests.e2e.deployment import Deployment, until


def pause_between_appends(deployment: Deployment, victim: str) -> None:
    """Stop a process where it holds no lock: who is stopped in the middle of an append to an embedded log stops the log."""
    logs = [deployment.folder / "var" / "log" / f"{name}.log.db" for name in ("gtl", "dbtl.orders")]

    def is_between_appends() -> bool:
        deployment.processes[victim].signal(signal.SIGSTOP)
        if not any(_is_locked(log) for log in logs):
            return True
        deployment.processes[victim].signal(signal.SIGCONT)
        return False

    until(is_between_appends, lambda: f"{victim} stopped between two appends")


def _is_locked(log: Path) -> bool:
    with closing(sqlite3.connect(log, timeout=0.2, isolation_level=None)) as connection:
        try:
            connection.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError:
            return True
        connection.execute("ROLLBACK")
        return False
