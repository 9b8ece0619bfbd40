"""Operations held against the catalogue: what is refused, with which code, and how the rest is spelt."""

from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal

import pytest

from grit.core.catalog import Bound, Check, CollectionDef, FieldKind, FieldType, RealmDef, Shape
from grit.core.collection_rules import violated_check
from grit.core.errors import Code, GritError
from grit.core.ids import Collection, Key, Realm
from grit.core.keys import encode_key
from grit.core.limits import Limits
from grit.core.operations import (
    Begin,
    Condition,
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
    Operation,
    Patch,
    Put,
    Sum,
    Unlink,
)
from grit.core.predicate import And, Compare, Contains, In, IsNull, Not, Or, Prefix, Where, encode_expr
from grit.core.queries import OrderBy
from grit.core.validate import validated, validated_begin, validated_condition
from grit.core.values import Value

LIMITS = Limits(key_bytes=64, transaction_bytes=4096, keys_per_realm=2)


def field(kind: FieldKind, size: int | None = None, scale: int | None = None, *, nullable: bool = True) -> FieldType:
    return FieldType(kind, size, scale, nullable)


ID = FieldType(FieldKind.STRING, 10)
NOT_NEGATIVE = Check("n >= 0", encode_expr(Compare("n", ">=", 0)), ("n",))
EITHER = Check("n is null or m is null", encode_expr(Or((IsNull("n"), IsNull("m")))), ("m", "n"))


def collection(name: str, shape: Shape, fields: dict[str, FieldType], **more: Value) -> CollectionDef:
    return CollectionDef(Collection(name), shape, more.pop("key", ("id",)), fields, **more)


def realm(name: str, engine: str, *collections: CollectionDef) -> tuple[Realm, RealmDef]:
    return Realm(name), RealmDef(Realm(name), engine, "", {one.name: one for one in collections})


THINGS = collection(
    "things",
    Shape.TABLE,
    {
        "id": ID,
        "n": field(FieldKind.INT),
        "m": field(FieldKind.INT),
        "d": field(FieldKind.DECIMAL, 5, 2),
        "f": field(FieldKind.FLOAT),
        "s": field(FieldKind.STRING, 4),
        "b": field(FieldKind.BYTES, 2),
        "t": field(FieldKind.TIMESTAMP),
        "o": field(FieldKind.BOOL),
        "must": FieldType(FieldKind.INT),
        "u": field(FieldKind.INT),
        "r": field(FieldKind.INT),
        "held": field(FieldKind.INT),
    },
    bounds={"held": Bound(0, 9)},
    unique=(("u",),),
    references={"r": Collection("things")},
    checks=(NOT_NEGATIVE,),
)
PRICES = collection("prices", Shape.TABLE, {"at": FieldType(FieldKind.DECIMAL, 9, 2)}, key=("at",))
DOCS = collection("docs", Shape.DOCUMENT, {"id": ID, "l": field(FieldKind.LIST), "x": field(FieldKind.MAP)})
PERSON = collection("Person", Shape.NODE, {"id": ID, "tags": field(FieldKind.LIST)})
CITY = collection("City", Shape.NODE, {"id": ID})
LIVES = collection(
    "LIVES",
    Shape.RELATIONSHIP,
    {"start": ID, "end": ID, "since": FieldType(FieldKind.INT, nullable=True)},
    key=("start", "end"),
    start=Collection("Person"),
    end=Collection("City"),
)
CATALOGUE = dict(
    [realm("shop", "sqlite", THINGS, PRICES), realm("docs", "document", DOCS), realm("g", "graph", PERSON, CITY, LIVES)]
)
T = (Realm("shop"), Collection("things"))
D = (Realm("docs"), Collection("docs"))
P, C, L = ((Realm("g"), Collection(name)) for name in ("Person", "City", "LIVES"))
K = encode_key(["k"])


def refusal(operation: Operation) -> GritError:
    with pytest.raises(GritError) as raised:
        validated(operation, CATALOGUE, LIMITS)
    return raised.value


def put(**fields: Value) -> Put:
    return Put(*T, {"id": "k", "must": 1, **fields})


def where(expr: And | Compare | Contains | In | IsNull | Not | Or | Prefix) -> Count:
    return Count(*T, encode_expr(expr))


