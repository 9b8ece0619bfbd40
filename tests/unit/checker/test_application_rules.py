"""Rules of the application: read strictly, held to one consistent cut, bisected to the transaction that broke them."""

from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal

import msgspec
import pytest

from grit.checker.check import check_app
from grit.checker.report import Report, Verdict
from grit.checker.rules import Rule, parse_rules
from grit.checker.tables import Tables, columns_of, realms_named_in
from grit.core.catalog import CollectionDef, FieldKind, FieldType, RealmDef, Shape
from grit.core.errors import ConfigError
from grit.core.ids import Collection, Realm
from grit.core.keys import encode_key
from grit.core.records import Entries
from grit.core.values import encode_record
from tests.unit.checker.recorded import CARTS, ORDERS, Recorded, delete, increment, patch, put

SAME = "SELECT o.id FROM orders.items o LEFT JOIN carts.items c ON o.id = c.id WHERE c.id IS NULL"


def rule(sql: str, *, id_: str = "R1") -> Rule:
    return Rule(id_, "every order has a cart", sql, "RULES.yaml:4")


async def check(run: Recorded, *sql: str, at: int | None = None) -> Report:
    return await check_app([rule(text, id_=f"R{i + 1}") for i, text in enumerate(sql)], run.sources(), at=at)


def shop() -> Recorded:
    """Return a run that is right up to Csn 2, and whose third global wrote orders only."""
    run = Recorded()
    run.globally((put(1, "a", 5),), (put(1, "a"),))
    run.globally((put(2, "b", 5),), (put(2, "b"),))
    run.globally((put(3, "c", 5),), ())
    run.globally((increment(1, 1),), ())
    return run


async def test_rules_that_hold_are_valid() -> None:
    report = await check(shop(), "SELECT * FROM orders.items WHERE count < 0")
    assert report.verdict == Verdict.VALID
    assert report.coverage == {"rules": 1, "rows": 3, "csn": 4}


async def test_a_broken_rule_returns_its_rows_and_the_transaction_that_broke_it() -> None:
    run = shop()
    report = await check(run, SAME)
    (finding,) = report.findings
    assert (finding.property, finding.csn, finding.found) == ("R1", 3, "id=3")
    assert "First failed at Csn 3, transaction" in finding.message
    assert "it wrote orders, not carts" in finding.message
    assert report.text().endswith("INVALID 4 transactions 1 findings")


async def test_a_rule_that_a_local_transaction_broke_names_it() -> None:
    run = shop()
    txid = run.local(ORDERS, put(1, "a", -3))
    run.local(ORDERS, put(2, "b", 7))
    (finding,) = (await check(run, "SELECT id FROM orders.items WHERE count < 0")).findings
    assert (finding.txid, finding.csn) == (txid, 4)
    assert "in a local transaction after Csn 4" in finding.message


async def test_time_travel_shows_the_state_at_a_csn() -> None:
    run = shop()
    run.local(ORDERS, delete(3))
    assert (await check(run, SAME)).verdict == Verdict.VALID
    assert (await check(run, SAME, at=2)).verdict == Verdict.VALID
    assert (await check(run, SAME, at=3)).verdict == Verdict.INVALID


async def test_a_csn_that_not_every_realm_has_is_refused() -> None:
    with pytest.raises(ConfigError, match="--at 9: the newest Csn at which every realm is complete is 4"):
        await check(shop(), SAME, at=9)


async def test_the_cut_shows_all_or_nothing_of_a_global_that_one_realm_has_not_merged_yet() -> None:
    run = shop()
    entry = run.decide((put(9, "x"),), (put(9, "x"),))
    run.merge(ORDERS, entry, (put(9, "x"),))
    report = await check(run, "SELECT id FROM orders.items WHERE id = 9")
    assert report.verdict == Verdict.VALID
    assert report.coverage["csn"] == 4


async def test_a_rule_that_fails_on_empty_tables_says_so() -> None:
    (finding,) = (await check(shop(), "SELECT 1 AS one")).findings
    assert "does not hold for empty tables either" in finding.message


async def test_data_that_is_older_than_the_log_is_a_gap() -> None:
    run = Recorded()
    run.local(ORDERS, put(1, "a"))
    record = run.dbtl[ORDERS][3]
    assert isinstance(record, Entries)
    entry = record.entries[0]
    image = msgspec.structs.replace(entry.images[0], before=encode_record({"id": 1, "name": "old", "count": 0}))
    changed = msgspec.structs.replace(entry, images=(image,))
    run.dbtl[ORDERS][3] = msgspec.structs.replace(record, entries=(changed,))
    report = await check(run, "SELECT * FROM orders.items WHERE count < 0")
    assert report.verdict == Verdict.UNKNOWN
    assert "realm orders" in report.gaps[0]


