"""The files that `grit init` writes."""

from collections.abc import Mapping

from grit.config.builtin import BUILTIN_REALMS

_CONFIG = """\
# What GRIT knows of your databases. `grit config check` says what is wrong with this file, and where.
# ${NAME} and ${NAME:-default} stand for environment variables.
log: {kind: embedded, path: var/log}
gtm: ["127.0.0.1:7410"]
sidecar: {listen: "127.0.0.1:7400"}
"""

_APP = '''\
"""One transaction over three databases: a relational one, a document one and a graph."""

import asyncio

import grit.client


async def main() -> None:
    async with grit.client.connect("127.0.0.1:7400") as db:

        @db.transactional()
        async def open_shop(txn: grit.client.Transaction) -> None:
            await txn.put("orders.stock", {"product": "lamp", "on_hand": 10, "sold": 0})
            await txn.put("social.Product", {"product": "lamp", "name": "Lamp"})
            await txn.put("social.Customer", {"customer": "alice", "name": "Alice"})
            await txn.put("carts.carts", {"customer": "alice", "items": ["lamp"], "status": "open"})

        @db.transactional()
        async def checkout(txn: grit.client.Transaction, customer: str, order_id: str) -> int:
            cart = await txn.get("carts.carts", customer)
            for product in cart["items"]:
                order = {"order_id": f"{order_id}-{product}", "customer": customer, "product": product}
                await txn.insert("orders.orders", {**order, "qty": 1, "total_cents": 1999, "status": "paid"})
                await txn.increment("orders.stock", product, "on_hand", -1)  # never goes below 0
                await txn.increment("orders.stock", product, "sold", 1)
                await txn.link("social.PURCHASED", customer, product, qty=1, order_id=order_id)
            await txn.patch("carts.carts", customer, {"items": [], "status": "done"})
            return len(cart["items"])

        await open_shop()
        bought = await checkout("alice", "o-1")
        print(f"bought {bought}: in the orders, the stock, the cart and the graph, or in none of them")


asyncio.run(main())
'''

_README = """\
# A project on GRIT

| to | run |
| --- | --- |
| start everything in one process | `grit dev grit.yaml` |
| run the example | `python app.py` |
| check the configuration | `grit config check` |
| start again from nothing | stop it, then remove the folder `var` |

`grit.yaml` describes three databases: `orders` (relational), `carts` (documents) and `social` (a graph), on embedded
engines whose files lie in `var`. `app.py` changes all three in one transaction.
"""


def _with_addresses(realms: str) -> str:
    """Return the built-in realms, each with the address of its DBTM, so that every role can be a process of its own."""
    lines: list[str] = []
    port = 7420
    for line in realms.splitlines():
        lines.append(line)
        if line.startswith("    engine:"):
            lines.append(f'    dbtm: ["127.0.0.1:{port}"]')
            port += 1
    return "\n".join(lines) + "\n"


PROJECT_FILES: Mapping[str, str] = {
    "grit.yaml": _CONFIG + _with_addresses(BUILTIN_REALMS),
    "app.py": _APP,
    "README.md": _README,
}
"""File name -> text."""
