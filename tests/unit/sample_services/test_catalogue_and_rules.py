"""The catalogue and the rules that ship with the marketplace: they load, and every rule can be broken."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from grit.checker.replay import Images
from grit.checker.rules import Rule, parse_rules
from grit.checker.tables import Tables
from grit.config.load import load_config
from grit.config.model import Config
from grit.core.ids import Collection, Realm
from grit.core.keys import encode_key
from grit.core.values import Value, encode_record

SERVICES = Path(__file__).parents[3] / "sample_services"
Rows = Mapping[str, list[dict[str, Value]]]

SOUND: Rows = {
    "cart.carts": [
        {"customer": "c1", "items": [], "status": "empty", "version": 2},
        {"customer": "c2", "items": [{"seller": "s1", "product": "a", "qty": 1}], "status": "open", "version": 1},
    ],
    "stock.stock_item": [
        {"seller": "s1", "product": "a", "price_cents": 5, "initial": 9, "restocked": 1, "on_hand": 8, "sold": 2},
        {"seller": "s1", "product": "b", "price_cents": 7, "initial": 9, "restocked": 0, "on_hand": 8, "sold": 1},
    ],
    "orders.orders": [{"order_id": "c1-1", "customer": "c1", "cart_version": 1, "total_cents": 17, "status": "paid"}],
    "orders.order_items": [
        {"order_id": "c1-1", "line": 1, "seller": "s1", "product": "a", "qty": 2, "price_cents": 5},
        {"order_id": "c1-1", "line": 2, "seller": "s1", "product": "b", "qty": 1, "price_cents": 7},
    ],
    "payment.account": [
        {"customer": "c1", "initial_cents": 100, "balance_cents": 83},
        {"customer": "c2", "initial_cents": 100, "balance_cents": 100},
    ],
    "payment.ledger": [
        {"entry": "c1-1/c1", "txn": "c1-1", "account": "c1", "amount_cents": -17},
        {"entry": "c1-1/platform", "txn": "c1-1", "account": "platform", "amount_cents": 17},
    ],
    "payment.payments": [{"order_id": "c1-1", "customer": "c1", "amount_cents": 17}],
    "social.Customer": [{"customer": "c1"}],
    "social.Product": [{"product": "a"}, {"product": "b"}],
    "social.Purchase": [{"order_id": "c1-1", "customer": "c1"}],
    "social.MADE": [{"start": "c1", "end": "c1-1"}],
    "social.PURCHASED": [{"start": "c1-1", "end": "a", "qty": 2}, {"start": "c1-1", "end": "b", "qty": 1}],
    "social.BOUGHT_WITH": [{"start": "a", "end": "b", "n": 1}],
}
"""One checkout that all databases agree on."""


@pytest.fixture(scope="module")
def config() -> Config:
    return load_config(SERVICES / "grit.yaml", {})


@pytest.fixture(scope="module")
def rules() -> tuple[Rule, ...]:
    path = SERVICES / "RULES.yaml"
    return parse_rules(path.read_text(encoding="utf-8"), str(path))


def broken(config: Config, rules: tuple[Rule, ...], rows: Rows) -> set[str]:
    """Return the rules that do not hold for these rows."""
    states: dict[Realm, Images] = {realm: {} for realm in config.realms}
    for name, records in rows.items():
        realm, collection = Realm(name.split(".")[0]), Collection(name.split(".")[1])
        definition = config.realms[realm].collections[collection]
        images = {(collection, encode_key(definition.key_of(row))): encode_record(row) for row in records}
        states[realm] = {**states[realm], **images}
    with Tables(config.realms.values()) as tables:
        named = [tables.collections_of(rule) for rule in rules]
        tables.fill(states, frozenset().union(*named))
        return {rule.id for rule in rules if tables.broken_by(rule)}


def with_row(name: str, at: int, **changes: Value) -> Rows:
    """Return the sound rows with one of them changed."""
    rows = [dict(row) for row in SOUND[name]]
    rows[at].update(changes)
    return {**SOUND, name: rows}


def without(name: str) -> Rows:
    return {**SOUND, name: SOUND[name][1:]}


def test_the_catalogue_has_five_realms_of_three_kinds(config: Config) -> None:
    assert {name: realm.engine for name, realm in config.realms.items()} == {
        "cart": "document",
        "stock": "sqlite",
        "orders": "sqlite",
        "payment": "sqlite",
        "social": "graph",
    }


def test_every_realm_has_the_address_of_its_dbtm_so_that_each_role_can_be_a_process(config: Config) -> None:
    addresses = [address for realm in config.realms.values() for address in realm.dbtm]
    assert len(set(addresses)) == len(config.realms)
    assert config.gtm


def test_the_rules_of_the_first_version_are_there(rules: tuple[Rule, ...]) -> None:
    assert [rule.id for rule in rules] == ["R1", "R2", "R3", "R4", "R6", "R7"]


def test_every_rule_holds_for_an_empty_shop_and_after_a_sound_checkout(config: Config, rules: tuple[Rule, ...]) -> None:
    assert broken(config, rules, {}) == set()
    assert broken(config, rules, SOUND) == set()


@pytest.mark.parametrize(
    ("expected", "rows"),
    [
        ({"R1"}, with_row("stock.stock_item", 0, on_hand=7)),
        ({"R1"}, with_row("stock.stock_item", 1, on_hand=-1, initial=0)),
        ({"R2"}, with_row("stock.stock_item", 0, on_hand=9, sold=1)),
        ({"R2"}, without("stock.stock_item")),
        ({"R2", "R6"}, with_row("orders.orders", 0, status="cancelled")),
        ({"R3"}, with_row("payment.account", 1, balance_cents=99)),
        ({"R3"}, with_row("payment.ledger", 1, amount_cents=16)),
        ({"R3"}, without("payment.ledger")),
        ({"R4"}, with_row("payment.payments", 0, amount_cents=16)),
        ({"R4"}, without("payment.payments")),
        ({"R4"}, with_row("payment.payments", 0, order_id="c9-9")),
        ({"R4"}, with_row("orders.orders", 0, total_cents=16)),
        ({"R6"}, without("social.PURCHASED")),
        ({"R6"}, with_row("social.PURCHASED", 0, qty=3)),
        ({"R6"}, with_row("social.PURCHASED", 0, start="c9-9")),
        ({"R6"}, without("social.MADE")),
        ({"R6"}, with_row("social.BOUGHT_WITH", 0, n=2)),
        ({"R6"}, without("social.BOUGHT_WITH")),
        ({"R6"}, with_row("social.BOUGHT_WITH", 0, end="c")),
        ({"R7"}, with_row("cart.carts", 0, version=1)),
        ({"R7"}, without("cart.carts")),
    ],
)
def test_what_breaks_a_rule_is_found_by_that_rule(
    config: Config, rules: tuple[Rule, ...], expected: set[str], rows: Rows
) -> None:
    assert broken(config, rules, rows) == expected
