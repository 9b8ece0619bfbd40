"""Records of the logs with everything decoded, for people and for JSON. Pure.

`fold_facts` folds a record and says what it holds, what the fold makes of it, and why what is void is void.
"""

from collections.abc import Mapping

import msgspec

from grit.core.fold import DbtlFold, GtlFold
from grit.core.ids import Csn, Lsn, Offset, Realm, TxnId
from grit.core.keys import decode_key
from grit.core.parts import Act, Expect, KeyRead, Part, Read, Write, decode_changes, decode_part
from grit.core.predicate import And, Compare, Contains, Expr, In, IsNull, Not, Or, Prefix, decode_expr
from grit.core.records import (
    Checkpoint,
    CommitEntry,
    Commits,
    DbtlRecord,
    DbtmEpoch,
    Entries,
    Entry,
    Fence,
    Genesis,
    GtlRecord,
    GtmEpoch,
)
from grit.core.values import Value, decode_record

_VERBS = {
    (Act.REPLACE, Expect.ABSENT): "insert",
    (Act.REPLACE, Expect.ANYTHING): "put",
    (Act.REPLACE, Expect.PRESENT): "replace",
    (Act.CHANGE, Expect.PRESENT): "patch",
    (Act.DELETE, Expect.PRESENT): "delete",
}
_OF_VOID_RECORD = "its record is void"


class ReadFacts(msgspec.Struct, frozen=True, omit_defaults=True):
    """A read: of a `key`, or (None) of all records that match `where`, "" = of every record. `fields` None: all."""

    collection: str
    key: tuple[Value, ...] | None = None
    where: str = ""
    fields: tuple[str, ...] | None = None
    commutes: bool = False


class WriteFacts(msgspec.Struct, frozen=True, omit_defaults=True):
    """A write: `fields` that it sets (null = removes), `deltas` that it adds."""

    collection: str
    key: tuple[Value, ...]
    verb: str
    fields: Mapping[str, Value] = {}
    deltas: Mapping[str, int] = {}


