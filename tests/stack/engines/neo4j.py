"""Neo4j community edition, run from its jars."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from neo4j import Auth, GraphDatabase
from neo4j.exceptions import DriverError, Neo4jError

from tests.stack.engines.port import (
    LOOPBACK,
    OWNER,
    READER,
    WRITER,
    free_ports,
    is_listening,
    java,
    member,
    member_folder,
    new_logins,
)
from tests.stack.errors import StackError
from tests.stack.fetch import maven, run
from tests.stack.state import EngineUp

_OPENED = ("java.nio", "java.io", "java.util.concurrent")


@dataclass(frozen=True)
class Neo4j:
    """One server with one database."""

    name: str = "neo4j"
    package: str = "neo4j"
    version: str = "5.26.12"
    is_moving: bool = False

    def install(self, folder: Path) -> dict[str, str]:
        """See `Engine.install`; the server alone lacks the class that starts it."""
        server, kernel = f"org.neo4j.app:neo4j-server:{self.version}", f"org.neo4j:neo4j:{self.version}"
        return maven(folder / "libs", server, kernel)

    def set_up(self, installed: Path, run_folder: Path) -> EngineUp:
        """See `Engine.set_up`."""
        folder = member_folder(run_folder, self.name)
        logins = new_logins(OWNER, READER, WRITER)
        (port,) = free_ports(1)
        (folder / "conf").mkdir()
        (folder / "conf" / "neo4j.conf").write_text(settings(port), encoding="utf-8")
        tool = java(256, installed / "libs", folder, "org.neo4j.cli.AdminTool", "dbms", "set-initial-password")
        environ = os.environ | {"NEO4J_HOME": str(folder), "NEO4J_CONF": str(folder / "conf")}
        run([*tool, logins[OWNER].password], what=f"{self.name}: setting the first password", environ=environ)
        opens = [f"--add-opens=java.base/{name}=ALL-UNNAMED" for name in (*_OPENED, "sun.nio.ch")]
        netty = "-Dio.netty.tryReflectionSetAccessible=true"
        where = (f"--home-dir={folder}", f"--config-dir={folder / 'conf'}")
        entry = "org.neo4j.server.CommunityEntryPoint"
        command = java(768, installed / "libs", folder, *opens, netty, entry, *where)
        return EngineUp(self.name, self.version, (member(self.name, folder, command),), {"client": port}, logins)

    def lacks(self, engine: EngineUp) -> str:
        """See `Engine.lacks`."""
        if not is_listening(engine.ports["client"]):
            return "nobody answers"
        try:
            _run_as_owner(engine, "RETURN 1", "neo4j")
        except (DriverError, Neo4jError) as error:
            return str(error).partition("\n")[0]
        return ""

    def make_users(self, engine: EngineUp) -> None:
        """See `Engine.make_users`; the community edition has users but no roles: each may do everything."""
        try:
            for role in (READER, WRITER):
                login = engine.logins[role]
                statement = "CREATE USER $user IF NOT EXISTS SET PASSWORD $password CHANGE NOT REQUIRED"
                _run_as_owner(engine, statement, "system", user=login.user, password=login.password)
        except (DriverError, Neo4jError) as error:
            raise StackError(f"{self.name}: its users cannot be made: {error}; run down, then up") from error

    def environ(self, engine: EngineUp) -> Mapping[str, str]:
        """See `Engine.environ`."""
        return {"LC_ALL": "C.UTF-8"}


def _run_as_owner(engine: EngineUp, statement: str, database: str, **parameters: str) -> None:
    auth = Auth("basic", "neo4j", engine.logins[OWNER].password)
    with (
        GraphDatabase.driver(f"bolt://{LOOPBACK}:{engine.ports['client']}", auth=auth) as driver,
        driver.session(database=database) as session,
    ):
        session.run(statement, parameters).consume()


def settings(port: int) -> str:
    """Return the settings of the server; its durability is the default, a sync at every commit."""
    lines = {
        "server.default_listen_address": LOOPBACK,
        "server.bolt.listen_address": f"{LOOPBACK}:{port}",
        "server.bolt.advertised_address": f"{LOOPBACK}:{port}",
        "server.http.enabled": "false",
        "server.https.enabled": "false",
        "server.memory.pagecache.size": "128m",
        "dbms.usage_report.enabled": "false",
        # It would take 10 s to stop.
        "internal.server.bolt.thread_pool_shutdown_wait_time": "0s",
    }
    return "".join(f"{name}={value}\n" for name, value in lines.items())
