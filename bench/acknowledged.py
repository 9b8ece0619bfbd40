"""A load that remembers what it was told: acknowledged must be there, refused must not."""

import asyncio
import itertools
import time
from collections.abc import Iterator, Sequence
from typing import Self

from grit.client import Client, OutcomeUnknown, Transaction, TxnAborted, Unavailable, connect
from grit.core.ids import Collection, Realm
from grit.core.operations import Insert, Operation, Put

PAUSE_S = 0.02
"""After a transaction that was given up, when the attempts of the SDK are used up."""

LOOKED_AT_ONCE = 500
ATTEMPTS = 50
_ORDERS = (Realm("orders"), Collection("orders"))
_CARTS = (Realm("carts"), Collection("carts"))


class AcknowledgedLoad:
    """A closed loop of clients; each transaction writes an order in one realm and a cart of the same name in another.

    Args:
        address: Of the sidecar.
        clients: Each with a connection of its own, and the retries that the SDK has by default.

    Attributes:
        moments: When each transaction was acknowledged: seconds of `time.monotonic`, ascending.
        acknowledged, refused: Names; what is in neither was answered OutcomeUnknown.
        unknown: How many of these there were.
    """

    def __init__(self, address: str, clients: int) -> None:
        self.moments: list[float] = []
        self.acknowledged: list[str] = []
        self.refused: list[str] = []
        self.unknown = 0
        self._clients = [connect(address, service="bench") for _ in range(clients)]
        self._names = (f"o{number}" for number in itertools.count(1))
        self._workers: list[asyncio.Task[None]] = []
        self._is_over = False

    async def __aenter__(self) -> Self:
        """Start the clients."""
        self._workers = [asyncio.create_task(self._work(client)) for client in self._clients]
        return self

    async def __aexit__(self, *_: object) -> None:
        """Let each client finish its transaction; raises what ended one of them."""
        self._is_over = True
        await asyncio.gather(*self._workers)
        for client in self._clients:
            await client.close()

    def expect_alive(self) -> None:
        """Raise what ended a client, if anything did: its load would be missing from then on."""
        for worker in self._workers:
            if worker.done():
                worker.result()

    async def _work(self, client: Client) -> None:
        while not self._is_over:
            name = next(self._names)
            try:
                await client.transact(_order_and_cart(name))
            except (TxnAborted, Unavailable):
                self.refused.append(name)
                await asyncio.sleep(PAUSE_S)
            except OutcomeUnknown:
                self.unknown += 1
            else:
                self.moments.append(time.monotonic())
                self.acknowledged.append(name)


def _order_and_cart(name: str) -> list[Operation]:
    order = {"order_id": name, "customer": "bench", "product": "x", "qty": 1, "total_cents": 1, "status": "open"}
    return [Insert(*_ORDERS, order), Put(*_CARTS, {"customer": name, "status": "open"})]


async def count_lost(address: str, names: Sequence[str]) -> int:
    """Return how many of these are not in both databases, read by transactions.

    Raises:
        GritError: They cannot be read.
    """
    return sum([found < 2 for found in await _found(address, names)])


async def count_present(address: str, names: Sequence[str]) -> int:
    """Return how many of these are in one database or in both; raises as `count_lost`."""
    return sum([found > 0 for found in await _found(address, names)])


async def _found(address: str, names: Sequence[str]) -> list[int]:
    """Return in how many databases each name is."""

    async def look(txn: Transaction, some: Sequence[str]) -> list[int]:
        orders = await txn.get_many("orders.orders", some, fields=["order_id"])
        carts = await txn.get_many("carts.carts", some, fields=["customer"])
        return [(order is not None) + (cart is not None) for order, cart in zip(orders, carts, strict=True)]

    async with connect(address, service="bench") as db:
        patient = db.transactional(ATTEMPTS, read_only=True)(look)
        return [found for some in _portions(names) for found in await patient(some)]


def _portions(names: Sequence[str]) -> Iterator[Sequence[str]]:
    for begin in range(0, len(names), LOOKED_AT_ONCE):
        yield names[begin : begin + LOOKED_AT_ONCE]
