"""Decimals as text whose order by code point is their order by value: SQLite has no exact decimals.

    negative    0 | exponent and digits, each digit d as 9 - d | ~
    zero        1
    positive    2 | exponent of the first digit + 2,000,000, seven digits | digits without zeros at the end

Equal decimals have equal text: 1, 1.0 and 1.00 are all `220000001`.
"""

from decimal import Decimal

_OFFSET = 2_000_000
"""Beyond the exponents that Python's decimals reach."""
_COMPLEMENT = str.maketrans("0123456789", "9876543210")


def sortable(number: Decimal) -> str:
    """Return the text."""
    sign, digits, exponent = number.as_tuple()
    assert isinstance(exponent, int), "neither NaN nor an infinity is a value"
    text = "".join(map(str, digits)).rstrip("0")
    if not text:
        return "1"
    body = f"{len(digits) - 1 + exponent + _OFFSET:07d}{text}"
    return f"0{body.translate(_COMPLEMENT)}~" if sign else f"2{body}"


def from_sortable(text: str) -> Decimal:
    """Return the decimal of a stored text.

    Raises:
        ValueError: `sortable` never wrote this.
    """
    if text == "1":
        return Decimal(0)
    body = text[1:-1].translate(_COMPLEMENT) if text.startswith("0") else text[1:]
    if text[:1] not in ("0", "2") or not body.isdecimal() or len(body) < 8:
        raise ValueError(f"not a stored decimal: {text!r}")
    digits = body[7:]
    exponent = int(body[:7]) - _OFFSET - len(digits) + 1
    if exponent > 0:
        digits, exponent = digits + "0" * exponent, 0
    return Decimal((int(text[0] == "0"), tuple(map(int, digits)), exponent))
