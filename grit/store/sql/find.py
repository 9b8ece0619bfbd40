"""Reads of rows on one connection."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any

import sqlalchemy as sa

from grit.core.ids import Key
from grit.core.ordering import ordered
from grit.core.predicate import matches
from grit.core.queries import FindRows, GetRows, Query
from grit.core.values import Row
from grit.store.sql.layout import TableAccess, order_of, record_of
from grit.store.sql.where import translate

KEYS_MAX = 128
"""Keys to a statement."""

Found = tuple[tuple[Key, Row], ...]


def answer(connection: sa.Connection, access: TableAccess, query: Query) -> Found:
    """Return the rows of one query."""
    return get_rows(connection, access, query) if isinstance(query, GetRows) else find_rows(connection, access, query)


def get_rows(connection: sa.Connection, access: TableAccess, query: GetRows) -> Found:
    """Return the records of the keys, in their order; absent ones are left out."""
    layout = access.layout
    wanted = [values for values in map(layout.key_values, dict.fromkeys(query.keys)) if values is not None]
    found: dict[Key, Row] = {}
    for some in _chunks(wanted):
        parameters = tuple(value for values in some for value in values)
        found.update(record_of(access, row) for row in connection.exec_driver_sql(access.get(len(some)), parameters))
    return tuple((key, found[key]) for key in query.keys if key in found)


def find_rows(connection: sa.Connection, access: TableAccess, query: FindRows) -> Found:
    """Return the records that match; what SQL cannot say exactly, the evaluator and our own order do."""
    layout = access.layout
    wanted = translate(query.where, layout.columns, is_open=layout.is_open)
    order = order_of(layout, query.order_by)
    statement = sa.select(*layout.selected).where(wanted.clause)
    if order is not None:
        statement = statement.order_by(*order)
        if wanted.is_exact and query.limit is not None:
            statement = statement.limit(query.limit)
    with connection.execute(statement) as rows:
        found: Iterable[tuple[Key, Row]] = (record_of(access, row) for row in rows)
        if not wanted.is_exact:
            found = (pair for pair in found if matches(query.where, pair[1]))
        if order is None:
            found = ordered(found, query.order_by)
        return tuple(islice(found, query.limit))


def _chunks(wanted: Sequence[tuple[Any, ...]]) -> Iterator[Sequence[tuple[Any, ...]]]:
    # Sizes are powers of two, so that few different statements are made.
    at = 0
    while at < len(wanted):
        size = min(KEYS_MAX, 1 << ((len(wanted) - at).bit_length() - 1))
        yield wanted[at : at + size]
        at += size
