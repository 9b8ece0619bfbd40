"""Orders: a row an order and a row a line, in the realm `orders`."""

from grit.client import Client
from sample_services.failures import Context
from sample_services.lines import total_cents
from sample_services.pb.v1 import orders_pb2 as pb
from sample_services.pb.v1 import orders_pb2_grpc

ORDERS = "orders.orders"
ITEMS = "orders.order_items"


class OrdersService(orders_pb2_grpc.OrdersServicer):
    """The API of the order service."""

    def __init__(self, db: Client) -> None:
        self._db = db

    async def PlaceOrder(self, request: pb.PlaceOrderRequest, context: Context) -> pb.PlaceOrderResponse:
        """Write an order down, as paid: it is one transaction with the payment."""
        txn = self._db.joined()
        total = total_cents(request.lines)
        order = {"order_id": request.order_id, "customer": request.customer, "cart_version": request.cart_version}
        await txn.insert(ORDERS, {**order, "total_cents": total, "status": "paid"})
        for number, line in enumerate(request.lines, 1):
            item = {"seller": line.seller, "product": line.product, "qty": line.qty, "price_cents": line.price_cents}
            await txn.insert(ITEMS, {"order_id": request.order_id, "line": number, **item})
        return pb.PlaceOrderResponse(total_cents=total)
