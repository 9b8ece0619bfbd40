"""A service as a process: one gRPC server, one connection to the sidecar of its host, SIGTERM ends both in order."""

import asyncio
import signal
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import click
import grpc
import uvloop

from grit.client import Client, JoinInterceptor, configure_tracing, connect
from sample_services.failures import FailureInterceptor

HOST = "127.0.0.1"
GRACE_S = 5.0
OPTIONS = [("grpc.so_reuseport", 0)]
"""Without it two services that were given one port would share it in silence."""


class CannotServe(click.ClickException):
    """Ends the process in one line, with the status for what the operator must repair."""

    exit_code = 3


Add = Callable[[grpc.aio.Server, Client], None]
"""Registers what a service answers."""


def service_command(name: str, add: Add) -> click.Command:
    """Return the command line of a service that owns a realm."""

    @click.command(name, context_settings={"auto_envvar_prefix": name.upper()})
    @listening_options
    def run(port: int, host: str, sidecar: str, trace_file: Path | None) -> None:
        with tracing(trace_file, name):
            uvloop.run(serve(name, f"{host}:{port}", sidecar, add))

    run.help = f"Run the {name} service."
    return run


def listening_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options that every service has."""
    for option in (
        click.option("--trace-file", type=click.Path(path_type=Path), help="Append finished spans to this file."),
        click.option("--sidecar", default="127.0.0.1:7400", show_default=True, help="The sidecar of this host."),
        click.option("--host", default=HOST, show_default=True, help="Where to listen."),
        click.option("--port", type=click.IntRange(1, 65_535), required=True, help="Where to listen."),
    ):
        command = option(command)
    return command


@contextmanager
def tracing(path: Path | None, name: str) -> Iterator[None]:
    """Write the spans of this process to a file; without one there are none."""
    if path is None:
        yield
        return
    traced = configure_tracing(path, name)
    try:
        yield
    finally:
        traced.close()


async def serve(name: str, address: str, sidecar: str, add: Add) -> None:
    """Serve until SIGTERM or Ctrl-C; then finish what is under way.

    Args:
        name: Of the service, as transactions name it.
        address: Where to listen, host:port.
        sidecar: host:port.
        add: Registers the handlers.
    """
    async with connect(sidecar, service=name) as db, listening(name, address, lambda server: add(server, db), db):
        stop = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        await stop.wait()


@asynccontextmanager
async def listening(
    name: str, address: str, add: Callable[[grpc.aio.Server], None], db: Client
) -> AsyncIterator[grpc.aio.Server]:
    """Run a server; calls that carry a transaction join it.

    Raises:
        CannotServe: The address cannot be had.
    """
    server = grpc.aio.server(interceptors=[JoinInterceptor(db), FailureInterceptor()], options=OPTIONS)
    add(server)
    try:
        server.add_insecure_port(address)
    except RuntimeError as error:
        raise CannotServe(f"{name} cannot listen on {address}: choose another --port") from error
    await server.start()
    click.echo(f"{name}: listening on {address}")
    try:
        yield server
    finally:
        await server.stop(GRACE_S)
