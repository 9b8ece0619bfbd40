"""`python -m sample_services.social`."""

import grpc

from grit.client import Client
from sample_services.pb.v1.social_pb2_grpc import add_SocialServicer_to_server
from sample_services.serving import service_command
from sample_services.social.service import SocialService


def _add(server: grpc.aio.Server, db: Client) -> None:
    add_SocialServicer_to_server(SocialService(db), server)


if __name__ == "__main__":
    service_command("social", _add)()
