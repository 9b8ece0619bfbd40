"""Clients that commit, and remember what they were told: acknowledged must be there, refused must not."""

import asyncio
import itertools
from collections.abc import Awaitable, Callable
from typing import Self, TypeVar

import grit.client as grit
from grit.client import Client, OutcomeUnknown, Transaction, TxnAborted, Unavailable
from tests.e2e.deployment import LIMIT_S

CLIENTS = 6
PAUSE_S = 0.01
"""After a failure: a client that hammers a dead sidecar keeps it from coming back."""

ATTEMPTS = 100

Answer = TypeVar("Answer")


async def patiently(db: Client, body: Callable[[Transaction], Awaitable[Answer]]) -> Answer:
    """Run a body until it commits: on a busy machine an attempt may lawfully be aborted."""

    async def patient(txn: Transaction) -> Answer:
        return await body(txn)

    return await db.transactional(ATTEMPTS)(patient)()


class Load:
    """Each transaction writes one order and one cart of the same name, and moves one stock: three realms or two.

    Attributes:
        acknowledged, refused: Ids of orders; what is in neither was answered OutcomeUnknown.
    """

    _runs = itertools.count(1)

    def __init__(self, db: Client) -> None:
        self.acknowledged: set[str] = set()
        self.refused: set[str] = set()
        self.unknown: set[str] = set()
        self._db = db
        self._name = f"l{next(self._runs)}"
        self._numbers = itertools.count(1)
        self._is_over = False
        self._running: asyncio.TaskGroup
        self._changed = asyncio.Event()

    async def __aenter__(self) -> Self:
        stock = {"product": self._name, "on_hand": 1_000_000, "sold": 0}
        await patiently(self._db, lambda txn: txn.put("orders.stock", stock))
        self._running = asyncio.TaskGroup()
        await self._running.__aenter__()
        for _ in range(CLIENTS):
            self._running.create_task(self._client())
        return self

    async def __aexit__(self, *raised: object) -> None:
        self._is_over = True
        async with asyncio.timeout(LIMIT_S):
            await self._running.__aexit__(*raised)  # type: ignore[arg-type]

    async def more(self, count: int) -> None:
        """Wait until so many more have been acknowledged."""
        wanted = len(self.acknowledged) + count
        async with asyncio.timeout(LIMIT_S):
            while len(self.acknowledged) < wanted:
                self._changed.clear()
                await self._changed.wait()

    async def expect_true(self, db: Client) -> None:
        """Expect of the databases what the clients were told, read by transactions."""
        orders, carts, sold = await patiently(db, self._look)
        assert self.acknowledged - orders == set(), "acknowledged, and lost"
        assert orders & self.refused == set(), "refused, and there all the same"
        assert orders == carts, "in one database, and not in the other"
        assert sold == len(orders), "not exactly once"

    async def _look(self, txn: Transaction) -> tuple[set[str], set[str], int]:
        orders = await self._orders(txn)
        carts = {row["customer"] for row in await txn.find("carts.carts", grit.field("status") == self._name)}
        stock = await txn.get("orders.stock", self._name)
        return orders, carts, stock["sold"]

    async def _orders(self, txn: Transaction) -> set[str]:
        return {row["order_id"] for row in await txn.find("orders.orders", grit.field("customer") == self._name)}

    async def _client(self) -> None:
        while not self._is_over:
            order_id = f"{self._name}-{next(self._numbers)}"
            try:
                async with self._db.transaction(name="order") as txn:
                    await self._order(txn, order_id)
            except (TxnAborted, Unavailable):
                self.refused.add(order_id)
                await asyncio.sleep(PAUSE_S)
            except OutcomeUnknown:
                self.unknown.add(order_id)
            else:
                self.acknowledged.add(order_id)
            self._changed.set()

    async def _order(self, txn: Transaction, order_id: str) -> None:
        order = {"order_id": order_id, "customer": self._name, "product": "x", "qty": 1, "total_cents": 1}
        await txn.insert("orders.orders", {**order, "status": "open"})
        await txn.put("carts.carts", {"customer": order_id, "items": [], "status": self._name})
        await txn.increment("orders.stock", self._name, "sold", 1)
