"""`python -m sample_services.cart`."""

import grpc

from grit.client import Client
from sample_services.cart.service import CartService
from sample_services.pb.v1.cart_pb2_grpc import add_CartServicer_to_server
from sample_services.serving import service_command


def _add(server: grpc.aio.Server, db: Client) -> None:
    add_CartServicer_to_server(CartService(db), server)


if __name__ == "__main__":
    service_command("cart", _add)()
