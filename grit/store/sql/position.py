"""`grit_position`: the one small table that GRIT adds to a database. It holds one row: the player's cursor."""

import sqlalchemy as sa
from sqlalchemy.dialects import sqlite

from grit.core.ids import Epoch, Lsn, Offset
from grit.core.queries import Cursor

POSITION = sa.Table(
    "grit_position",
    sa.MetaData(),
    sa.Column("one", sa.Integer, sa.CheckConstraint("one = 1"), primary_key=True, autoincrement=False),
    sa.Column("log_id", sa.Text, nullable=False),
    sa.Column("offset", sa.Integer, nullable=False),
    sa.Column("epoch", sa.Integer, nullable=False),
    sa.Column("lsn", sa.Integer, nullable=False),
    sqlite_strict=True,
)
_FIELDS = [POSITION.c.log_id, POSITION.c.offset, POSITION.c.epoch, POSITION.c.lsn]
_DIALECT = sqlite.dialect()
_READ = str(sa.select(*_FIELDS).compile(dialect=_DIALECT))
_INSERT = str(sqlite.insert(POSITION).on_conflict_do_nothing().compile(dialect=_DIALECT))
_UPDATE = str(
    sa.update(POSITION)
    .where(*(field == sa.bindparam(f"old_{field.name}") for field in _FIELDS))
    .values({field: sa.bindparam(f"new_{field.name}") for field in _FIELDS})
    .compile(dialect=_DIALECT)
)


def read_position(connection: sa.Connection) -> Cursor | None:
    """Return the stored cursor; None: never applied anything."""
    row = connection.exec_driver_sql(_READ).fetchone()
    return None if row is None else Cursor(row[0], Offset(row[1]), Epoch(row[2]), Lsn(row[3]))


def advance_position(connection: sa.Connection, expected: Cursor | None, reached: Cursor) -> bool:
    """Set the cursor if it is `expected`; tell whether it was. Belongs into the transaction of the rows."""
    new = (reached.log_id, reached.offset, reached.epoch, reached.lsn)
    if expected is None:
        return connection.exec_driver_sql(_INSERT, (1, *new)).rowcount == 1
    old = (expected.log_id, expected.offset, expected.epoch, expected.lsn)
    return connection.exec_driver_sql(_UPDATE, (*new, *old)).rowcount == 1
