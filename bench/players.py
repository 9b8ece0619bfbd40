"""Players: rows a second into each embedded store, beside the bare driver with the same rows, statement and durability.

Both begin with the images of the log: a player decodes them, plans, moves its cursor and commits; the driver gets ready
parameters and commits.
"""

import asyncio
import sqlite3
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench.figure import Figure, Target
from bench.settings import Settings
from grit.config.builtin import builtin_config
from grit.core.catalog import RealmDef
from grit.core.ids import Collection, Csn, Epoch, Lsn, Offset, Realm, TxnId
from grit.core.keys import encode_key
from grit.core.queries import Cursor
from grit.core.records import Entry, Image
from grit.core.values import decode_record, encode_record
from grit.store.open import open_writer
from log_players.plans.batch import WriteOrder, plan_writes

BATCHES = (1, 10, 100, 1_000)
COLLECTIONS = {
    Realm("orders"): Collection("stock"),
    Realm("carts"): Collection("carts"),
    Realm("social"): Collection("Customer"),
}
Entries = Sequence[tuple[Lsn, Entry]]


def run(settings: Settings) -> list[Figure]:
    """Measure every store with every size of batch."""
    config = builtin_config(settings.new_folder("players"))
    figures: list[Figure] = []
    for realm in config.realms.values():
        figures += asyncio.run(_store(settings, realm))
    return figures


async def _store(settings: Settings, realm: RealmDef) -> list[Figure]:
    figures: list[Figure] = []
    cursor: Cursor | None = None
    writer = open_writer(realm, {})
    bare = Bare(realm)
    try:
        await writer.prepare()
        bare.prepare()
        order = WriteOrder(realm.collections)
        for size in BATCHES:
            count = min(settings.pick(200, 1_000), max(10, settings.pick(4_000, 40_000) // size))
            ours = theirs = 0.0
            for at in range(count):
                entries = _entries(realm.name, size, at)
                reached = Cursor("bench", Offset(1), Epoch(1), Lsn((0 if cursor is None else cursor.lsn) + size))
                began = time.perf_counter()
                assert await writer.apply(cursor, plan_writes(entries, order), reached)
                ours += time.perf_counter() - began
                cursor = reached
                theirs += bare.apply(entries)
            figures += _figures(realm, size, count * size, ours, theirs)
    finally:
        await writer.close()
        bare.close()
    return figures


def _figures(realm: RealmDef, size: int, rows: int, ours_s: float, theirs_s: float) -> list[Figure]:
    at = f"{realm.engine}, batches of {size:,}"
    return [
        Figure(at, rows / ours_s, "rows/s"),
        Figure(f"{at}, bare driver", rows / theirs_s, "rows/s"),
        Figure(f"{at}, player / driver", theirs_s / ours_s, "x", Target(">=", 0.7) if size == BATCHES[-1] else None),
    ]


def _entries(realm: Realm, size: int, seed: int) -> Entries:
    """Return entries of one put each, over 10,000 records."""
    entries: list[tuple[Lsn, Entry]] = []
    for at in range(size):
        number = (seed * 7_919 + at) % 10_000
        image = Image(COLLECTIONS[realm], encode_key([f"n{number}"]), encode_record(_row(realm, number, seed)), None)
        entries.append((Lsn(at + 1), Entry(TxnId("t-00000000001-0000000000000001"), Csn(0), b"", (image,))))
    return entries


def _row(realm: Realm, number: int, value: int) -> dict[str, Any]:
    name = f"n{number}"
    rows: dict[str, dict[str, Any]] = {
        "orders": {"product": name, "on_hand": value, "sold": 0},
        "carts": {"customer": name, "items": [{"product": name, "qty": value}], "status": "open"},
        "social": {"customer": name, "name": f"Customer {value}"},
    }
    return rows[realm]


class Bare:
    """The driver alone, on a table like the store's."""

    def __init__(self, realm: RealmDef) -> None:
        path = Path(realm.url).with_suffix(".bare.db")
        self._is_table = realm.engine == "sqlite"
        path.parent.mkdir(parents=True, exist_ok=True)
        self._connection = sqlite3.connect(path, isolation_level=None)

    def prepare(self) -> None:
        """Make the table, as durable as ours."""
        columns = "key TEXT PRIMARY KEY, a INTEGER, b INTEGER" if self._is_table else (
            "key BLOB PRIMARY KEY, record BLOB NOT NULL, a TEXT"
        )  # fmt: skip
        for statement in (
            "PRAGMA journal_mode=WAL",
            "PRAGMA synchronous=FULL",
            f"CREATE TABLE rows ({columns}) STRICT, WITHOUT ROWID",
        ):
            self._connection.execute(statement)

    def apply(self, entries: Entries) -> float:
        """Write the rows of a batch in one transaction; return the seconds that it took."""
        parameters = [self._parameters(image) for _, entry in entries for image in entry.images]
        began = time.perf_counter()
        self._connection.execute("BEGIN IMMEDIATE")
        self._connection.executemany("INSERT OR REPLACE INTO rows VALUES (?, ?, ?)", parameters)
        self._connection.execute("COMMIT")
        return time.perf_counter() - began

    def close(self) -> None:
        """Release the file."""
        self._connection.close()

    def _parameters(self, image: Image) -> tuple[Any, ...]:
        record = image.after or b""
        row = decode_record(record)
        if self._is_table:
            return row["product"], row["on_hand"], row["sold"]
        return image.key, record, str(row["customer"])
