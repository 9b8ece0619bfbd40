"""Lines of carts and orders: as messages, and as values of a database."""

from collections.abc import Iterable
from typing import Any

from sample_services.failures import Failure, Refused
from sample_services.pb.v1.order_line_pb2 import OrderLine

Items = list[dict[str, Any]]
"""[{seller, product, qty}]"""
QTY_MAX = 1_000
LINES_MAX = 100


def lines_of(items: Items) -> list[OrderLine]:
    """Return items of a cart as a message."""
    return [OrderLine(seller=item["seller"], product=item["product"], qty=item["qty"]) for item in items]


def items_of(lines: Iterable[OrderLine]) -> Items:
    """Return lines as a cart keeps them, without prices."""
    return [{"seller": line.seller, "product": line.product, "qty": line.qty} for line in lines]


def merged(items: Items) -> Items:
    """Return one item for each product of a seller, with all their pieces, by seller and product."""
    pieces: dict[tuple[str, str], int] = {}
    for item in items:
        name = item["seller"], item["product"]
        pieces[name] = pieces.get(name, 0) + item["qty"]
    return [{"seller": seller, "product": product, "qty": qty} for (seller, product), qty in sorted(pieces.items())]


def total_cents(lines: Iterable[OrderLine]) -> int:
    """Return what the lines cost together, in cents."""
    return sum(line.qty * line.price_cents for line in lines)


def check_lines(lines: Iterable[OrderLine]) -> None:
    """Refuse lines that nobody could mean.

    Raises:
        Refused: BAD_REQUEST: none, too many, or a quantity out of range.
    """
    all_lines = list(lines)
    if not 1 <= len(all_lines) <= LINES_MAX:
        raise Refused(Failure.BAD_REQUEST, f"give 1 to {LINES_MAX} lines, not {len(all_lines)}")
    for line in all_lines:
        check_qty(line.qty, line.product)


def check_qty(qty: int, product: str) -> None:
    """Refuse a quantity out of range.

    Raises:
        Refused: BAD_REQUEST.
    """
    if not 1 <= qty <= QTY_MAX:
        raise Refused(Failure.BAD_REQUEST, f"{product}: a quantity is 1 to {QTY_MAX:,}, not {qty:,}")