REFUSED: list[tuple[str, Operation, Code, str]] = [
    ("realm", Get(Realm("shp"), T[1], K), Code.UNKNOWN_COLLECTION, 'unknown realm "shp"; did you mean "shop"?'),
    ("collection", Get(T[0], Collection("thing"), K), Code.UNKNOWN_COLLECTION, 'did you mean "things"?'),
    (
        "field read",
        Get(*T, K, ("held", "hled")),
        Code.BAD_REQUEST,
        'shop.things: there is no field "hled"; did you mean "held"?',
    ),
    ("field written", put(mist=1), Code.BAD_REQUEST, 'no field "mist"'),
    ("field patched", Patch(*T, K, {"mist": 1}), Code.BAD_REQUEST, 'no field "mist"'),
    ("field of where", where(Compare("mist", "=", 1)), Code.BAD_REQUEST, 'no field "mist"'),
    ("field of order", Find(*T, order_by=(OrderBy("mist"),)), Code.BAD_REQUEST, 'no field "mist"'),
    ("malformed key", Get(*T, Key(b"\x09")), Code.BAD_REQUEST, "not a canonical key: 09"),
    ("key of two", Get(*T, encode_key(["a", "b"])), Code.BAD_REQUEST, "a key has 1 component(s): id; this has 2"),
    ("key of another type", Get(*T, encode_key([1])), Code.TYPE_MISMATCH, "shop.things.id must be string, not int"),
    ("long key string", Get(*T, encode_key(["x" * 11])), Code.TOO_LARGE, "shop.things.id may have 10 characters"),
    ("many keys", GetMany(*T, (K, K, K)), Code.TOO_LARGE, "get_many takes 2 keys"),
    ("no key field", Insert(*T, {"must": 1}), Code.BAD_REQUEST, 'the key field "id" is missing'),
    ("null key field", Insert(*T, {"id": None, "must": 1}), Code.CONSTRAINT, "shop.things.id must not be null"),
    ("missing not null", Insert(*T, {"id": "k"}), Code.CONSTRAINT, "shop.things.must must not be null; it is missing"),
    ("null not null", Patch(*T, K, {"must": None}), Code.CONSTRAINT, "shop.things.must must not be null"),
    ("bool as int", put(n=True), Code.TYPE_MISMATCH, "shop.things.n must be int, not bool"),
    ("text as int", put(n="1"), Code.TYPE_MISMATCH, "shop.things.n must be int, not string"),
    ("float as int", put(n=1.0), Code.TYPE_MISMATCH, "not float"),
    ("huge int", put(n=2**63), Code.TOO_LARGE, "beyond 64 bits"),
    ("float as decimal", put(d=1.5), Code.TYPE_MISMATCH, "must be decimal, not float"),
    ("decimal places", put(d=Decimal("1.005")), Code.TYPE_MISMATCH, "may have 2 decimal places"),
    ("decimal digits", put(d=Decimal("1234.5")), Code.TOO_LARGE, "may have 3 digits before the point"),
    ("decimal NaN", put(d=Decimal("NaN")), Code.TYPE_MISMATCH, "must be a number"),
    ("NaN", put(f=float("nan")), Code.TYPE_MISMATCH, "must be a number"),
    ("infinity", put(f=float("inf")), Code.TYPE_MISMATCH, "must be a number"),
    ("int beyond float", put(f=2**53 + 1), Code.TYPE_MISMATCH, "cannot hold"),
    ("long string", put(s="abcde"), Code.TOO_LARGE, "may have 4 characters; this has 5"),
    ("surrogate", put(s="\ud800"), Code.BAD_REQUEST, "not Unicode text"),
    ("long bytes", put(b=b"abc"), Code.TOO_LARGE, "may have 2 bytes"),
    ("text as bytes", put(b="ab"), Code.TYPE_MISMATCH, "must be bytes, not string"),
    (
        "naive time",
        put(t=datetime(2024, 1, 1, tzinfo=UTC).replace(tzinfo=None)),
        Code.TYPE_MISMATCH,
        "needs a time zone",
    ),
    ("int as bool", put(o=1), Code.TYPE_MISMATCH, "must be bool, not int"),
    ("list in a table", put(n=[1]), Code.TYPE_MISMATCH, "must be int, not list"),
    ("check", put(n=-1), Code.CONSTRAINT, "shop.things: the check 'n >= 0' does not hold"),
    ("bound of put", put(held=10), Code.BOUND_VIOLATION, "shop.things.held is 10; it may be 0 to 9"),
    ("bound of patch", Patch(*T, K, {"held": -1}), Code.BOUND_VIOLATION, "it may be 0 to 9"),
    ("empty patch", Patch(*T, K, {}), Code.BAD_REQUEST, "patch changes nothing"),
    ("patch of the key", Patch(*T, K, {"id": "x"}), Code.BAD_REQUEST, "a key field, which never changes"),
    ("large record", Insert(*D, {"id": "k", "big": "x" * 5000}), Code.TOO_LARGE, "a record may have 4,096 bytes"),
    ("large patch", Patch(*D, K, {"big": "x" * 5000}), Code.TOO_LARGE, "a record may have 4,096 bytes"),
    ("increment of text", Increment(*T, K, "s", 1), Code.TYPE_MISMATCH, "only declared int fields"),
    ("increment of decimal", Increment(*T, K, "d", 1), Code.TYPE_MISMATCH, "only declared int fields"),
    ("increment of unknown", Increment(*T, K, "nn", 1), Code.BAD_REQUEST, "no field"),
    ("increment of undeclared", Increment(*D, K, "views", 1), Code.TYPE_MISMATCH, "not declared"),
    (
        "increment in unique",
        Increment(*T, K, "u", 1),
        Code.BAD_REQUEST,
        "it is in a unique group; read it and patch it",
    ),
    ("increment in reference", Increment(*T, K, "r", 1), Code.BAD_REQUEST, "it is in a reference"),
    ("increment in check", Increment(*T, K, "n", 1), Code.BAD_REQUEST, "it is in the check 'n >= 0'"),
    ("huge delta", Increment(*T, K, "m", 2**63), Code.TOO_LARGE, "beyond 64 bits"),
    ("detach of a row", Delete(*T, K, detach=True), Code.BAD_REQUEST, "detach is for nodes; this is a table"),
    ("limit 0", Find(*T, limit=0), Code.BAD_REQUEST, "limit is 0; it must be at least 1"),
    ("order by a list", Find(*D, order_by=(OrderBy("l"),)), Code.BAD_REQUEST, 'cannot order by "l"'),
    ("order by undeclared", Find(*D, order_by=(OrderBy("any"),)), Code.BAD_REQUEST, 'cannot order by "any"'),
    ("sum of text", Sum(*T, "s"), Code.TYPE_MISMATCH, "sum is of declared number fields"),
    (
        "operand of another family",
        where(Compare("n", "=", "1")),
        Code.TYPE_MISMATCH,
        "shop.things.n in where must be int, not string",
    ),
    ("one of the operands", where(In("s", ("a", 1))), Code.TYPE_MISMATCH, "must be string, not int"),
    (
        "below and, or, not",
        where(And((Or((Not(Compare("o", "=", 1)),)),))),
        Code.TYPE_MISMATCH,
        "must be bool, not int",
    ),
    ("list operand", where(Compare("n", "=", [1])), Code.TYPE_MISMATCH, "must be a single value"),
    ("prefix of a number", where(Prefix("n", "1")), Code.TYPE_MISMATCH, "`prefix` asks for a string field"),
    ("contains of a number", where(Contains("n", 1)), Code.TYPE_MISMATCH, "`contains` asks for a list or string field"),
    ("malformed where", Count(*T, Where(b"\x93\x01")), Code.BAD_REQUEST, "shop.things: "),
    ("document field with a dot", Insert(*D, {"id": "k", "a.b": 1}), Code.BAD_REQUEST, "has no dot"),
    ("document field with a dollar", Insert(*D, {"id": "k", "$set": 1}), Code.BAD_REQUEST, "does not begin with $"),
    ("map for a list", Insert(*D, {"id": "k", "l": {}}), Code.TYPE_MISMATCH, "docs.docs.l must be list, not map"),
    (
        "NaN deep inside",
        Insert(*D, {"id": "k", "x": {"a": [float("nan")]}}),
        Code.TYPE_MISMATCH,
        "docs.docs.x.a[0] must be",
    ),
    ("mixed list in a graph", Put(*P, {"id": "k", "tags": [1, "a"]}), Code.TYPE_MISMATCH, "lists of one type"),
    ("null in a graph's list", Put(*P, {"id": "k", "tags": [None]}), Code.TYPE_MISMATCH, "without null"),
    (
        "list in a graph's list",
        Put(*P, {"id": "k", "tags": [[1]]}),
        Code.TYPE_MISMATCH,
        "must be a single value, not list",
    ),
    ("insert of a relationship", Insert(*L, {"start": "a", "end": "b"}), Code.BAD_REQUEST, "use link"),
    ("delete of a relationship", Delete(*L, encode_key(["a", "b"])), Code.BAD_REQUEST, "use unlink"),
    ("link of nodes", Link(*P, K, K), Code.BAD_REQUEST, "link is for relationships; this is a node"),
    ("unlink of rows", Unlink(*T, K, K), Code.BAD_REQUEST, "unlink is for relationships; this is a table"),
    ("link to a wrong key", Link(*L, K, encode_key([1])), Code.TYPE_MISMATCH, "g.City.id must be string, not int"),
    ("property start", Link(*L, K, K, {"start": "x"}), Code.BAD_REQUEST, "not a property"),
    ("property unknown", Link(*L, K, K, {"sinse": 1}), Code.BAD_REQUEST, 'did you mean "since"?'),
    ("property type", Link(*L, K, K, {"since": "x"}), Code.TYPE_MISMATCH, "g.LIVES.since must be int"),
    (
        "neighbours by a label",
        Neighbours(*P, K, Collection("City")),
        Code.BAD_REQUEST,
        "neighbours is for relationships",
    ),
    (
        "neighbours of the wrong end",
        Neighbours(*C, K, Collection("LIVES")),
        Code.BAD_REQUEST,
        "goes from Person to City",
    ),
    (
        "neighbours both ways",
        Neighbours(*P, K, L[1], Direction.BOTH),
        Code.BAD_REQUEST,
        "both of a Person holds nothing",
    ),
]


