"""`python -m sample_services.shop`."""

from pathlib import Path

import click
import grpc
import uvloop

from grit.client import Client
from sample_services.pb.v1.shop_pb2_grpc import add_ShopServicer_to_server
from sample_services.serving import listening_options, serve, tracing
from sample_services.shop.backends import Addresses, Backends
from sample_services.shop.service import ShopService


@click.command(context_settings={"auto_envvar_prefix": "SHOP"})
@listening_options
@click.option("--cart", required=True, help="host:port of the cart service.")
@click.option("--stock", required=True, help="host:port of the stock service.")
@click.option("--orders", required=True, help="host:port of the order service.")
@click.option("--payment", required=True, help="host:port of the payment service.")
@click.option("--social", required=True, help="host:port of the social service.")
def run(port: int, host: str, sidecar: str, trace_file: Path | None, **behind: str) -> None:
    """Run the shop front."""
    with tracing(trace_file, "shop"):
        uvloop.run(_serve(f"{host}:{port}", sidecar, Addresses(**behind)))


async def _serve(address: str, sidecar: str, addresses: Addresses) -> None:
    async with Backends(addresses) as backends:

        def add(server: grpc.aio.Server, db: Client) -> None:
            add_ShopServicer_to_server(ShopService(db, backends), server)

        await serve("shop", address, sidecar, add)


if __name__ == "__main__":
    run()
