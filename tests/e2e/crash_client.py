"""A service of its own process that commits until it is killed: `python -m tests.e2e.crash_client ADDRESS NAME`.

It says what was acknowledged, one order a line. Failpoints of the SDK decide where it dies (`GRIT_FAILPOINTS`).
"""

import asyncio
import itertools
import sys

import grit.client
from grit.client import TxnAborted, Unavailable


async def commit_for_ever(address: str, name: str) -> None:
    """Read in one database, then write in two, again and again."""
    async with grit.client.connect(address, service=name) as db:
        for number in itertools.count(1):
            order_id = f"{name}-{number}"
            try:
                async with db.transaction(name="order") as txn:
                    await txn.get("carts.carts", order_id)
                    await txn.put("carts.carts", {"customer": order_id, "items": [], "status": name})
                    order = {"order_id": order_id, "customer": name, "product": "x", "qty": 1, "total_cents": 1}
                    await txn.insert("orders.orders", {**order, "status": "open"})
            except (TxnAborted, Unavailable):
                continue
            print(order_id, flush=True)


if __name__ == "__main__":
    asyncio.run(commit_for_ever(*sys.argv[1:]))