@pytest.mark.parametrize(
    ("operation", "code", "words"), [case[1:] for case in REFUSED], ids=[case[0] for case in REFUSED]
)
def test_what_cannot_succeed_is_refused_with_place_and_remedy(operation: Operation, code: Code, words: str) -> None:
    error = refusal(operation)
    assert error.code == code, error
    assert words in error.message
    assert "\n" not in error.message


def test_a_key_beyond_the_limit_is_too_large() -> None:
    with pytest.raises(GritError, match="a key may have 16 bytes; this has") as raised:
        validated(Get(*T, encode_key(["\0" * 10])), CATALOGUE, Limits(key_bytes=16))
    assert raised.value.code == Code.TOO_LARGE


def test_a_value_nested_too_deep_is_too_large() -> None:
    operation = Insert(*D, {"id": "k", "x": {"a": {"b": {}}}})
    validated(operation, CATALOGUE, Limits(value_depth=3))
    with pytest.raises(GritError, match=r"docs.docs.x.a.b is nested too deep"):
        validated(operation, CATALOGUE, Limits(value_depth=2))


def test_an_insert_gets_the_key_that_its_record_holds() -> None:
    inserted = validated(Insert(*T, {"id": "e\u0301", "must": 1}), CATALOGUE, LIMITS)
    assert isinstance(inserted, Insert)
    assert inserted.row["id"] == "\u00e9"
    assert inserted.key == encode_key(["\u00e9"])


