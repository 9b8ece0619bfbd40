"""The rival `none`: three local commits one after the other, no guarantee at all, behind the sidecar's own call.

The same wire, the same messages, the same durability (SQLite, WAL, synchronous=FULL); no validation, no log, no votes.
One thread for each file, so that the first file may commit the next transaction while the second commits this one.
"""

import asyncio
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import click
import grpc

from grit.core.operations import Put
from grit.core.values import encode_record
from grit.pb.v1 import sidecar_pb2 as pb
from grit.runtime.run import run
from grit.wire.channel import SERVER_OPTIONS
from grit.wire.operations import decode_operation

SERVICE = "grit.pb.v1.Transactions"
FILES = 3


class Table:
    """One SQLite file with one table, and the thread that writes to it."""

    def __init__(self, path: Path) -> None:
        self._thread = ThreadPoolExecutor(1)
        self._connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        self._connection.execute("PRAGMA journal_mode=WAL")
        self._connection.execute("PRAGMA synchronous=FULL")
        self._connection.execute("CREATE TABLE rows (key TEXT PRIMARY KEY, record BLOB) WITHOUT ROWID")

    async def put(self, put: Put) -> None:
        """Write one row and commit."""
        key = next(iter(put.row.values()))
        await asyncio.get_running_loop().run_in_executor(self._thread, self._put, (key, encode_record(put.row)))

    def _put(self, row: tuple[str, bytes]) -> None:
        # Outside of BEGIN every statement is a transaction, synced before it returns.
        self._connection.execute("INSERT OR REPLACE INTO rows VALUES (?, ?)", row)


async def serve(folder: Path, port: int, *, echo: bool) -> None:
    """Serve until cancelled; `echo`: answer without writing anything."""
    tables = [Table(folder / f"{at}.db") for at in range(FILES)]

    async def transact(request: pb.TransactRequest, context: grpc.aio.ServicerContext[Any, Any]) -> pb.TransactResponse:
        for at, (table, operation) in enumerate(zip(tables, () if echo else request.operations, strict=not echo)):
            put = decode_operation(operation, f"operations[{at}]")
            assert isinstance(put, Put)
            await table.put(put)
        return pb.TransactResponse(commit=pb.CommitResponse(txn_id="none"))

    handler = grpc.unary_unary_rpc_method_handler(
        transact,
        request_deserializer=pb.TransactRequest.FromString,
        response_serializer=pb.TransactResponse.SerializeToString,
    )
    server = grpc.aio.server(options=SERVER_OPTIONS)
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, {"Transact": handler}),))
    server.add_insecure_port(f"127.0.0.1:{port}")
    await server.start()
    click.echo("serving")
    await server.wait_for_termination()


@click.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--port", required=True, type=int)
@click.option("--echo", is_flag=True, help="Write nothing.")
def main(folder: Path, port: int, *, echo: bool) -> None:
    """Serve on loopback; the files go to FOLDER."""
    run(serve(folder, port, echo=echo))


if __name__ == "__main__":
    main()
