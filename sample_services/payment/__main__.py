"""`python -m sample_services.payment`."""

import grpc

from grit.client import Client
from sample_services.payment.service import PaymentService
from sample_services.pb.v1.payment_pb2_grpc import add_PaymentServicer_to_server
from sample_services.serving import service_command


def _add(server: grpc.aio.Server, db: Client) -> None:
    add_PaymentServicer_to_server(PaymentService(db), server)


if __name__ == "__main__":
    service_command("payment", _add)()