class PartFacts(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a transaction did in one realm; `damage`: why its part cannot be decoded."""

    realm: Realm
    position: Lsn = Lsn(0)
    reads: tuple[ReadFacts, ...] = ()
    writes: tuple[WriteFacts, ...] = ()
    damage: str = ""


class ImageFacts(msgspec.Struct, frozen=True):
    """A record as a write left it; None = absent."""

    collection: str
    key: tuple[Value, ...]
    after: Mapping[str, Value] | None


class EntryFacts(msgspec.Struct, frozen=True, omit_defaults=True):
    """A transaction in a log. `void`: why it has no effect, empty when it counts."""

    txid: TxnId
    parts: tuple[PartFacts, ...]
    csn: Csn = Csn(0)
    lsn: Lsn = Lsn(0)
    void: str = ""
    key: str = ""
    trace: str = ""
    origin: str = ""
    images: tuple[ImageFacts, ...] = ()


class RecordFacts(msgspec.Struct, frozen=True, omit_defaults=True):
    """A record of a log. `void`: why the fold gives it no effect, empty when it counts.

    Attributes:
        facts: What else stands in it, by name: epoch, first_csn, time_ms ...
        refused: The transactions that it aborts for good; those that it comes too late for are not among them.
    """

    log: str
    offset: Offset
    kind: str
    void: str = ""
    facts: Mapping[str, Value] = {}
    entries: tuple[EntryFacts, ...] = ()
    refused: tuple[TxnId, ...] = ()


def gtl_facts(fold: GtlFold, offset: Offset, record: GtlRecord) -> RecordFacts:
    """Fold the record at `offset`, the next one, and return what it says.

    Raises:
        LogError: The log is of another kind, format or deployment.
    """
    # Before the fold takes it in: afterwards it says of every entry that it was committed before.
    void = _why_void(fold, record, fold.next_csn)
    voids = [_why_entry_void(fold, entry) for entry in record.entries] if isinstance(record, Commits) else []
    folded = fold.apply(offset, record)
    entries: list[EntryFacts] = []
    if isinstance(record, Commits):
        if folded.valid:
            voids = ["" if decree.committed else why for decree, why in zip(folded.decrees, voids, strict=True)]
        else:
            voids = [_OF_VOID_RECORD] * len(record.entries)
        entries = [_commit_facts(entry, Csn(record.first_csn + i), voids[i]) for i, entry in enumerate(record.entries)]
    return RecordFacts(
        fold.log, offset, _kind(record), "" if folded.valid else void, _plain(record), tuple(entries), folded.refused
    )


def dbtl_facts(fold: DbtlFold, offset: Offset, record: DbtlRecord) -> RecordFacts:
    """Fold the record at `offset`; as `gtl_facts`."""
    void = _why_void(fold, record, fold.next_lsn)
    folded = fold.apply(offset, record)
    entries: list[EntryFacts] = []
    if isinstance(record, Entries):
        entries = [
            _entry_facts(fold.realm, entry, Lsn(record.first_lsn + i), "" if folded.valid else _OF_VOID_RECORD)
            for i, entry in enumerate(record.entries)
        ]
    return RecordFacts(
        fold.log, offset, _kind(record), "" if folded.valid else void, _plain(record), tuple(entries), folded.refused
    )


def predicate_text(where: bytes) -> str:
    """Return a predicate as people write it; "" is every record."""
    return _expression(decode_expr(where))


# -- what is void ---------------------------------------------------------------------------------------------


def _why_void(fold: GtlFold | DbtlFold, record: GtlRecord | DbtlRecord, due: int) -> str:
    """Return why the record is void if the fold says that it is; `due`: the number that the next entry gets."""
    if isinstance(record, Genesis):
        return "only the first record of a log is its GENESIS"
    if isinstance(record, GtmEpoch | DbtmEpoch):
        return f"epoch {fold.epoch} was claimed before"
    if isinstance(record, Fence):
        fenced = fold.fences.get(record.realm, 0) if isinstance(fold, GtlFold) else 0
        return f"realm {record.realm} is fenced at epoch {fenced} already"
    if isinstance(record, Checkpoint):
        return ""
    if record.epoch != fold.epoch:
        return f"epoch {fold.epoch} leads"
    first = record.first_csn if isinstance(record, Commits) else getattr(record, "first_lsn", due)
    return f"it begins at {first:,}, {due:,} is next: a record before it was lost"


def _why_entry_void(fold: GtlFold, entry: CommitEntry) -> str:
    """Return why an entry is voided if the fold says that it is."""
    if entry.txid in fold.committed:
        return "its transaction was committed before"
    if entry.txid in fold.refused:
        return "its transaction was refused before"
    if fold.is_expired(entry.txid):
        return "its transaction began too long before"
    if entry.key and entry.key in fold.keys:
        return f"its idempotency key was used by {fold.keys[entry.key].txid}"
    if entry.key and entry.key in fold.cancelled:
        return "its idempotency key was cancelled"
    for part in entry.parts:
        if part.gtm_epoch != fold.epoch:
            return f"realm {part.realm} voted for GTM epoch {part.gtm_epoch}, {fold.epoch} leads"
        fence = fold.fences.get(part.realm, 0)
        if part.dbtm_epoch != fence:
            return f"realm {part.realm} voted in DBTM epoch {part.dbtm_epoch}, the fence is {fence}"
    return "an entry before it in this record took its id or its key"


# -- what stands in it ----------------------------------------------------------------------------------------


def _kind(record: GtlRecord | DbtlRecord) -> str:
    return str(record.__struct_config__.tag).upper()


def _plain(record: GtlRecord | DbtlRecord) -> dict[str, Value]:
    """Return the fields of a record but for its entries."""
    facts = msgspec.structs.asdict(record)
    facts.pop("entries", None)
    if isinstance(record, Checkpoint):
        facts |= {"state": f"{len(record.state):,} bytes", "digest": record.digest.hex()}
    through = facts.pop("gtl_through", None)
    if through is not None:
        facts |= {"gtl_through_csn": through.csn, "gtl_through_offset": through.offset}
    if "time" in facts:
        facts["time_ms"] = facts.pop("time")
    return facts


def _commit_facts(entry: CommitEntry, csn: Csn, void: str) -> EntryFacts:
    parts = tuple(_part_facts(part.realm, part.part) for part in entry.parts)
    return EntryFacts(entry.txid, parts, csn, void=void, key=entry.key, trace=entry.trace, origin=entry.origin)


def _entry_facts(realm: Realm, entry: Entry, lsn: Lsn, void: str) -> EntryFacts:
    images = tuple(
        ImageFacts(image.collection, decode_key(image.key), None if image.after is None else decode_record(image.after))
        for image in entry.images
    )
    parts = (_part_facts(realm, entry.part),)
    return EntryFacts(entry.txid, parts, entry.csn, lsn, void, trace=entry.trace, origin=entry.origin, images=images)


def _part_facts(realm: Realm, data: bytes) -> PartFacts:
    """Return the part decoded; one that cannot be, of a zombie or of a bug, must not end the command."""
    try:
        part: Part = decode_part(data)
        reads = tuple(_read_facts(read) for read in part.reads)
        return PartFacts(realm, part.position, reads, tuple(_write_facts(write) for write in part.writes))
    except ValueError as error:  # msgspec's errors are ValueErrors
        return PartFacts(realm, damage=f"cannot be decoded: {error}")


def _read_facts(read: Read) -> ReadFacts:
    if isinstance(read, KeyRead):
        return ReadFacts(read.collection, decode_key(read.key), fields=read.fields, commutes=read.commutes)
    return ReadFacts(read.collection, where=predicate_text(read.where), fields=read.fields)


def _write_facts(write: Write) -> WriteFacts:
    verb = _VERBS.get((write.act, write.expect)) or f"{write.act.name.lower()} if {write.expect.name.lower()}"
    fields = decode_record(write.fields) if write.act == Act.REPLACE else decode_changes(write.fields)
    if verb == "patch" and write.deltas and not fields:
        verb = "increment"
    return WriteFacts(write.collection, decode_key(write.key), verb, fields, dict(write.deltas))


def _expression(expr: Expr) -> str:
    if isinstance(expr, And | Or):
        word = " and " if isinstance(expr, And) else " or "
        texts = [_expression(part) for part in expr.parts]
        return f"({word.join(texts)})" if len(texts) > 1 else word.join(texts)
    if isinstance(expr, Not):
        return f"not {_expression(expr.part)}"
    if isinstance(expr, In):
        return f"{expr.field} in ({', '.join(value_text(value) for value in expr.values)})"
    if isinstance(expr, Prefix):
        return f"{expr.field} begins with {expr.prefix!r}"
    if isinstance(expr, IsNull):
        return f"{expr.field} is null"
    assert isinstance(expr, Compare | Contains)
    return f"{expr.field} {expr.op if isinstance(expr, Compare) else 'contains'} {value_text(expr.value)}"


def value_text(value: Value) -> str:
    """Return a value on one line, control characters escaped: what a user stored must not steer a terminal."""
    if isinstance(value, list | tuple):
        return f"[{', '.join(value_text(item) for item in value)}]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{name!r}: {value_text(item)}" for name, item in value.items()) + "}"
    return repr(value) if isinstance(value, str | bytes) else "null" if value is None else str(value)
