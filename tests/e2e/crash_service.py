"""A called service of its own process, which may die in the middle: `python -m tests.e2e.crash_service ADDRESS SIDECAR`.

It joins its caller's transaction and calls the sidecar twice. Failpoints of the SDK decide where it dies (`GRIT_FAILPOINTS`).
"""

import asyncio
import sys
from typing import Any

import grpc

import grit.client
from grit.client import Client, JoinInterceptor

METHOD = "/Orders/Take"


def handler_of(db: Client) -> grpc.GenericRpcHandler:
    """Return what answers: a request is an order and its customer, who is a product too."""

    async def take(request: bytes, _: grpc.aio.ServicerContext[Any, Any]) -> bytes:
        order_id, customer = request.decode().split()
        txn = db.joined()
        assert await txn.get("orders.orders", order_id) is None
        order = {"order_id": order_id, "customer": customer, "product": "x", "qty": 1, "total_cents": 1}
        await txn.insert("orders.orders", {**order, "status": "open"})
        await txn.increment("orders.stock", customer, "sold", 1)
        assert await txn.get("orders.orders", f"{order_id}-again") is None
        return b""

    return grpc.method_handlers_generic_handler("Orders", {"Take": grpc.unary_unary_rpc_method_handler(take)})


async def serve(address: str, sidecar: str) -> None:
    """Serve until killed."""
    async with grit.client.connect(sidecar, service="callee") as db:
        server = grpc.aio.server(interceptors=[JoinInterceptor(db)])
        server.add_generic_rpc_handlers((handler_of(db),))
        server.add_insecure_port(address)
        await server.start()
        print("listening", flush=True)
        await server.wait_for_termination()


if __name__ == "__main__":
    asyncio.run(serve(*sys.argv[1:]))
