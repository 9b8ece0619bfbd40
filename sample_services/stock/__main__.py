"""`python -m sample_services.stock`."""

import grpc

from grit.client import Client
from sample_services.pb.v1.stock_pb2_grpc import add_StockServicer_to_server
from sample_services.serving import service_command
from sample_services.stock.service import StockService


def _add(server: grpc.aio.Server, db: Client) -> None:
    add_StockServicer_to_server(StockService(db), server)


if __name__ == "__main__":
    service_command("stock", _add)()
