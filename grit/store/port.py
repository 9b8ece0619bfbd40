"""The two ports of a database: what a DBTM reads, and what a log player writes.

Drivers are synchronous and live in the store's own threads; these methods are coroutines that wait for
them. Identifiers come from the catalogue only; values are parameters, never pasted.
"""

from collections.abc import Sequence
from typing import Protocol

from grit.core.queries import Cursor, Query, RowWrite, StoreAnswer


class StoreUnavailable(Exception):
    """The database did not answer, or answered that it cannot now; nothing was changed. Try again."""


class ApplyUnknown(Exception):
    """The connection broke while a batch was being committed: look at the cursor, it tells."""


class StoreReader(Protocol):
    """Reads of a DBTM. May only read: the user it connects as needs no right to write."""

    async def read(self, queries: Sequence[Query]) -> StoreAnswer:
        """Look at the cursor, read the rows, look at the cursor again, on one connection.

        Several reads may be under way at once. With no queries it tells the position.

        Raises:
            StoreUnavailable: Transient, or no player has prepared the database yet.
            StoreRefused: The schema is not as the catalogue says (names the collection and field).
        """
        ...

    async def snapshot(self, queries: Sequence[Query]) -> StoreAnswer:
        """Read rows and cursor of one moment: `before` and `after` are the same, and the rows are those at that position.

        For who copies or judges a whole database; it may hold up the player, and take memory for all rows.

        Raises:
            As `read`.
        """
        ...

    async def close(self) -> None:
        """Release threads and connections."""
        ...


class StoreWriter(Protocol):
    """Writes of a log player."""

    async def prepare(self) -> None:
        """Make `grit_position` and, for embedded engines, what the catalogue has and the database has not.

        Raises:
            StoreUnavailable: Transient.
            ApplyUnknown: Do it again: what is there already stays.
            StoreRefused: What is there cannot become what the catalogue says.
        """
        ...

    async def cursor(self) -> Cursor | None:
        """Return the stored cursor; None before the first batch.

        Raises:
            StoreUnavailable: Transient.
            StoreRefused: There is no cursor to be had: somebody else changed the database.
        """
        ...

    async def apply(self, expected: Cursor | None, writes: Sequence[RowWrite], reached: Cursor) -> bool:
        """Write the rows and the cursor in one database transaction.

        The cursor is compared with `expected` and set to `reached`; when it differs nothing is changed
        and the answer is False: somebody else is applying; re-read the cursor. `writes` holds each record
        once; deletes are applied before upserts, nodes before relationships.

        Raises:
            StoreUnavailable: Definitely not applied; retry.
            ApplyUnknown: Re-read the cursor.
            StoreRefused: The database refuses an entry; names collection, key and the database's words.
        """
        ...

    async def close(self) -> None:
        """Release threads and connections."""
        ...
