"""The stock: one row an item, in the realm `stock`.

Prices are read by field and pieces are taken by bounded increments, so two customers who buy the same item do not conflict
until the last pieces go.
"""

from collections.abc import Sequence

from grit.client import Client, Transaction
from sample_services.failures import Context, Failure, Refused
from sample_services.pb.v1 import stock_pb2 as pb
from sample_services.pb.v1 import stock_pb2_grpc
from sample_services.pb.v1.order_line_pb2 import OrderLine

ITEMS = "stock.stock_item"


class StockService(stock_pb2_grpc.StockServicer):
    """The API of the stock service."""

    def __init__(self, db: Client) -> None:
        self._db = db

    async def ListItems(self, request: pb.ListItemsRequest, context: Context) -> pb.ListItemsResponse:
        """Put new items on sale."""

        @self._db.transactional()
        async def list_items(txn: Transaction) -> None:
            for item in request.items:
                counts = {"initial": item.initial, "restocked": 0, "on_hand": item.initial, "sold": 0}
                name = {"seller": item.seller, "product": item.product, "price_cents": item.price_cents}
                await txn.insert(ITEMS, {**name, **counts})

        await list_items()
        return pb.ListItemsResponse()

    async def QuotePrices(self, request: pb.QuotePricesRequest, context: Context) -> pb.QuotePricesResponse:
        """Tell prices."""
        return pb.QuotePricesResponse(lines=await _priced(self._db.joined(), request.lines))

    async def Reserve(self, request: pb.ReserveRequest, context: Context) -> pb.ReserveResponse:
        """Take the lines from the stock."""
        txn = self._db.joined()
        lines = await _priced(txn, request.lines)
        for line in lines:
            key = (line.seller, line.product)
            await txn.increment(ITEMS, key, "on_hand", -line.qty)
            await txn.increment(ITEMS, key, "sold", line.qty)
        return pb.ReserveResponse(lines=lines)

    async def Restock(self, request: pb.StockRestockRequest, context: Context) -> pb.StockRestockResponse:
        """Add pieces of one item."""
        txn = self._db.joined()
        line = OrderLine(seller=request.seller, product=request.product, qty=request.qty)
        await _priced(txn, [line])
        key = (request.seller, request.product)
        await txn.increment(ITEMS, key, "on_hand", request.qty)
        await txn.increment(ITEMS, key, "restocked", request.qty)
        return pb.StockRestockResponse()


async def _priced(txn: Transaction, lines: Sequence[OrderLine]) -> list[OrderLine]:
    keys = [(line.seller, line.product) for line in lines]
    found = await txn.get_many(ITEMS, keys, fields=["price_cents"])
    priced: list[OrderLine] = []
    for line, item in zip(lines, found, strict=True):
        if item is None:
            raise Refused(Failure.UNKNOWN_ITEM, f"{line.seller} does not sell {line.product!r}")
        price = item["price_cents"]
        priced.append(OrderLine(seller=line.seller, product=line.product, qty=line.qty, price_cents=price))
    return priced
