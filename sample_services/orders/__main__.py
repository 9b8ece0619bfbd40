"""`python -m sample_services.orders`."""

import grpc

from grit.client import Client
from sample_services.orders.service import OrdersService
from sample_services.pb.v1.orders_pb2_grpc import add_OrdersServicer_to_server
from sample_services.serving import service_command


def _add(server: grpc.aio.Server, db: Client) -> None:
    add_OrdersServicer_to_server(OrdersService(db), server)


if __name__ == "__main__":
    service_command("orders", _add)()
