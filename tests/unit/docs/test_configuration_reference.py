"""docs/guide/configuration.md lists exactly the keys that grit.config takes, with the defaults and bounds that hold."""

import re
from pathlib import Path

import pytest

from grit.config.load import parse_config
from grit.core.errors import ConfigError
from grit.core.limits import LIMIT_BOUNDS, Limits

PAGE = (Path(__file__).parents[3] / "docs/guide/configuration.md").read_text(encoding="utf-8")
UNKNOWN = "qqqqqq"

LOG = "log: {kind: memory}\n"
REALMS = "realms: {shop: {engine: memory, collections: {orders: {key: [a], fields: {a: int, b: int}, bounds: {b: {min: 0}}}}}}\n"
SECTIONS = {
    "## Top level": f"{LOG}{REALMS}{UNKNOWN}: 1\n",
    "## `log`": f"log: {{kind: memory, {UNKNOWN}: 1}}\n{REALMS}",
    "### Logs in Kafka": f'log: {{kind: kafka, bootstrap: ["h:1"], topic_prefix: p, {UNKNOWN}: 1}}\n{REALMS}',
    "## `sidecar`": f"{LOG}{REALMS}sidecar: {{{UNKNOWN}: 1}}\n",
    "## `telemetry`": f"{LOG}{REALMS}telemetry: {{{UNKNOWN}: 1}}\n",
    "## A realm": LOG + REALMS.replace("engine: memory", f"engine: memory, {UNKNOWN}: 1"),
    "## A collection": LOG + REALMS.replace("key: [a]", f"key: [a], {UNKNOWN}: 1"),
    "**Bounds**": LOG + REALMS.replace("min: 0", f"min: 0, {UNKNOWN}: 1"),
}
"""Where the page lists the keys of a section -> a configuration with one that is not known there."""


def keys_below(heading: str) -> set[str]:
    """Return the keys of the first table of keys after a line that begins so."""
    (_, rest) = re.split(rf"^{re.escape(heading)}.*$", PAGE, maxsplit=1, flags=re.MULTILINE)
    table = re.search(r"^\| key \|.*\n((?:\|.*\n)+)", rest, re.MULTILINE)
    assert table is not None, f"no table of keys below {heading}"
    return set(re.findall(r"^\| `(\w+)` \|", table[1], re.MULTILINE))


@pytest.mark.parametrize("heading", SECTIONS)
def test_the_keys_of_a_section_are_those_that_it_takes(heading: str) -> None:
    with pytest.raises(ConfigError) as refused:
        parse_config(SECTIONS[heading], "grit.yaml", Path("/nowhere"), {})
    known = re.search(rf'has no "{UNKNOWN}"; there is (.+)', str(refused.value))
    assert known is not None, refused.value
    assert keys_below(heading) == set(known[1].split(", "))


def test_the_limits_are_those_that_there_are_with_default_and_bounds() -> None:
    rows = re.findall(r"^\| `(\w+)` \| ([\d,]+) \| ([\d,]+) \| ([\d,]+) \|", PAGE, re.MULTILINE)
    documented = {name: tuple(int(number.replace(",", "")) for number in numbers) for name, *numbers in rows}
    assert documented == {name: (getattr(Limits(), name), *bounds) for name, bounds in LIMIT_BOUNDS.items()}