@pytest.mark.parametrize(
    "sql",
    [
        "DELETE FROM orders.items",
        "SELECT id FROM orders.ghosts",
        "SELECT id FROM orders.items; SELECT 1",
        "SELEKT id FROM orders.items",
        "ATTACH '/tmp/x' AS x",
        "PRAGMA table_info(items)",
        "SELECT * FROM pragma_table_info('items'), orders.items",
        "SELECT load_extension('x') FROM orders.items",
    ],
)
async def test_a_rule_that_is_no_query_is_refused_with_its_line(sql: str) -> None:
    with pytest.raises(ConfigError, match=r"RULES\.yaml:4: rule R1: .*A rule is one SELECT over"):
        await check(shop(), f"{sql} -- orders.items")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("rules: [", r"R\.yaml:1: not YAML"),
        ("\x00", r"R\.yaml:1: not YAML"),
        ("", r"R\.yaml:1: a file of rules holds one list"),
        ("checks: []", r"R\.yaml:1: a file of rules holds one list"),
        ("rules: []", r"R\.yaml:1: rules is a list"),
        ("rules:\n- R1\n", r"R\.yaml:2: a rule has id, title and sql"),
        ("rules:\n- id: a\n  title: b\n", r"R\.yaml:2: the rule lacks sql"),
        ("rules:\n- id: a\n  title: b\n  sql:\n", r"R\.yaml:4: sql is a text"),
        ("rules:\n- id: a\n  titel: b\n", r"R\.yaml:3: 'titel' is unknown; a rule has id, title, sql"),
        ("rules:\n- id: a\n  id: b\n", r"R\.yaml:3: 'id' is there twice"),
        (
            "rules:\n- {id: a, title: t, sql: s}\n- {id: a, title: t, sql: s}\n",
            r"R\.yaml:3: rule a is there twice, see R\.yaml:2",
        ),
    ],
)
def test_a_file_of_rules_that_makes_no_sense_is_refused_with_its_line(text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        parse_rules(text, "R.yaml")


def test_a_file_of_rules_is_read_with_the_places_of_its_queries() -> None:
    text = "rules:\n- id: R1\n  title: no debt\n  sql: |\n    SELECT 1\n"
    assert parse_rules(text, "R.yaml") == (Rule("R1", "no debt", "SELECT 1\n", "R.yaml:4"),)


# How records become rows.

KINDS = Collection("all kinds")


def tables_with(definition: CollectionDef, row: Mapping[str, object], sql: str) -> list[str]:
    realm = RealmDef(Realm("my shop"), "memory", "", {definition.name: definition})
    image = encode_record(row)
    with Tables([realm]) as tables:
        query = rule(sql)
        wanted = tables.collections_of(query)
        tables.fill({realm.name: {(definition.name, encode_key((1,))): image}}, wanted)
        broken = tables.broken_by(query)
    return list(broken.rows) if broken else []


def test_every_kind_of_value_has_its_column() -> None:
    fields = {name: FieldType(FieldKind.STRING) for name in ("id", "yes", "price", "whole", "at", "tags", "gone")}
    definition = CollectionDef(KINDS, Shape.TABLE, ("id",), fields)
    row = {
        "id": 1,
        "yes": True,
        "price": Decimal("1.50"),
        "whole": Decimal(3),
        "at": datetime(2026, 1, 2, tzinfo=UTC),
        "tags": ["a", {"b": Decimal("0.5")}],
    }
    (told,) = tables_with(definition, row, 'SELECT * FROM "my shop"."all kinds"')
    assert told == (
        "id=1, yes=1, price=1.5, whole=3, at='2026-01-02T00:00:00.000000Z', tags='[\"a\",{\"b\":0.5}]', gone=None"
    )


def test_a_document_is_there_as_json_too() -> None:
    definition = CollectionDef(KINDS, Shape.DOCUMENT, ("id",), {"id": FieldType(FieldKind.INT)})
    sql = 'SELECT json_extract(_record, \'$.more.x\') AS x FROM "my shop"."all kinds"'
    assert tables_with(definition, {"id": 1, "more": {"x": 7}}, sql) == ["x=7"]


def test_a_relationship_has_start_and_end() -> None:
    definition = CollectionDef(KINDS, Shape.RELATIONSHIP, ("start", "end"), {"since": FieldType(FieldKind.INT)})
    assert columns_of(definition) == ("start", "end", "since")


def test_a_rule_that_never_ends_is_ended() -> None:
    endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n"
    with Tables([], steps_max=300_000) as tables, pytest.raises(ConfigError, match="it takes too long"):
        tables.broken_by(rule(endless))


def test_only_the_realms_that_the_rules_name_are_laid_out() -> None:
    definition = CollectionDef(KINDS, Shape.TABLE, ("id",), {})
    realms = {
        name: RealmDef(name, "memory", "", {Collection(f"of {name}"): definition})
        for name in map(Realm, ("a1", "b1", "c1"))
    }
    by_realm, by_collection = rule("SELECT * FROM A1.x"), rule('SELECT * FROM "OF B1"')
    assert [realm.name for realm in realms_named_in([by_realm, by_collection], realms)] == ["a1", "b1"]


async def test_many_rows_are_counted_and_the_first_are_told() -> None:
    run = Recorded()
    run.globally(tuple(put(number, "x") for number in range(30)), ())
    (finding,) = (await check(run, "SELECT id FROM orders.items")).findings
    assert "every order has a cart: 30 rows." in finding.message
    assert finding.found.startswith("id=0; id=1;")
    assert finding.found.endswith("id=19; ...")


async def test_an_order_patched_away_is_seen_by_the_rule_of_names() -> None:
    run = shop()
    run.local(CARTS, patch(1, None))
    (finding,) = (await check(run, "SELECT id FROM carts.items WHERE name IS NULL")).findings
    assert finding.found == "id=1"
