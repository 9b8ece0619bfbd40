"""Records of the logs as lines for people. Pure."""

from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime

from grit.cli.record_facts import (
    EntryFacts,
    ImageFacts,
    PartFacts,
    ReadFacts,
    RecordFacts,
    WriteFacts,
    value_text,
)
from grit.core.values import Value

VALUE_CHARACTERS_MAX = 120
"""A longer value is cut in text; JSON has it whole."""
_LISTED = ("keys", "txids")  # of REFUSED: on lines of their own


def record_lines(record: RecordFacts) -> Iterator[str]:
    """Yield the lines of a record: what it is, then one line and more for each of its transactions."""
    facts = " ".join(_fact(name, value) for name, value in record.facts.items() if name not in _LISTED)
    yield f"{record.log} {record.offset}  {record.kind}  {facts}" + _void(record.void)
    for txid in record.facts.get("txids", ()):
        yield f"  refuses {txid}" + ("" if txid in record.refused else "  WITHOUT EFFECT: it is too late for that")
    for key in record.facts.get("keys", ()):
        yield f"  refuses the idempotency key {key!r}"
    for entry in record.entries:
        yield from _entry_lines(entry)


def part_lines(part: PartFacts) -> Iterator[str]:
    """Yield the reads and writes of a transaction in one realm."""
    if part.damage:
        yield f"realm {part.realm}: its part {part.damage}"
        return
    at = f"read at Lsn {part.position:,}" if part.reads else "read nothing"
    yield f"realm {part.realm}: {at}, {len(part.writes)} writes"
    for read in part.reads:
        yield "  " + _read_line(read)
    for write in part.writes:
        yield "  " + _write_line(write)


def image_line(image: ImageFacts) -> str:
    """Return what a write made of its record."""
    after = "absent" if image.after is None else _pairs(image.after)
    return f"{_place(image.collection, image.key)} is now {after}"


def trace_id(traceparent: str) -> str:
    """Return the trace id of a W3C traceparent, "" when there is none."""
    pieces = traceparent.split("-")
    return pieces[1] if len(pieces) == 4 else ""


def time_text(time_ms: int) -> str:
    """Return milliseconds since 1970 as UTC; a time beyond the calendar as the number that it is."""
    try:
        return datetime.fromtimestamp(time_ms / 1000, UTC).isoformat(timespec="milliseconds")
    except (ValueError, OverflowError, OSError):
        return f"{time_ms} ms"


def _entry_lines(entry: EntryFacts) -> Iterator[str]:
    numbers = [f"Lsn {entry.lsn:,}" if entry.lsn else "", f"Csn {entry.csn:,}" if entry.csn else ""]
    words = [*numbers, entry.txid, f"({entry.origin})" if entry.origin else ""]
    words += [f"key={entry.key!r}" if entry.key else "", f"trace={trace_id(entry.trace)}" if entry.trace else ""]
    yield "  " + " ".join(word for word in words if word) + _void(entry.void)
    for part in entry.parts:
        yield from (f"    {line}" for line in part_lines(part))
    for image in entry.images:
        yield f"      {image_line(image)}"


def _read_line(read: ReadFacts) -> str:
    what = "whole" if read.fields is None else ", ".join(read.fields) or "whether it exists"
    if read.key is None:
        which = "which match" if read.fields == () else what
        found = f"{read.collection} where {read.where}" if read.where else f"every record of {read.collection}"
        return f"find {found}: {which}"
    return f"read {_place(read.collection, read.key)}: {what}" + (", as an increment does" if read.commutes else "")


def _write_line(write: WriteFacts) -> str:
    deltas = ", ".join(f"{field} {delta:+,}" for field, delta in write.deltas.items())
    changes = ", ".join(text for text in (_pairs(write.fields) if write.fields else "", deltas) if text)
    return f"{write.verb} {_place(write.collection, write.key)}" + (f": {changes}" if changes else "")


def _place(collection: str, key: Iterable[Value]) -> str:
    return f"{collection}/({', '.join(value_text(component) for component in key)})"


def _pairs(row: Mapping[str, Value]) -> str:
    return ", ".join(f"{field}={_cut(value_text(value))}" for field, value in row.items()) or "an empty record"


def _cut(text: str) -> str:
    return text if len(text) <= VALUE_CHARACTERS_MAX else f"{text[:VALUE_CHARACTERS_MAX]}... ({len(text):,} characters)"


def _fact(name: str, value: Value) -> str:
    if name == "time_ms":
        return f"time={time_text(value)}"
    plain = isinstance(value, str) and value.isprintable() and value
    return f"{name}={plain or value_text(value)}"


def _void(why: str) -> str:
    return f"  VOID: {why}" if why else ""
