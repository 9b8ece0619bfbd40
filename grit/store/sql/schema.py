"""Make what is missing: `grit_position`, tables, columns, indexes. All in the transaction of the caller."""

from collections.abc import Iterable

import sqlalchemy as sa

from grit.store.sql.layout import INDEX_PREFIX, TableAccess, parameters_of, record_of
from grit.store.sql.position import POSITION

CHUNK = 1_000
"""Records that get their new columns filled at once."""


def make_missing(connection: sa.Connection, tables: Iterable[TableAccess]) -> None:
    """Bring the tables up to the catalogue; what the catalogue no longer has, stays, but for our indexes."""
    POSITION.create(connection, checkfirst=True)
    for access in tables:
        layout = access.layout
        inspector = sa.inspect(connection)
        if inspector.has_table(layout.table.name):
            _add_columns(connection, inspector, access)
            _match_indexes(connection, inspector, layout.table)
        else:
            layout.table.create(connection)


def _add_columns(connection: sa.Connection, inspector: sa.Inspector, access: TableAccess) -> None:
    layout = access.layout
    there = {column["name"] for column in inspector.get_columns(layout.table.name)}
    missing = [column for column in layout.table.columns if column.name not in there]
    name = connection.dialect.identifier_preparer.format_table(layout.table)
    for column in missing:
        text = sa.schema.CreateColumn(column).compile(dialect=connection.dialect)
        connection.exec_driver_sql(f"ALTER TABLE {name} ADD COLUMN {text}")
    if missing and layout.is_open:
        _fill_columns(connection, access)


def _fill_columns(connection: sa.Connection, access: TableAccess) -> None:
    with connection.execute(sa.select(*access.layout.selected)) as stored:
        records = [record_of(access, row) for row in stored]
    for at in range(0, len(records), CHUNK):
        some = records[at : at + CHUNK]
        connection.exec_driver_sql(access.upsert, [parameters_of(access, key, row) for key, row in some])


def _match_indexes(connection: sa.Connection, inspector: sa.Inspector, table: sa.Table) -> None:
    there = {str(index["name"]) for index in inspector.get_indexes(table.name)}
    wanted = {str(index.name): index for index in table.indexes}
    quote = connection.dialect.identifier_preparer.quote
    for name in sorted(there - wanted.keys()):
        if name.startswith(INDEX_PREFIX):
            connection.exec_driver_sql(f"DROP INDEX {quote(name)}")
    for name in sorted(wanted.keys() - there):
        wanted[name].create(connection)
