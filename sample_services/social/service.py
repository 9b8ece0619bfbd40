"""Who bought what, and what is bought together: a graph, in the realm `social`.

A relationship is known by its two ends, and a customer buys a product more than once: so a purchase is a node,
(Customer)-[:MADE]->(Purchase)-[:PURCHASED {qty}]->(Product). (Product)-[:BOUGHT_WITH {n}]->(Product) points from the smaller
name to the greater one and counts the purchases with both.
"""

from collections.abc import Iterable
from itertools import combinations

from grit.client import Client, Transaction
from sample_services.failures import Context
from sample_services.pb.v1 import social_pb2 as pb
from sample_services.pb.v1 import social_pb2_grpc
from sample_services.pb.v1.order_line_pb2 import OrderLine

CUSTOMER, SELLER, PRODUCT, PURCHASE = "social.Customer", "social.Seller", "social.Product", "social.Purchase"
MADE, PURCHASED, SELLS, BOUGHT_WITH = "social.MADE", "social.PURCHASED", "social.SELLS", "social.BOUGHT_WITH"


class SocialService(social_pb2_grpc.SocialServicer):
    """The API of the social service."""

    def __init__(self, db: Client) -> None:
        self._db = db

    async def Introduce(self, request: pb.IntroduceRequest, context: Context) -> pb.IntroduceResponse:
        """Add customers, sellers and what they sell."""

        @self._db.transactional()
        async def introduce(txn: Transaction) -> None:
            for customer in request.customers:
                await txn.insert(CUSTOMER, {"customer": customer})
            for seller in sorted({offer.seller for offer in request.offers}):
                await txn.put(SELLER, {"seller": seller})
            for offer in request.offers:
                await txn.insert(PRODUCT, {"product": offer.product})
                await txn.link(SELLS, offer.seller, offer.product)

        await introduce()
        return pb.IntroduceResponse()

    async def RecordPurchase(self, request: pb.RecordPurchaseRequest, context: Context) -> pb.RecordPurchaseResponse:
        """Draw what was bought into the graph."""
        txn = self._db.joined()
        pieces = _pieces(request.lines)
        await txn.insert(PURCHASE, {"order_id": request.order_id, "customer": request.customer})
        await txn.link(MADE, request.customer, request.order_id)
        for product, qty in pieces.items():
            await txn.link(PURCHASED, request.order_id, product, qty=qty)
        await _count_pairs(txn, list(combinations(pieces, 2)))
        return pb.RecordPurchaseResponse()


def _pieces(lines: Iterable[OrderLine]) -> dict[str, int]:
    """Return product -> pieces, by name."""
    pieces: dict[str, int] = {}
    for line in sorted(lines, key=lambda line: line.product):
        pieces[line.product] = pieces.get(line.product, 0) + line.qty
    return pieces


async def _count_pairs(txn: Transaction, pairs: list[tuple[str, str]]) -> None:
    """Count each pair once more. Only that an edge is there is read, so those who count the same one do not conflict."""
    if not pairs:
        return
    edges = await txn.get_many(BOUGHT_WITH, pairs, fields=["start"])
    for pair, edge in zip(pairs, edges, strict=True):
        if edge is None:
            await txn.link(BOUGHT_WITH, *pair, n=1)
        else:
            await txn.increment(BOUGHT_WITH, pair, "n", 1)
