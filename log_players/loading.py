"""Rows from elsewhere than the log into an empty database, with the position that they belong to.

The position is set with the first batch and stays: until the last one is applied nobody may use the database.
"""

from collections.abc import Sequence

from grit.core.catalog import RealmDef
from grit.core.queries import Cursor, RowWrite
from grit.store.port import StoreWriter
from log_players.plans.batch import WriteOrder

BATCH_ROWS = 1_000


async def load_rows(realm: RealmDef, writer: StoreWriter, cursor: Cursor, rows: Sequence[RowWrite]) -> None:
    """Fill a database that nothing was ever applied to, and that nobody uses.

    Args:
        realm: As the catalogue has it.
        writer: Its database.
        cursor: The position that the rows belong to.
        rows: Each record once.

    Raises:
        StoreRefused: The database refuses a row, or the catalogue does not know its collection.
        StoreUnavailable: The database cannot be made or written now.
    """
    order = WriteOrder(realm.collections)
    ranked = sorted(rows, key=lambda row: (order.rank(row.collection, cursor.lsn), row.key))
    await writer.prepare()
    expected: Cursor | None = None
    for at in range(0, max(1, len(ranked)), BATCH_ROWS):
        is_done = await writer.apply(expected, ranked[at : at + BATCH_ROWS], cursor)
        assert is_done, "nobody else uses it, and it was empty"
        expected = cursor
