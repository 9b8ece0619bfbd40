"""Every mistake in grit.yaml: where it is, what it is, what to do."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from grit.config.load import load_config, parse_config
from grit.core.errors import ConfigError

HEAD = "log: {kind: memory}\nrealms:\n  shop:\n    engine: sqlite\n    url: shop.db\n    collections:\n"
ORDERS = '      orders:\n        key: [id]\n        fields: {id: string(40), n: int, note: "string(9)?"}\n'
GRAPH = (
    "log: {kind: memory}\nrealms:\n  g:\n    engine: graph\n    url: g.db\n    collections:\n"
    "      A: {key: [id], fields: {id: int}}\n      W: {key: [x, y], fields: {x: int, y: int}}\n"
)


def refusal(text: str, environ: Mapping[str, str] | None = None) -> str:
    with pytest.raises(ConfigError) as raised:
        parse_config(text, "grit.yaml", Path("/base"), environ or {})
    message = str(raised.value)
    assert "\n" not in message
    return message


MISTAKES = [
    ("empty file", "", "grit.yaml:1:1", "grit init"),
    ("not YAML", "log: [1, 2\n", "grit.yaml:2:1", "check indentation and quotes"),
    ("a variable in braces", "log: {kind: embedded, path: ${X}}\n", "grit.yaml:1:30", 'in quotes: "${NAME}"'),
    ("not a section", "- 1\n", "grit.yaml:1:1", "must be a section"),
    ("unknown key", "lag: {kind: memory}\n", "grit.yaml:1:1", 'did you mean "log"?'),
    ("duplicate key", "log: {kind: memory}\nlog: {kind: memory}\n", "grit.yaml:2:1", "first on line 1"),
    ("log is missing", 'gtm: ["h:1"]\n', "grit.yaml:1:1", "needs log: write"),
    ("unknown log kind", "log: {kind: embeded}\n", "grit.yaml:1:13", 'did you mean "embedded"?'),
    ("embedded log without path", "log: {kind: embedded}\n", "grit.yaml:1:6", "needs path"),
    ("memory log with path", "log: {kind: memory, path: x}\n", "grit.yaml:1:27", "has no path"),
    ("unknown elector", HEAD + ORDERS + "elector: {kind: fil}\n", "grit.yaml:10:17", 'did you mean "file"?'),
    ("elector without path", HEAD + ORDERS + "elector: {kind: file}\n", "grit.yaml:10:10", "needs path"),
    ("no elector with path", HEAD + ORDERS + "elector: {kind: none, path: x}\n", "grit.yaml:10:29", "there is no path"),
    ("realms missing", "log: {kind: memory}\n", "grit.yaml:1:1", "needs realms"),
    ("no realm", "log: {kind: memory}\nrealms: {}\n", "grit.yaml:2:9", "at least one database"),
    ("sidecar.link is gone", HEAD + ORDERS + 'sidecar: {link: "h:1"}\n', "grit.yaml:10:11", 'sidecar has no "link"'),
    ("port 0 advertised", HEAD + ORDERS + 'sidecar: {advertise: "h:0"}\n', "grit.yaml:10:22", "give host:port"),
    ("a path advertised", HEAD + ORDERS + 'sidecar: {advertise: "unix:/s"}\n', "grit.yaml:10:22", "give host:port"),
    ("unknown engine", HEAD.replace("sqlite", "sqlit") + ORDERS, "grit.yaml:4:13", 'did you mean "sqlite"?'),
    ("engine is no text", HEAD.replace("sqlite", "on") + ORDERS, "grit.yaml:4:13", "put it in quotes"),
    ("url missing", HEAD.replace("    url: shop.db\n", "") + ORDERS, "grit.yaml:4:5", "needs url"),
    ("url of an embedded engine", HEAD.replace("shop.db", "mysql://h/x") + ORDERS, "grit.yaml:5:10", "path of a file"),
    ("bad realm name", HEAD.replace("  shop:", "  sh-op:") + ORDERS, "grit.yaml:3:3", "is no name"),
    ("reserved name", HEAD + ORDERS.replace("orders:", "grit_position:"), "grit.yaml:7:7", "GRIT's own"),
    ("names by case", HEAD + ORDERS + ORDERS.replace("orders", "Orders"), "grit.yaml:10:7", "differ in case only"),
    (
        "no collections",
        HEAD.replace("collections:\n", "collections: {}\n"),
        "grit.yaml:6:18",
        "at least one collection",
    ),
    ("unknown collection key", HEAD + ORDERS + "        indexes: []\n", "grit.yaml:10:9", "there is bounds"),
    ("key missing", HEAD + ORDERS.replace("        key: [id]\n", ""), "grit.yaml:8:9", "needs key"),
    ("key field missing", HEAD + ORDERS.replace("[id]", "[idd]"), "grit.yaml:8:15", 'did you mean "id"?'),
    ("empty key", HEAD + ORDERS.replace("[id]", "[]"), "grit.yaml:8:14", "name the fields"),
    ("key twice", HEAD + ORDERS.replace("[id]", "[id, id]"), "grit.yaml:8:19", "twice"),
    ("float key", HEAD + ORDERS.replace("string(40)", "float"), "grit.yaml:8:15", "cannot be a key"),
    ("nullable key", HEAD + ORDERS.replace("string(40)", '"int?"'), "grit.yaml:8:15", "remove the ?"),
    ("unknown type", HEAD + ORDERS.replace("n: int", "n: integr"), "grit.yaml:9:37", "unknown type"),
    ("no type", HEAD + ORDERS.replace("n: int", 'n: "int("'), "grit.yaml:9:37", "is no type"),
    ("comma in braces", HEAD + ORDERS.replace("n: int", "n: decimal(12,2)"), "grit.yaml:9:37", "stands in quotes"),
    ("? in braces", HEAD + ORDERS.replace('"string(9)?"', "string(9)?"), "grit.yaml:9:57", "stands in quotes"),
    ("size of an int", HEAD + ORDERS.replace("n: int", "n: int(4)"), "grit.yaml:9:37", "has no size"),
    ("scale of a string", HEAD + ORDERS.replace("n: int", 'n: "string(4,1)"'), "grit.yaml:9:37", "has no scale"),
    ("decimal without digits", HEAD + ORDERS.replace("n: int", "n: decimal"), "grit.yaml:9:37", "decimal(12,2)"),
    ("size 0", HEAD + ORDERS.replace("string(40)", "string(0)"), "grit.yaml:9:22", "at least 1"),
    ("kind the engine lacks", HEAD + ORDERS.replace("n: int", "n: map"), "grit.yaml:9:37", "sqlite cannot hold a map"),
    ("type is a list", HEAD + ORDERS.replace("n: int", "n: [int]"), "grit.yaml:9:37", "must be text"),
    ("unique of unknown", HEAD + ORDERS + "        unique: [[m]]\n", "grit.yaml:10:19", "there is no field"),
    ("unique of none", HEAD + ORDERS + "        unique: [[]]\n", "grit.yaml:10:18", "must name one field"),
    ("unique not a list", HEAD + ORDERS + "        unique: n\n", "grit.yaml:10:17", "must be a list"),
    (
        "reference to unknown",
        HEAD + ORDERS + "        references: {n: order}\n",
        "grit.yaml:10:25",
        'did you mean "orders"?',
    ),
    (
        "reference of unknown",
        HEAD + ORDERS + "        references: {m: orders}\n",
        "grit.yaml:10:22",
        "there is no field",
    ),
    (
        "reference of other type",
        HEAD + ORDERS + "        references: {n: orders}\n",
        "grit.yaml:10:25",
        "make them equal",
    ),
    ("bounds of text", HEAD + ORDERS + "        bounds: {note: {min: 0}}\n", "grit.yaml:10:18", "only int fields"),
    ("bounds of unknown", HEAD + ORDERS + "        bounds: {m: {min: 0}}\n", "grit.yaml:10:18", "there is no field"),
    ("bounds of nothing", HEAD + ORDERS + "        bounds: {n: {}}\n", "grit.yaml:10:21", "bounds nothing"),
    ("bounds crossed", HEAD + ORDERS + "        bounds: {n: {min: 2, max: 1}}\n", "grit.yaml:10:21", "above max"),
    ("bound is no number", HEAD + ORDERS + "        bounds: {n: {min: x}}\n", "grit.yaml:10:27", "whole number"),
    (
        "bounds and unique",
        HEAD + ORDERS + "        unique: [[n]]\n        bounds: {n: {min: 0}}\n",
        "grit.yaml:11:18",
        "a field with bounds has no other constraint",
    ),
    (
        "bounds and check",
        HEAD + ORDERS + '        check: ["n > 1"]\n        bounds: {n: {min: 0}}\n',
        "grit.yaml:11:18",
        "the check 'n > 1' too",
    ),
    ("check of unknown", HEAD + ORDERS + '        check: ["n > 0 and m = 1"]\n', "grit.yaml:10:28", 'no field "m"'),
    ("start in a table", HEAD + ORDERS + "        start: orders\n", "grit.yaml:10:16", "holds no relationships"),
    ("end unknown", GRAPH + "      R: {start: A, end: B}\n", "grit.yaml:9:26", "no node collection"),
    ("end missing", GRAPH + "      R: {start: A}\n", "grit.yaml:9:10", "needs end"),
    (
        "end is a relationship",
        GRAPH + "      R: {start: A, end: A}\n      S: {start: A, end: R}\n",
        "grit.yaml:10:26",
        "no node",
    ),
    ("end of two key fields", GRAPH + "      R: {start: A, end: W}\n", "grit.yaml:9:26", "one key field"),
    ("key of a relationship", GRAPH + "      R: {start: A, end: A, key: [x]}\n", "grit.yaml:9:34", "remove key"),
    ("property named start", GRAPH + "      R: {start: A, end: A, fields: {start: int}}\n", "grit.yaml:9:38", "rename"),
    ("memory with url", HEAD.replace("sqlite", "memory") + ORDERS, "grit.yaml:5:10", "leave it out"),
]


@pytest.mark.parametrize(("text", "place", "remedy"), [m[1:] for m in MISTAKES], ids=[m[0] for m in MISTAKES])
def test_a_mistake_is_named_with_place_and_remedy(text: str, place: str, remedy: str) -> None:
    message = refusal(text)
    assert message.startswith(place + ":"), message
    assert remedy in message, message


GOOD = HEAD + ORDERS
TAIL = [
    ("address without port", "gtm: [nowhere]\n", "10:7", "host:port"),
    ("port too great", 'gtm: ["h:70000"]\n', "10:7", "host:port"),
    ("same address twice", 'gtm: ["h:1", "h:1"]\n', "10:14", "comes twice"),
    ("no address", "gtm: []\n", "10:6", "one address for each replica"),
    ("unknown in sidecar", 'sidecar: {lisen: "h:1"}\n', "10:11", 'did you mean "listen"?'),
    ("unknown limit", "limits: {park: 1}\n", "10:10", 'did you mean "park_ms"?'),
    ("limit out of bounds", "limits: {park_ms: 0}\n", "10:19", "it may be 1 to 60,000"),
    ("limits at odds", "limits: {election_timeout_ms: 100}\n", "10:9", "at least twice renewal_ms"),
    (
        "time-out beyond the longest life",
        "limits: {transaction_timeout_ms: 60_001}\n",
        "10:34",
        "it may be 100 to 60,000",
    ),
    ("the longest life is no limit", "limits: {lifetime_ms: 1_000}\n", "10:10", "lifetime_ms"),
    ("limit in quotes", 'limits: {park_ms: "5"}\n', "10:19", "whole number"),
    ("log level", "telemetry: {log_level: loud}\n", "10:24", "there is debug"),
    ("metrics port", "telemetry: {metrics_port: 99999}\n", "10:27", "0 to 65535"),
]


@pytest.mark.parametrize(("tail", "place", "remedy"), [t[1:] for t in TAIL], ids=[t[0] for t in TAIL])
def test_a_mistake_outside_the_realms_is_named_too(tail: str, place: str, remedy: str) -> None:
    message = refusal(GOOD + tail)
    assert message.startswith(f"grit.yaml:{place}:"), message
    assert remedy in message, message


def test_two_realms_do_not_share_a_file() -> None:
    second = GOOD.split("realms:\n")[1].replace("  shop:", "  other:", 1)
    assert refusal(GOOD + second).startswith("grit.yaml:10:3: realm other has the same url as realm shop")


def test_a_variable_that_is_not_set_is_named_with_the_default_form() -> None:
    message = refusal(GOOD.replace("shop.db", "${SHOP}"))
    assert message == (
        "grit.yaml:5:10: realms.shop.url needs the environment variable SHOP, which is not set: set it,"
        " or write ${SHOP:-default}"
    )


def test_a_broken_variable_is_refused() -> None:
    assert "write ${NAME}" in refusal(GOOD.replace("shop.db", "'${SHOP'"))


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda _: None, "no such file"),
        (lambda path: path.mkdir(), "cannot be read"),
        (lambda path: path.write_bytes(b"log: \xff\xfe"), "not UTF-8 text, at byte 5"),
        (lambda path: path.write_bytes(b"\x00\x01"), "not YAML"),
        (lambda path: path.write_text("[" * 5000), "nested too deep"),
        (lambda path: path.write_text("#" * (5 << 20)), "larger than"),
    ],
    ids=["missing", "folder", "no text", "binary", "deep", "huge"],
)
def test_a_file_that_is_no_configuration_is_refused_in_one_line(make: object, words: str, tmp_path: Path) -> None:
    path = tmp_path / "grit.yaml"
    assert callable(make)
    make(path)
    with pytest.raises(ConfigError) as raised:
        load_config(path, {})
    assert str(raised.value).startswith(str(path))
    assert words in str(raised.value)
    assert "\n" not in str(raised.value)
