"""Addresses of links between processes: `host:port`, `[v6 address]:port` or `unix:/path`."""

import asyncio
import errno
import socket
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from grit.core.errors import ConfigError

MakeProtocol = Callable[[], asyncio.BaseProtocol]

_BACKLOG = 256
_UNIX = "unix:"


@dataclass(frozen=True, slots=True)
class TcpAddress:
    """A host name or number and a port; port 0 asks for any free one."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    def bind(self) -> socket.socket:
        """Return a listening socket on the first address of the host that this machine has, IPv4 first.

        Raises:
            ConfigError: The address is in use or not of this machine.
        """
        try:
            found = socket.getaddrinfo(self.host, self.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
            family, kind, protocol, _, where = min(found, key=lambda info: info[0] != socket.AF_INET)
            listening = socket.socket(family, kind, protocol)
        except OSError as error:
            raise _refusal(str(self), error) from error
        # A server that restarts gets its port back at once; two servers still cannot share it.
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        return _listening(listening, where, str(self))

    def bound(self, listening: socket.socket) -> "TcpAddress":
        """Return this address with the port that `listening` got."""
        return TcpAddress(self.host, listening.getsockname()[1])

    async def serve(self, make_protocol: MakeProtocol, listening: socket.socket) -> asyncio.Server:
        """Accept connections on what `bind` returned."""
        return await asyncio.get_running_loop().create_server(make_protocol, sock=listening)

    def release(self) -> None:
        """Remove what `bind` left behind: nothing."""

    async def connect(self, make_protocol: MakeProtocol) -> None:
        """Make one connection.

        Raises:
            OSError: Nobody answers.
        """
        await asyncio.get_running_loop().create_connection(make_protocol, self.host, self.port)


@dataclass(frozen=True, slots=True)
class UnixAddress:
    """The path of a Unix socket on this host."""

    path: str

    def __str__(self) -> str:
        return _UNIX + self.path

    def bind(self) -> socket.socket:
        """Return a listening socket; what a dead process left at the path is replaced.

        Raises:
            ConfigError: Somebody listens there, or the path cannot be a socket.
        """
        self._remove_stale()
        return _listening(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM), self.path, str(self))

    def bound(self, listening: socket.socket) -> "UnixAddress":
        """Return this address."""
        return self

    async def serve(self, make_protocol: MakeProtocol, listening: socket.socket) -> asyncio.Server:
        """Accept connections on what `bind` returned."""
        return await asyncio.get_running_loop().create_unix_server(make_protocol, sock=listening)

    def release(self) -> None:
        """Remove the socket that `bind` made."""
        Path(self.path).unlink(missing_ok=True)

    async def connect(self, make_protocol: MakeProtocol) -> None:
        """Make one connection.

        Raises:
            OSError: Nobody answers.
        """
        await asyncio.get_running_loop().create_unix_connection(make_protocol, self.path)

    def _remove_stale(self) -> None:
        # Not left to the event loop, which would also take the path away from a living server.
        path = Path(self.path)
        if not path.is_socket():
            return
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
            if probe.connect_ex(self.path) == errno.ECONNREFUSED:
                path.unlink(missing_ok=True)


Address = TcpAddress | UnixAddress


def parse_address(text: str) -> Address:
    """Return the address that `text` spells.

    Raises:
        ConfigError: It spells none.
    """
    if text.startswith(_UNIX) and len(text) > len(_UNIX):
        return UnixAddress(text.removeprefix(_UNIX))
    host, colon, port = text.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not colon or not host or not (port.isascii() and port.isdigit()) or int(port) > 65_535:
        raise ConfigError(f"{text!r} is no address: write host:port or unix:/path")
    return TcpAddress(host, int(port))


def _listening(bound: socket.socket, where: tuple[Any, ...] | str, address: str) -> socket.socket:
    try:
        bound.bind(where)
        bound.listen(_BACKLOG)
    except OSError as error:
        bound.close()
        raise _refusal(address, error) from error
    bound.setblocking(False)
    return bound


def _refusal(address: str, error: OSError) -> ConfigError:
    if error.errno == errno.EADDRINUSE:
        return ConfigError(f"cannot listen on {address}: the address is in use; stop who has it or configure another")
    return ConfigError(f"cannot listen on {address}: {error.strerror or error}; configure an address of this machine")
