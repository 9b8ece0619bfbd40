"""Operations and their results."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from grit.core.errors import Code, GritError
from grit.core.ids import Collection, Realm
from grit.core.operations import (
    Count,
    Delete,
    Direction,
    Find,
    Get,
    GetMany,
    Increment,
    Insert,
    Link,
    Neighbours,
    Nothing,
    NumberResult,
    Operation,
    Patch,
    Put,
    Result,
    RowResult,
    RowsResult,
    Sum,
    Unlink,
)
from grit.core.queries import OrderBy
from grit.core.values import Row
from grit.pb.v1 import sidecar_pb2 as pb
from grit.wire.predicates import decode_where, encode_where
from grit.wire.values import (
    decode_changes,
    decode_components,
    decode_row,
    decode_typed,
    encode_changes,
    encode_components,
    encode_row,
    encode_typed,
)

_DIRECTIONS = {
    Direction.OUT: pb.DIRECTION_OUT,
    Direction.IN: pb.DIRECTION_IN,
    Direction.BOTH: pb.DIRECTION_BOTH,
}
_DIRECTION_OF = {number: direction for direction, number in _DIRECTIONS.items()} | {
    pb.DIRECTION_UNSPECIFIED: Direction.OUT
}


def split_collection(name: str, place: str) -> tuple[Realm, Collection]:
    """Return realm and collection of "realm.collection".

    Raises:
        GritError: BAD_REQUEST.
    """
    realm, dot, collection = name.partition(".")
    if not realm or not dot or not collection:
        raise GritError.bad_request(f'{place}.collection must be "realm.collection", not {name[:80]!r}')
    return Realm(realm), Collection(collection)


def decode_operation(operation: pb.Operation, place: str) -> Operation:
    """Return one operation; names and types are not yet held against the catalogue.

    Raises:
        GritError: BAD_REQUEST.
    """
    kind = operation.WhichOneof("kind")
    if kind is None:
        raise GritError(Code.UNSUPPORTED, f"{place} holds no operation that this sidecar knows")
    return _DECODERS[kind](getattr(operation, kind), f"{place}.{kind}")


def encode_operation(operation: Operation, *, packed: bool = True) -> pb.Operation:
    """Return one operation."""
    encoder = _ENCODERS[type(operation)]
    return encoder(operation, f"{operation.realm}.{operation.collection}", packed)


def encode_result(result: Result, *, packed: bool) -> pb.Result:
    """Return what an operation answered."""
    if isinstance(result, Nothing):
        return pb.Result(nothing=pb.Nothing())
    if isinstance(result, NumberResult):
        return pb.Result(number=encode_typed(result.number))
    if isinstance(result, RowResult):
        return pb.Result(row=_encode_row_result(result.row, packed))
    return pb.Result(rows=pb.RowsResult(rows=[_encode_row_result(row, packed) for row in result.rows]))


def decode_result(result: pb.Result, place: str) -> Result:
    """Return what an operation answered.

    Raises:
        GritError: BAD_REQUEST.
    """
    kind = result.WhichOneof("kind")
    if kind == "nothing":
        return Nothing()
    if kind == "row":
        return RowResult(_decode_row_result(result.row, place))
    if kind == "rows":
        rows = enumerate(result.rows.rows)
        return RowsResult(tuple(_decode_row_result(row, f"{place}.rows[{at}]") for at, row in rows))
    if kind == "number":
        return NumberResult(decode_typed(result.number, f"{place}.number"))
    raise GritError.bad_request(f"{place} holds no result")


def decode_results(results: Sequence[pb.Result]) -> list[Result]:
    """Return the results in order.

    Raises:
        GritError: BAD_REQUEST.
    """
    return [decode_result(result, f"results[{at}]") for at, result in enumerate(results)]


def _encode_row_result(row: Row | None, packed: bool) -> pb.RowResult:
    return pb.RowResult() if row is None else pb.RowResult(record=encode_row(row, packed=packed))


def _decode_row_result(row: pb.RowResult, place: str) -> Row | None:
    return decode_row(row.record, f"{place}.record") if row.HasField("record") else None


def _where(message: pb.Find | pb.Count | pb.Sum) -> pb.Where | None:
    return message.where if message.HasField("where") else None


def _fields(names: Sequence[str]) -> tuple[str, ...] | None:
    return tuple(names) or None


def _decode_get(message: pb.Get, place: str) -> Operation:
    key = decode_components(message.key, f"{place}.key")
    return Get(*split_collection(message.collection, place), key, _fields(message.fields))


def _decode_get_many(message: pb.GetMany, place: str) -> Operation:
    keys = tuple(decode_components(key, f"{place}.keys[{at}]") for at, key in enumerate(message.keys))
    return GetMany(*split_collection(message.collection, place), keys, _fields(message.fields))


def _decode_find(message: pb.Find, place: str) -> Operation:
    return Find(
        *split_collection(message.collection, place),
        where=decode_where(_where(message), f"{place}.where"),
        order_by=tuple(OrderBy(order.field, order.descending) for order in message.order_by),
        limit=message.limit if message.HasField("limit") else None,
        fields=_fields(message.fields),
    )


def _decode_count(message: pb.Count, place: str) -> Operation:
    return Count(*split_collection(message.collection, place), decode_where(_where(message), f"{place}.where"))


def _decode_sum(message: pb.Sum, place: str) -> Operation:
    where = decode_where(_where(message), f"{place}.where")
    return Sum(*split_collection(message.collection, place), message.field, where)


def _decode_insert(message: pb.Insert, place: str) -> Operation:
    return Insert(*split_collection(message.collection, place), decode_row(message.record, f"{place}.record"))


def _decode_put(message: pb.Put, place: str) -> Operation:
    return Put(*split_collection(message.collection, place), decode_row(message.record, f"{place}.record"))


def _decode_patch(message: pb.Patch, place: str) -> Operation:
    key = decode_components(message.key, f"{place}.key")
    return Patch(*split_collection(message.collection, place), key, decode_changes(message.changes, f"{place}.changes"))


def _decode_delete(message: pb.Delete, place: str) -> Operation:
    key = decode_components(message.key, f"{place}.key")
    return Delete(*split_collection(message.collection, place), key, message.detach)


def _decode_increment(message: pb.Increment, place: str) -> Operation:
    key = decode_components(message.key, f"{place}.key")
    return Increment(*split_collection(message.collection, place), key, message.field, message.delta)


def _decode_link(message: pb.Link, place: str) -> Operation:
    start, end = decode_components(message.start, f"{place}.start"), decode_components(message.end, f"{place}.end")
    has_properties = message.HasField("properties")
    properties = decode_row(message.properties, f"{place}.properties") if has_properties else {}
    return Link(*split_collection(message.collection, place), start, end, properties)


def _decode_unlink(message: pb.Unlink, place: str) -> Operation:
    start, end = decode_components(message.start, f"{place}.start"), decode_components(message.end, f"{place}.end")
    return Unlink(*split_collection(message.collection, place), start, end)


def _decode_neighbours(message: pb.Neighbours, place: str) -> Operation:
    realm, collection = split_collection(message.collection, place)
    of_realm, relationship = split_collection(message.relationship, f"{place}.relationship")
    if of_realm != realm:
        raise GritError.bad_request(f"{place}.relationship must be of realm {realm}, as the node is, not {of_realm}")
    direction = _DIRECTION_OF.get(message.direction)
    if direction is None:
        raise GritError.bad_request(f"{place}.direction is unknown: {message.direction}")
    key = decode_components(message.key, f"{place}.key")
    return Neighbours(realm, collection, key, relationship, direction)


# Each decoder takes the message of its kind, which WhichOneof has just named.
_DECODERS: Mapping[str, Callable[[Any, str], Operation]] = {
    "get": _decode_get,
    "get_many": _decode_get_many,
    "find": _decode_find,
    "count": _decode_count,
    "sum": _decode_sum,
    "insert": _decode_insert,
    "put": _decode_put,
    "patch": _decode_patch,
    "delete": _decode_delete,
    "increment": _decode_increment,
    "link": _decode_link,
    "unlink": _decode_unlink,
    "neighbours": _decode_neighbours,
}


def _encode_get(get: Get, name: str, packed: bool) -> pb.Operation:
    key = encode_components(get.key, packed=packed)
    return pb.Operation(get=pb.Get(collection=name, key=key, fields=get.fields or ()))


def _encode_get_many(get: GetMany, name: str, packed: bool) -> pb.Operation:
    keys = [encode_components(key, packed=packed) for key in get.keys]
    return pb.Operation(get_many=pb.GetMany(collection=name, keys=keys, fields=get.fields or ()))


def _encode_find(find: Find, name: str, packed: bool) -> pb.Operation:
    message = pb.Find(
        collection=name,
        where=encode_where(find.where, packed=packed),
        order_by=[pb.OrderBy(field=order.field, descending=order.descending) for order in find.order_by],
        limit=find.limit,
        fields=find.fields or (),
    )
    return pb.Operation(find=message)


def _encode_count(count: Count, name: str, packed: bool) -> pb.Operation:
    return pb.Operation(count=pb.Count(collection=name, where=encode_where(count.where, packed=packed)))


def _encode_sum(total: Sum, name: str, packed: bool) -> pb.Operation:
    where = encode_where(total.where, packed=packed)
    return pb.Operation(sum=pb.Sum(collection=name, field=total.field, where=where))


def _encode_insert(insert: Insert, name: str, packed: bool) -> pb.Operation:
    return pb.Operation(insert=pb.Insert(collection=name, record=encode_row(insert.row, packed=packed)))


def _encode_put(put: Put, name: str, packed: bool) -> pb.Operation:
    return pb.Operation(put=pb.Put(collection=name, record=encode_row(put.row, packed=packed)))


def _encode_patch(patch: Patch, name: str, packed: bool) -> pb.Operation:
    key, changes = encode_components(patch.key, packed=packed), encode_changes(patch.changes, packed=packed)
    return pb.Operation(patch=pb.Patch(collection=name, key=key, changes=changes))


def _encode_delete(delete: Delete, name: str, packed: bool) -> pb.Operation:
    key = encode_components(delete.key, packed=packed)
    return pb.Operation(delete=pb.Delete(collection=name, key=key, detach=delete.detach))


def _encode_increment(step: Increment, name: str, packed: bool) -> pb.Operation:
    key = encode_components(step.key, packed=packed)
    return pb.Operation(increment=pb.Increment(collection=name, key=key, field=step.field, delta=step.delta))


def _encode_link(link: Link, name: str, packed: bool) -> pb.Operation:
    start, end = encode_components(link.start, packed=packed), encode_components(link.end, packed=packed)
    properties = encode_row(link.properties, packed=packed) if link.properties else None
    return pb.Operation(link=pb.Link(collection=name, start=start, end=end, properties=properties))


def _encode_unlink(unlink: Unlink, name: str, packed: bool) -> pb.Operation:
    start, end = encode_components(unlink.start, packed=packed), encode_components(unlink.end, packed=packed)
    return pb.Operation(unlink=pb.Unlink(collection=name, start=start, end=end))


def _encode_neighbours(ask: Neighbours, name: str, packed: bool) -> pb.Operation:
    message = pb.Neighbours(
        collection=name,
        key=encode_components(ask.key, packed=packed),
        relationship=f"{ask.realm}.{ask.relationship}",
        direction=_DIRECTIONS[ask.direction],
    )
    return pb.Operation(neighbours=message)


# Each encoder takes the struct that it is filed under.
_ENCODERS: Mapping[type[Operation], Callable[[Any, str, bool], pb.Operation]] = {
    Get: _encode_get,
    GetMany: _encode_get_many,
    Find: _encode_find,
    Count: _encode_count,
    Sum: _encode_sum,
    Insert: _encode_insert,
    Put: _encode_put,
    Patch: _encode_patch,
    Delete: _encode_delete,
    Increment: _encode_increment,
    Link: _encode_link,
    Unlink: _encode_unlink,
    Neighbours: _encode_neighbours,
}
