"""What a DBTM asks of its database, and what a player writes to it."""

import msgspec

from grit.core.ids import Collection, Epoch, Key, Lsn, Offset
from grit.core.predicate import Where
from grit.core.values import Row


class Cursor(msgspec.Struct, frozen=True, gc=False):
    """A player's place in its log, kept in the database (`grit_position`), compared and set as one.

    Attributes:
        log_id: Identity of the DBTL, from its GENESIS.
        offset: The next offset to read; everything before it is applied.
        epoch: The epoch of the fold at `offset`.
        lsn: The last Lsn applied.
    """

    log_id: str
    offset: Offset
    epoch: Epoch
    lsn: Lsn


class OrderBy(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """Ascending unless told; null first in ascending order. Ties go by canonical key, ascending."""

    field: str
    descending: bool = False


class GetRows(msgspec.Struct, frozen=True, gc=False, tag="get", array_like=True):
    """The records of some keys."""

    collection: Collection
    keys: tuple[Key, ...]


class FindRows(msgspec.Struct, frozen=True, gc=False, tag="find", array_like=True):
    """The records that match, ordered, at most `limit` (None = all)."""

    collection: Collection
    where: Where
    order_by: tuple[OrderBy, ...] = ()
    limit: int | None = None


Query = GetRows | FindRows


class StoreAnswer(msgspec.Struct, frozen=True, gc=False):
    """Rows between two looks at the position, all on one connection.

    `before` and `after` are the player's cursor before and after the rows were read (None: never
    applied anything). `rows[i]` answers query i: (key, record) pairs in the query's order; keys that are
    absent are left out. The rows of different queries, and of one, need not be of one moment between the
    two looks: the overlay repairs that.
    """

    before: Cursor | None
    rows: tuple[tuple[tuple[Key, Row], ...], ...]
    after: Cursor | None


class RowWrite(msgspec.Struct, frozen=True, gc=False):
    """The newest value of one record; None = it is deleted."""

    collection: Collection
    key: Key
    row: Row | None
