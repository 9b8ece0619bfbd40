"""Intake: the bytes of a part, checked once, so that nothing behind this can stumble over them.

Homes check every operation; a home of another version, or with another catalogue, may still send what this realm
does not understand. That is the request's fault, never the end of a leader.
"""

from collections.abc import Mapping

from grit.core.catalog import CollectionDef, FieldKind
from grit.core.ids import Collection, TxnId, is_txn_id
from grit.core.keys import decode_key
from grit.core.parts import Act, Part, PredicateRead, Write, decode_changes, decode_part
from grit.core.predicate import decode_expr
from grit.core.values import decode_record


def take_part(txid: TxnId, encoded: bytes, collections: Mapping[Collection, CollectionDef]) -> Part:
    """Return the part.

    Raises:
        ValueError: It is none, or not one of this realm; one line.
    """
    if not is_txn_id(txid):
        raise ValueError(f"not the id of a transaction: {txid[:64]!r}")
    try:
        part = decode_part(encoded)
        for read in part.reads:
            _known(read.collection, collections)
            if isinstance(read, PredicateRead):
                decode_expr(read.where)
        for write in part.writes:
            _check(write, _known(write.collection, collections))
    except (ValueError, TypeError) as error:
        raise ValueError(f"the part cannot be understood: {error}") from error
    if len({(write.collection, write.key) for write in part.writes}) < len(part.writes):
        raise ValueError("the part cannot be understood: it writes a record twice")
    return part


def _known(name: Collection, collections: Mapping[Collection, CollectionDef]) -> CollectionDef:
    definition = collections.get(name)
    if definition is None:
        raise ValueError(f"no collection {name} here: does everybody use one grit.yaml?")
    return definition


def _check(write: Write, definition: CollectionDef) -> None:
    if len(decode_key(write.key)) != len(definition.key):
        raise ValueError(f"a key of {definition.name} has {len(definition.key)} component(s)")
    if write.act == Act.REPLACE:
        decode_record(write.fields)
    elif write.act == Act.CHANGE:
        decode_changes(write.fields)
    for field, _ in write.deltas:
        declared = definition.fields.get(field)
        if declared is None or declared.kind != FieldKind.INT:
            raise ValueError(f"{definition.name}.{field} is no int field: it cannot be incremented")
