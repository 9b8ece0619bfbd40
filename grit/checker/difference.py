"""W6: the database at its position against the replay of its log to there; what differs, and what that looks like.

| kind | the row in the database |
| --- | --- |
| missing | is not there, though the log made it |
| stale | is as an earlier transaction left it: a write was not applied |
| torn | is as a transaction above the position leaves it: rows were written without the cursor |
| double-applied | is what the last increment makes of the right row |
| foreign | is nothing that the log ever held: somebody wrote past GRIT |
| extra | is there though the log deleted it, with a value the log once held |
"""

from collections.abc import Mapping

from grit.checker.dbtl import Mark, RealmHistory, Transaction
from grit.checker.replay import Base, Images, Place, found_before, images_at, row_text, same_row
from grit.checker.report import Finding, key_text
from grit.core.parts import Write, decode_part
from grit.core.queries import Cursor
from grit.core.values import Row, Value, decode_record

Rows = Mapping[Place, Row]
Writers = list[tuple[Transaction, bytes | None]]
"""The transactions that wrote a record, with what they left."""


def judge_position(history: RealmHistory, cursor: Cursor) -> Finding | None:
    """Return what is wrong with the position in the database, None when it is one of this log."""
    wrong, expected = "", ""
    if cursor.log_id != history.log_id:
        wrong, expected = f"of log {cursor.log_id}", f"log {history.log_id}"
    elif cursor.offset < history.begin:
        wrong, expected = "below what the log keeps", f"an offset from {history.begin} on"
    elif (mark := history.mark_at(cursor.offset)) is None:
        wrong, expected = "beyond the end of the log", f"an offset up to {history.end_offset}"
    elif (mark.epoch, mark.lsn) != (cursor.epoch, cursor.lsn):
        wrong, expected = "not what the log says there", f"epoch {mark.epoch}, Lsn {mark.lsn}"
    if not wrong:
        return None
    return Finding(
        "W6",
        "wrong position",
        f"the position in the database of realm {history.realm} is {wrong}",
        log=history.log,
        offset=cursor.offset,
        expected=expected,
        found=f"log {cursor.log_id}, epoch {cursor.epoch}, Lsn {cursor.lsn}",
    )


def judge_rows(history: RealmHistory, mark: Mark, rows: Rows, base: Base | None = None) -> tuple[list[Finding], int]:
    """Return what differs, and how many rows cannot be judged because they are older than the log.

    Args:
        history: The log, also above the position: what lies there tells a torn apply.
        mark: The position at which `rows` were read.
        rows: Every row of the realm.
        base: What it was at a position of the history; None: the history tells all that it can.
    """
    images = images_at(history, mark.lsn, base)
    differing = {place for place, image in images.items() if not _is_equal(rows.get(place), image)}
    strangers = {place for place in rows if place not in images}
    writers = _writers(history, differing | strangers)
    older = _older(history, {place: rows[place] for place in strangers}, writers) if base is None else set()
    findings = [
        _finding(history, mark, place, images, rows.get(place), writers.get(place, []))
        for place in sorted((differing | strangers) - older)
    ]
    return findings, len(older)


def _older(history: RealmHistory, strangers: Rows, writers: Mapping[Place, Writers]) -> set[Place]:
    """Return the rows, written by no transaction up to the position, of which the log cannot tell what they are.

    A realm that was adopted with its data, or whose log was cut, holds some. If a transaction above the position writes one, its
    before-image shows that the row was there; if the row is as such a transaction leaves it, it is torn all the same.
    """
    before = found_before(history)
    if not before and not history.begin:
        return set()
    return {
        place
        for place, row in strangers.items()
        if place not in writers or (place in before and not any(_is_equal(row, left) for _, left in writers[place]))
    }


def _is_equal(row: Row | None, image: bytes | None) -> bool:
    if row is None or image is None:
        return row is None and image is None
    return same_row(row, image)


def _writers(history: RealmHistory, places: set[Place]) -> dict[Place, Writers]:
    """Return, for each record, who wrote it."""
    writers: dict[Place, Writers] = {}
    for transaction in history.transactions:
        for image in transaction.entry.images:
            place = image.collection, image.key
            if place in places:
                writers.setdefault(place, []).append((transaction, image.after))
    return writers


def _finding(
    history: RealmHistory,
    mark: Mark,
    place: Place,
    images: Images,
    row: Row | None,
    writers: Writers,
) -> Finding:
    image = images.get(place)
    before = [(writer, after) for writer, after in writers if writer.lsn <= mark.lsn]
    after = [(writer, after) for writer, after in writers if writer.lsn > mark.lsn]
    kind, message, blamed = _classify(row, image, before, after)
    last = blamed or (before[-1][0] if before else None)
    return Finding(
        "W6",
        kind,
        f"{message} (position: Lsn {mark.lsn})",
        log=history.log,
        offset=last.offset if last else -1,
        lsn=last.lsn if last else 0,
        csn=last.entry.csn if last else 0,
        txid=last.entry.txid if last else "",
        key=key_text(history.realm, *place),
        expected=row_text(decode_record(image) if image is not None else None),
        found=row_text(row),
    )


def _classify(
    row: Row | None,
    image: bytes | None,
    before: Writers,
    after: Writers,
) -> tuple[str, str, Transaction | None]:
    """Return kind, message, and the transaction to blame, where it is not the last writer below the position."""
    ahead = next((writer for writer, left in after if _is_equal(row, left)), None)
    if ahead is not None:
        return "torn", f"the row is as Lsn {ahead.lsn} leaves it, which is above the position", ahead
    if row is None:
        return "missing", "the row is not in the database", None
    old = next((writer for writer, left in reversed(before) if _is_equal(row, left)), None)
    if old is not None and image is None:
        return "extra", f"the row is deleted in the log, and as Lsn {old.lsn} left it in the database", None
    if old is not None:
        return "stale", f"the row is as Lsn {old.lsn} left it, later writes are not in it", None
    if image is not None and before and _is_applied_again(row, image, before[-1][0]):
        return "double-applied", f"the increment of Lsn {before[-1][0].lsn} is in the row twice", None
    return "foreign", "the row holds what no transaction ever wrote: somebody wrote past GRIT", None


def _is_applied_again(row: Row, image: bytes, last: Transaction) -> bool:
    expected = decode_record(image)
    differing = {field for field in expected.keys() | row.keys() if expected.get(field) != row.get(field)}
    deltas = _deltas(last, image)
    return bool(differing) and all(
        field in deltas and row.get(field) == _sum(expected.get(field), deltas[field]) for field in differing
    )


def _sum(value: Value, delta: int) -> Value:
    return (value or 0) + delta


def _deltas(last: Transaction, image: bytes) -> dict[str, int]:
    """Return what the last writer of the record added to its fields."""
    try:
        writes: tuple[Write, ...] = decode_part(last.entry.part).writes
    except ValueError:
        return {}
    places = {(i.collection, i.key) for i in last.entry.images if i.after == image}
    return {field: delta for w in writes if (w.collection, w.key) in places for field, delta in w.deltas}