def test_values_are_spelt_as_their_fields_spell_them() -> None:
    there = datetime(2024, 1, 1, 2, tzinfo=timezone(timedelta(hours=2)))
    changed = validated(put(d=3, f=2, t=there, s=None), CATALOGUE, LIMITS)
    assert isinstance(changed, Put)
    assert changed.row == {"id": "k", "must": 1, "d": Decimal(3), "f": 2.0, "t": datetime(2024, 1, 1, tzinfo=UTC)}
    assert [type(changed.row[name]) for name in "df"] == [Decimal, float]


def test_an_int_is_the_decimal_key_of_a_decimal_field() -> None:
    found = validated(Get(Realm("shop"), Collection("prices"), encode_key([3])), CATALOGUE, LIMITS)
    assert isinstance(found, Get)
    assert found.key == encode_key([Decimal("3.00")])


def test_a_patch_keeps_its_nulls() -> None:
    patched = validated(Patch(*T, K, {"s": None}), CATALOGUE, LIMITS)
    assert isinstance(patched, Patch)
    assert patched.changes == {"s": None}


def test_numbers_of_any_type_are_operands_of_number_fields() -> None:
    expr = And((Compare("n", ">", Decimal("1.5")), Compare("d", "<", 3), Compare("f", "=", 1), Compare("n", "=", None)))
    assert validated(where(expr), CATALOGUE, LIMITS) == where(expr)


