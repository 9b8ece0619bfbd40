from pathlib import Path

import pytest

from grit.config.builtin import builtin_config
from grit.config.load import load_config, parse_config
from grit.config.model import ElectorConfig, LogConfig, SidecarConfig, TelemetryConfig
from grit.core.catalog import Bound, FieldKind, FieldType, Shape
from grit.core.ids import Collection, Realm
from grit.core.limits import LIMIT_BOUNDS, Limits

WHOLE = """
log: {kind: embedded, path: var/log}
gtm: ["127.0.0.1:7410", "[::1]:7411", "unix:/run/gtm"]
elector: {kind: file, path: var/elector}
sidecar: {listen: "0.0.0.0:${PORT}", advertise: "shop.example:7400"}
telemetry: {log_level: debug, log_format: json, metrics_port: 9100, trace_file: spans.jsonl}
limits: {park_ms: "${PARK:-7}", keys_per_realm: 1_000}
realms:
  orders:
    engine: sqlite
    url: ${DB}
    dbtm: ["127.0.0.1:7420"]
    collections:
      customers: {key: [customer], fields: {customer: string(40)}}
      orders:
        key: [customer, nr]
        fields:
          customer: string(40)
          nr: int
          price: decimal(12,2)?
          at: timestamp
        unique: [[at, nr]]
        references: {customer: customers}
        check: ["price >= 0 or price is null"]
      stock:
        key: [product]
        fields: {product: int, on_hand: int}
        bounds: {on_hand: {min: 0, max: 9}}
  social:
    engine: graph
    url: social.db
    collections:
      KNOWS: {start: Person, end: Person, fields: {since: timestamp}}
      Person: {key: [name], fields: {name: string(30)}}
"""
ENVIRON = {"PORT": "7400", "DB": "/data/orders.db"}


def test_a_whole_configuration_becomes_what_it_says() -> None:
    config = parse_config(WHOLE, "grit.yaml", Path("/base"), ENVIRON)
    assert config.log == LogConfig("embedded", Path("/base/var/log"))
    assert config.gtm == ("127.0.0.1:7410", "[::1]:7411", "unix:/run/gtm")
    assert config.elector == ElectorConfig("file", Path("/base/var/elector"))
    assert config.sidecar == SidecarConfig("0.0.0.0:7400", "shop.example:7400")
    assert config.telemetry == TelemetryConfig("debug", "json", 9100, Path("/base/spans.jsonl"))
    assert config.limits == Limits(park_ms=7, keys_per_realm=1000)
    realm = config.realms[Realm("orders")]
    assert (realm.url, realm.dbtm) == ("/data/orders.db", ("127.0.0.1:7420",))
    orders = realm.collections[Collection("orders")]
    assert orders.shape == Shape.TABLE
    assert orders.key == ("customer", "nr")
    assert orders.fields["price"] == FieldType(FieldKind.DECIMAL, 12, 2, nullable=True)
    assert orders.unique == (("at", "nr"),)
    assert orders.references == {"customer": "customers"}
    assert orders.checks[0].fields == ("price",)
    assert realm.collections[Collection("stock")].bounds == {"on_hand": Bound(0, 9)}


def test_a_relationship_has_the_keys_of_its_nodes_and_may_stand_before_them() -> None:
    social = parse_config(WHOLE, "grit.yaml", Path("/base"), ENVIRON).realms[Realm("social")]
    knows = social.collections[Collection("KNOWS")]
    assert list(social.collections) == ["KNOWS", "Person"]
    assert (knows.shape, knows.key, knows.start, knows.end) == (
        Shape.RELATIONSHIP,
        ("start", "end"),
        "Person",
        "Person",
    )
    assert knows.fields["start"] == FieldType(FieldKind.STRING, 30)
    assert social.collections[Collection("Person")].shape == Shape.NODE
    assert social.url == "/base/social.db"


def test_two_dollars_are_one_and_a_lone_one_is_itself() -> None:
    text = WHOLE.replace("${DB}", "'/$$x/$y/a$'")
    assert parse_config(text, "f", Path("/base"), ENVIRON).realms[Realm("orders")].url == "/$x/$y/a$"


def test_paths_are_relative_to_the_file(tmp_path: Path) -> None:
    path = tmp_path / "grit.yaml"
    path.write_text(WHOLE)
    assert load_config(path, ENVIRON).log.path == tmp_path / "var/log"


def test_the_memory_engine_holds_graphs_and_tables() -> None:
    text = "log: {kind: memory}\nrealms:\n  m:\n    engine: memory\n    collections:\n      A: {key: [a], fields: {a: int}}\n"
    realms = parse_config(text, "f", Path("/"), {}).realms
    assert realms[Realm("m")].collections[Collection("A")].shape == Shape.TABLE
    realms = parse_config(text + "      R: {start: A, end: A}\n", "f", Path("/"), {}).realms
    assert [c.shape for c in realms[Realm("m")].collections.values()] == [Shape.NODE, Shape.RELATIONSHIP]


def test_the_built_in_catalogue_is_a_table_a_document_and_a_graph_under_its_folder(tmp_path: Path) -> None:
    config = builtin_config(tmp_path)
    assert [realm.engine for realm in config.realms.values()] == ["sqlite", "document", "graph"]
    assert config.realms[Realm("orders")].collections[Collection("stock")].bounds == {"on_hand": Bound(0, None)}
    assert set(config.realms[Realm("social")].collections) == {"Customer", "Product", "PURCHASED"}
    assert all(realm.url.startswith(str(tmp_path)) for realm in config.realms.values())
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", LIMIT_BOUNDS)
def test_every_limit_has_bounds_that_its_default_keeps(name: str) -> None:
    least, most = LIMIT_BOUNDS[name]
    assert least <= getattr(Limits(), name) <= most
    with pytest.raises(ValueError, match=name):
        Limits(**{name: most + 1})


def test_every_limit_is_bounded() -> None:
    assert set(LIMIT_BOUNDS) == set(Limits.__struct_fields__)


def test_a_standby_waits_for_more_than_one_renewal() -> None:
    with pytest.raises(ValueError, match="twice renewal_ms"):
        Limits(election_timeout_ms=900)


@pytest.mark.parametrize("log", [{"kind": "kafka"}, {"kind": "embedded"}, {"kind": "memory", "path": Path("x")}])
def test_a_log_that_cannot_be_is_refused_on_construction(log: dict[str, str | Path]) -> None:
    with pytest.raises(ValueError, match="log"):
        LogConfig(**log)  # type: ignore[arg-type]  # the wrong arguments are the point
