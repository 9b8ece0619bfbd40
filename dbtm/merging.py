"""Rows of a database that may be anywhere, made exact at one position (protocol.md section 4).

What the overlay holds replaces, adds and removes rows: so they are exact at the durable tail. What was written above an
earlier position is taken back with the before-images of the history: so they are exact there.
"""

from dbtm.ledger import Ledger
from grit.core.ids import Collection, Key, Lsn
from grit.core.ordering import ordered
from grit.core.predicate import matches
from grit.core.queries import FindRows, GetRows, Query
from grit.core.values import Row, decode_record

Pairs = tuple[tuple[Key, Row], ...]


def widened(ledger: Ledger, query: Query, pin: Lsn, position: Lsn, extra: int) -> Query:
    """Ask for as many rows more as the overlay, and what is taken back, may take out of a limited answer."""
    if isinstance(query, GetRows) or query.limit is None:
        return query
    more = len(_laid_over(ledger, query.collection, pin, position)) + extra
    return FindRows(query.collection, query.where, query.order_by, query.limit + more)


def merged(
    ledger: Ledger, query: Query, stored: Pairs, pin: Lsn, position: Lsn, *, cut: bool
) -> list[tuple[Key, Row]] | None:
    """Return the rows of a query at a position; None: too few were asked for.

    Args:
        ledger: Remembers every write above the position, and its overlay holds what is durable above the pin.
        query: As it was asked for.
        stored: What the database answered to the query, or to a wider one.
        pin: Of the overlay, from before the look.
        position: At most the tail, and at least the tail at which the look began or what the history goes back to.
        cut: The database may have had more rows.
    """
    laid_over = _laid_over(ledger, query.collection, pin, position)
    if isinstance(query, GetRows):
        rows = dict(stored)
        for key in query.keys:
            if key in laid_over:
                image = laid_over[key]
                rows.pop(key, None) if image is None else rows.update({key: decode_record(image)})
        return [(key, rows[key]) for key in query.keys if key in rows]
    rows = {key: row for key, row in stored if key not in laid_over}
    for key, image in laid_over.items():
        if image is not None and matches(query.where, row := decode_record(image)):
            rows[key] = row
    if query.limit is None:
        return ordered(rows.items(), query.order_by)
    return _limited(query, query.limit, rows, stored[-1] if cut else None)


def _laid_over(ledger: Ledger, collection: Collection, pin: Lsn, position: Lsn) -> dict[Key, bytes | None]:
    """Return the images, at the position, of every record whose row in the database may not be that."""
    images = dict(ledger.overlay.above(collection, pin))
    if position < ledger.tail:
        for change in ledger.history.changes_above(collection, position):
            images[change.key] = change.before  # newest first: what stays is from before the oldest
    return images


def _limited(
    query: FindRows, limit: int, rows: dict[Key, Row], edge: tuple[Key, Row] | None
) -> list[tuple[Key, Row]] | None:
    """Take the first `limit` rows, none that an unseen row of the database, all after `edge`, might precede."""
    if edge is None:
        return ordered(rows.items(), query.order_by)[:limit]
    in_order = ordered([*rows.items(), edge], query.order_by)
    certain = in_order[: max(i for i, pair in enumerate(in_order) if pair[1] is edge[1]) + 1]
    unique = {key: row for key, row in certain if rows.get(key) is row}
    return list(unique.items())[:limit] if len(unique) >= limit else None
