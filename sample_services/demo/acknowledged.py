"""Is every checkout that was acknowledged there, and no other? Asked of the orders themselves, through GRIT."""

from collections.abc import Collection
from typing import NamedTuple

from grit.client import Client, Transaction, connect, field

ORDERS = "orders.orders"
PAGE = 2_000
SHOWN = 5


class Judgement(NamedTuple):
    """How many acknowledged orders are not there, and what is wrong, one line each."""

    lost: int
    problems: list[str]


async def judge_acknowledged(sidecar: str, acknowledged: Collection[str], *, unknown: int) -> Judgement:
    """Compare what clients were told with what is there; nothing is in progress any more.

    Args:
        sidecar: host:port.
        acknowledged: The orders of which a client was told that they committed.
        unknown: So many checkouts nobody knows the outcome of: that many orders may be there besides.
    """
    async with connect(sidecar, service="demo") as db:
        return compare(acknowledged, await _orders(db), unknown=unknown)


def compare(acknowledged: Collection[str], there: Collection[str], *, unknown: int) -> Judgement:
    """Compare; see `judge_acknowledged`."""
    lost, extra = sorted(set(acknowledged) - set(there)), sorted(set(there) - set(acknowledged))
    problems = [f"{len(lost)} orders were acknowledged and are not there: {', '.join(lost[:SHOWN])}"] if lost else []
    if len(extra) > unknown:
        told = ", ".join(extra[:SHOWN])
        problems.append(f"{len(extra)} orders are there that nobody was told of, {unknown} may be: {told}")
    return Judgement(len(lost), problems)


async def _orders(db: Client) -> set[str]:
    @db.transactional()
    async def page(txn: Transaction, after: str) -> list[str]:
        rows = await txn.find(ORDERS, field("order_id") > after, order_by="order_id", limit=PAGE, fields=["order_id"])
        return [str(row["order_id"]) for row in rows]

    found: set[str] = set()
    last = ""
    while names := await page(last):
        found.update(names)
        last = names[-1]
    return found
