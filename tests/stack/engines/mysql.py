"""MySQL, out of Debian packages unpacked into a root of its own, run with that root's own loader."""

import getpass
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.stack.engines.port import (
    LOOPBACK,
    OWNER,
    READER,
    WRITER,
    free_ports,
    is_listening,
    member,
    member_folder,
    new_logins,
)
from tests.stack.errors import StackError
from tests.stack.fetch import debian, run
from tests.stack.state import EngineUp, Login

_LIBRARIES = ("usr/lib/x86_64-linux-gnu", "usr/lib/x86_64-linux-gnu/mysql")


@dataclass(frozen=True)
class Mysql:
    """One server, durable as in production."""

    name: str = "mysql"
    package: str = "mysql"
    version: str = "9"
    is_moving: bool = True

    def install(self, folder: Path) -> dict[str, str]:
        """See `Engine.install`."""
        return debian(folder / "root", "unstable", "mysql-server-core", "mysql-client-core")

    def set_up(self, installed: Path, run_folder: Path) -> EngineUp:
        """See `Engine.set_up`; users are made together with the empty database."""
        root, folder = installed / "root", member_folder(run_folder, self.name)
        logins = new_logins(OWNER, READER, WRITER)
        users = folder / "users.sql"
        users.write_text(user_statements(logins), encoding="utf-8")
        users.chmod(0o600)
        (port,) = free_ports(1)
        server = program(root, "usr/sbin/mysqld", *options(root, folder, port))
        what = f"{self.name}: making an empty database"
        run([*server, "--initialize-insecure", f"--init-file={users}", "--skip-log-bin"], what=what)
        users.unlink()
        members = (member(self.name, folder, server),)
        return EngineUp(self.name, self.version, members, {"client": port}, logins, {"root": str(root)})

    def lacks(self, engine: EngineUp) -> str:
        """See `Engine.lacks`; ready means that its own client logs in as reader."""
        if not is_listening(engine.ports["client"]):
            return "nobody answers"
        try:
            self._ask(engine, READER, "SELECT 1")
        except StackError as error:
            return str(error)
        return ""

    def make_users(self, engine: EngineUp) -> None:
        """See `Engine.make_users`: they are there."""

    def environ(self, engine: EngineUp) -> Mapping[str, str]:
        """See `Engine.environ`."""
        return {"LC_ALL": "C.UTF-8"}

    def _ask(self, engine: EngineUp, role: str, statement: str) -> str:
        login = engine.logins[role]
        where = ("--no-defaults", "--protocol=TCP", f"--host={LOOPBACK}", f"--port={engine.ports['client']}")
        client = program(Path(engine.ids["root"]), "usr/bin/mysql", *where, f"--user={login.user}")
        environ = os.environ | {"MYSQL_PWD": login.password}
        return run([*client, "--batch", "--execute", statement], what=f"{self.name} as {login.user}", environ=environ)


def program(root: Path, path: str, *arguments: str) -> tuple[str, ...]:
    """Return the command of a program of a private root, with the libraries of that root."""
    libraries = ":".join(str(root / part) for part in _LIBRARIES)
    loader = next(
        (
            str(root / one)
            for one in ("usr/lib64/ld-linux-x86-64.so.2", "lib64/ld-linux-x86-64.so.2")
            if (root / one).exists()
        ),
        "",
    )
    if not loader:
        raise StackError(f"{root} holds no loader: the recipe knows x86-64 only; remove the folder and install again")
    return (loader, "--library-path", libraries, str(root / path), *arguments)


def options(root: Path, folder: Path, port: int) -> tuple[str, ...]:
    """Return the settings of the server, its durability among them."""
    return (
        "--no-defaults",
        f"--user={getpass.getuser()}",
        f"--basedir={root}/usr",
        f"--lc-messages-dir={root}/usr/share/mysql",
        f"--datadir={folder}/data",
        f"--socket={folder}/socket",
        f"--pid-file={folder}/pid",
        f"--tmpdir={folder}",
        f"--bind-address={LOOPBACK}",
        f"--port={port}",
        "--mysqlx=OFF",
        "--secure-file-priv=NULL",
        "--server-id=1",
        "--log-bin=binlog",
        "--sync-binlog=1",
        "--innodb-flush-log-at-trx-commit=1",
        "--innodb-buffer-pool-size=256M",
        "--character-set-server=utf8mb4",
    )


def user_statements(logins: Mapping[str, Login]) -> str:
    """Return what makes the users, one statement a line: the reader reads, the writer writes, in databases `grit_*`."""
    rights = {
        READER: "SELECT",
        WRITER: "SELECT, INSERT, UPDATE, DELETE, CREATE, ALTER, DROP, INDEX, REFERENCES",
    }
    lines = [f"ALTER USER 'root'@'localhost' IDENTIFIED BY '{logins[OWNER].password}';"]
    for role, granted in rights.items():
        login = logins[role]
        lines.append(f"CREATE USER '{login.user}'@'{LOOPBACK}' IDENTIFIED BY '{login.password}';")
        lines.append(f"GRANT {granted} ON `grit\\_%`.* TO '{login.user}'@'{LOOPBACK}';")
    return "\n".join(lines) + "\n"