def test_undeclared_fields_of_a_document_are_compared_with_anything() -> None:
    count = Count(*D, encode_expr(Or((Compare("any", "=", "x"), Contains("any", 1), Prefix("any", "p")))))
    assert validated(count, CATALOGUE, LIMITS) == count


def test_fields_are_read_once_each() -> None:
    found = validated(Get(*T, K, ("n", "m", "n")), CATALOGUE, LIMITS)
    assert isinstance(found, Get)
    assert found.fields == ("n", "m")


@pytest.mark.parametrize(
    "operation",
    [
        Get(*T, K),
        GetMany(*T, (K, K)),
        Find(*T, order_by=(OrderBy("n", descending=True),), limit=1),
        Sum(*T, "d"),
        Delete(*P, K, detach=True),
        Increment(*T, K, "held", -3),
        Increment(*T, K, "m", 1),
        Increment(*L, encode_key(["a", "b"]), "since", 1),
        Link(*L, K, K, {"since": 3}),
        Unlink(*L, K, K),
        Neighbours(*P, K, L[1]),
        Neighbours(*C, K, L[1], Direction.IN),
    ],
)
def test_what_can_succeed_passes_unchanged(operation: Operation) -> None:
    assert validated(operation, CATALOGUE, LIMITS) == operation


def test_a_condition_is_held_against_the_catalogue_too() -> None:
    condition = Condition(*T, K, where=encode_expr(Compare("n", ">", 1)))
    assert validated_condition(condition, CATALOGUE, LIMITS) == condition
    with pytest.raises(GritError, match="must be int, not string"):
        validated_condition(Condition(*T, K, where=encode_expr(Compare("n", "=", "x"))), CATALOGUE, LIMITS)


@pytest.mark.parametrize(
    ("begin", "code"),
    [
        (Begin(staleness_ms=5), Code.BAD_REQUEST),
        (Begin(idempotency_key="k" * 257), Code.TOO_LARGE),
        (Begin(timeout_ms=30_001), Code.BAD_REQUEST),
    ],
)
def test_a_begin_that_cannot_be_had_is_refused(begin: Begin, code: Code) -> None:
    with pytest.raises(GritError) as raised:
        validated_begin(begin, Limits())
    assert raised.value.code == code


def test_a_read_only_begin_is_taken_as_it_is() -> None:
    assert validated_begin(Begin(read_only=True, timeout_ms=5), Limits()) == Begin(read_only=True, timeout_ms=5)


def test_a_begin_without_time_out_gets_the_default() -> None:
    assert validated_begin(Begin(), Limits()).timeout_ms == 30_000
    assert validated_begin(Begin(timeout_ms=7), Limits()).timeout_ms == 7


@pytest.mark.parametrize(
    ("row", "holds"),
    [({"n": 1}, True), ({"n": -1}, False), ({}, True), ({"n": None}, True)],
)
def test_a_check_that_a_null_leaves_undecided_holds_as_in_sql(row: dict[str, Value], holds: bool) -> None:
    assert (violated_check(THINGS, row) is None) == holds


def test_a_check_of_null_itself_is_decided() -> None:
    definition = collection("c", Shape.TABLE, {"id": ID}, checks=(EITHER,))
    assert violated_check(definition, {"n": 1}) is None
    assert violated_check(definition, {"n": 1, "m": 1}) == EITHER


def test_a_check_that_a_field_is_not_null_breaks_where_it_is() -> None:
    there = Check("n is not null", encode_expr(Not(IsNull("n"))), ("n",))
    definition = collection("c", Shape.TABLE, {"id": ID}, checks=(there,))
    assert violated_check(definition, {}) == there
    assert violated_check(definition, {"n": 0}) is None


def test_what_may_be_stale_is_read_as_a_snapshot() -> None:
    assert validated_begin(Begin(read_only=True, staleness_ms=5), Limits()).snapshot
    assert not validated_begin(Begin(read_only=True), Limits()).snapshot
