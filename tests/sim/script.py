"""Transactions as lines of text: what random runs are made of, what a trace shows, and what a scenario file holds.

    begin key=k1 status          an idempotency key; somebody asks for its status while its commit is on its way
      get table.items 1; count document.docs a<=1
      call 1 patch table.items 1 {"a":2}       carried out by a service that this one has called
      drop 1                                    its effects are discarded
      commit add table.items 1 n -1            the last operations come with the commit

Operations of one line are one request. Keys are numbers, predicates comparisons joined by `&`, rows JSON without spaces.
"""

import json
from collections.abc import Callable, Iterable, Mapping
from enum import StrEnum

import msgspec

from grit.core.ids import Collection, Key, Realm
from grit.core.keys import encode_key
from grit.core.operations import (
    Count,
    Delete,
    Find,
    Get,
    GetMany,
    Increment,
    Insert,
    Link,
    Neighbours,
    Operation,
    Patch,
    Put,
    Sum,
    Unlink,
)
from grit.core.predicate import And, Compare, Expr, Where, encode_expr
from grit.core.queries import OrderBy

OPERATORS = ("<=", ">=", "!=", "<", ">", "=")
WRITES = (Insert, Put, Patch, Delete, Increment, Link, Unlink)


class Kind(StrEnum):
    """What a request asks for."""

    RUN = "run"
    DROP = "drop"
    COMMIT = "commit"


class Request(msgspec.Struct, frozen=True):
    """One request to the home. `call`: the number of the call that it belongs to; 0 = the service that began."""

    kind: Kind
    operations: tuple[Operation, ...] = ()
    call: int = 0

    @property
    def is_blind(self) -> bool:
        """Tell whether nobody needs its answer: only writes."""
        return all(isinstance(operation, WRITES) for operation in self.operations)


class Program(msgspec.Struct, frozen=True):
    """One transaction. `lines`: as it is written."""

    lines: tuple[str, ...]
    requests: tuple[Request, ...]
    key: str = ""
    is_asked_about: bool = False


def program(lines: Iterable[str]) -> Program:
    """Parse a transaction; the first line is `begin ...`, the last `commit ...`."""
    kept = tuple(line.strip() for line in lines)
    options = kept[0].split()[1:]
    key = next((option.removeprefix("key=") for option in options if option.startswith("key=")), "")
    requests = tuple(_request(line) for line in kept[1:])
    assert requests[-1].kind == Kind.COMMIT, f"a transaction ends with its commit: {kept}"
    return Program(kept, requests, key, "status" in options)


def _request(line: str) -> Request:
    word, _, rest = line.partition(" ")
    if word == "drop":
        return Request(Kind.DROP, call=int(rest))
    if word == "commit":
        return Request(Kind.COMMIT, _operations(rest))
    if word == "call":
        number, _, rest = rest.partition(" ")
        return Request(Kind.RUN, _operations(rest), int(number))
    return Request(Kind.RUN, _operations(line))


def _operations(text: str) -> tuple[Operation, ...]:
    return tuple(operation(one) for one in text.split(";") if one.strip())


def operation(text: str) -> Operation:
    """Parse one operation."""
    verb, place, *rest = text.split()
    realm, collection = place.split(".")
    return _PARSERS[verb](Realm(realm), Collection(collection), rest)


def at(number: str) -> Key:
    """Return a key."""
    return encode_key([int(number)])


def where(text: str) -> Where:
    """Return a predicate."""
    leaves = [_compare(one) for one in text.split("&")]
    return encode_expr(leaves[0] if len(leaves) == 1 else And(tuple(leaves)))


def _compare(text: str) -> Expr:
    op = next(op for op in OPERATORS if op in text)
    field, value = text.split(op)
    return Compare(field, op, int(value))


def _find(realm: Realm, collection: Collection, rest: list[str]) -> Find:
    options = dict(zip(rest[1::2], rest[2::2], strict=True))
    order = options.get("order", "")
    by = (OrderBy(order.lstrip("-"), order.startswith("-")),) if order else ()
    return Find(realm, collection, where(rest[0]), by, int(options["limit"]) if "limit" in options else None)


_PARSERS: Mapping[str, Callable[[Realm, Collection, list[str]], Operation]] = {
    "get": lambda r, c, rest: Get(r, c, at(rest[0])),
    "many": lambda r, c, rest: GetMany(r, c, tuple(at(number) for number in rest)),
    "count": lambda r, c, rest: Count(r, c, where(rest[0])),
    "sum": lambda r, c, rest: Sum(r, c, rest[0], where(rest[1])),
    "find": _find,
    "insert": lambda r, c, rest: Insert(r, c, row := json.loads(rest[0]), encode_key([row["k"]])),
    "put": lambda r, c, rest: Put(r, c, row := json.loads(rest[0]), encode_key([row["k"]])),
    "patch": lambda r, c, rest: Patch(r, c, at(rest[0]), json.loads(rest[1])),
    "delete": lambda r, c, rest: Delete(r, c, at(rest[0])),
    "add": lambda r, c, rest: Increment(r, c, at(rest[0]), rest[1], int(rest[2])),
    "neighbours": lambda r, c, rest: Neighbours(r, c, at(rest[0]), Collection(rest[1])),
    "link": lambda r, c, rest: Link(r, c, at(rest[0]), at(rest[1]), json.loads(rest[2])),
    "unlink": lambda r, c, rest: Unlink(r, c, at(rest[0]), at(rest[1])),
}

WORDS = frozenset({"commit", "call", "drop", *_PARSERS})
"""With what the lines of a transaction begin."""
