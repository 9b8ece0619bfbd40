"""The published test vectors (docs/protocol/encoding.md) are what the code does."""

import re
from collections.abc import Iterator
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from grit.core.keys import decode_key, encode_key, normalise_component
from grit.core.values import decode_record, encode_record

PAGE = Path(__file__).parents[3] / "docs/protocol/encoding.md"
NAMES = {"datetime": datetime, "Decimal": Decimal}
ROW = re.compile(r"\| `(?P<first>.+?)` \| (`(?P<second>.*?)` \| )?(?P<note>.*) \|")


def rows_under(heading: str) -> Iterator[tuple[str, str]]:
    """Return the two code cells of every row of the table under a heading; the second may be missing."""
    _, _, section = PAGE.read_text(encoding="utf-8").partition(f"### {heading}\n")
    for line in section.split("\n#", 1)[0].splitlines():
        if row := ROW.fullmatch(line):
            yield row["first"], row["second"] or ""


def value_of(text: str) -> Any:
    """Return the value that a cell of our own page spells in Python."""
    return eval(text, dict(NAMES))


def bytes_of(text: str) -> bytes:
    return b"" if text == "(none)" else bytes.fromhex(text)


KEYS = list(rows_under("Vectors of keys"))
NO_KEYS = [first for first, _ in rows_under("Bytes that are no key")]
RECORDS = list(rows_under("Vectors of records"))


def test_the_page_has_its_tables() -> None:
    assert (len(KEYS), len(NO_KEYS), len(RECORDS)) == (36, 14, 22)


@pytest.mark.parametrize(("text", "encoded"), KEYS)
def test_key_vector(text: str, encoded: str) -> None:
    value = value_of(text)
    components = value if isinstance(value, tuple) else (value,)
    assert encode_key(components) == bytes_of(encoded)
    assert decode_key(bytes_of(encoded)) == tuple(normalise_component(component) for component in components)


@pytest.mark.parametrize("encoded", NO_KEYS)
def test_bytes_that_are_no_key_are_refused(encoded: str) -> None:
    with pytest.raises(ValueError, match="not a canonical key"):
        decode_key(bytes_of(encoded))


@pytest.mark.parametrize(("text", "encoded"), RECORDS)
def test_record_vector(text: str, encoded: str) -> None:
    row = value_of(text)
    assert encode_record(row) == bytes_of(encoded)
    assert decode_record(bytes_of(encoded)) == {name: value for name, value in row.items() if value is not None}
