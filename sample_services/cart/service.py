"""Carts: one document a customer, in the realm `cart`."""

from typing import Any

from grit.client import Client, Transaction
from sample_services.failures import Context, Failure, Refused
from sample_services.lines import Items, items_of, lines_of, merged
from sample_services.pb.v1 import cart_pb2 as pb
from sample_services.pb.v1 import cart_pb2_grpc

CARTS = "cart.carts"


class CartService(cart_pb2_grpc.CartServicer):
    """The API of the cart service."""

    def __init__(self, db: Client) -> None:
        self._db = db

    async def OpenCarts(self, request: pb.OpenCartsRequest, context: Context) -> pb.OpenCartsResponse:
        """Give new customers a cart."""

        @self._db.transactional()
        async def open_carts(txn: Transaction) -> None:
            for cart in request.carts:
                items = merged(items_of(cart.lines))
                status = "open" if items else "empty"
                await txn.insert(CARTS, {"customer": cart.customer, "items": items, "status": status, "version": 1})

        await open_carts()
        return pb.OpenCartsResponse()

    async def AddItems(self, request: pb.AddItemsRequest, context: Context) -> pb.AddItemsResponse:
        """Put lines into a cart; of a product that is there already, more."""
        txn = self._db.joined()
        cart = await _cart_of(txn, request.customer)
        items = merged([*cart["items"], *items_of(request.lines)])
        await txn.patch(CARTS, request.customer, {"items": items, "status": "open"})
        return pb.AddItemsResponse()

    async def TakeItems(self, request: pb.TakeItemsRequest, context: Context) -> pb.TakeItemsResponse:
        """Empty a cart."""
        txn = self._db.joined()
        cart = await _cart_of(txn, request.customer)
        items: Items = cart["items"]
        if not items:
            raise Refused(Failure.EMPTY_CART, f"the cart of {request.customer} holds nothing")
        version = cart["version"]
        await txn.patch(CARTS, request.customer, {"items": [], "status": "empty", "version": version + 1})
        return pb.TakeItemsResponse(lines=lines_of(items), cart_version=version)


async def _cart_of(txn: Transaction, customer: str) -> dict[str, Any]:
    cart: dict[str, Any] | None = await txn.get(CARTS, customer)
    if cart is None:
        raise Refused(Failure.UNKNOWN_CUSTOMER, f"there is no customer {customer!r}")
    return cart
