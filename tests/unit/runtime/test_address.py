"""Addresses of links."""

import asyncio
import socket
from pathlib import Path

import pytest

from grit.core.errors import ConfigError
from grit.runtime.links.address import TcpAddress, UnixAddress, parse_address


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("localhost:7410", TcpAddress("localhost", 7410)),
        ("[::1]:0", TcpAddress("::1", 0)),
        ("unix:/run/grit/gtm", UnixAddress("/run/grit/gtm")),
    ],
)
def test_an_address_is_read_and_written_the_same(text: str, address: TcpAddress | UnixAddress) -> None:
    assert parse_address(text) == address
    assert str(address) == text


@pytest.mark.parametrize(
    "text", ["", "localhost", "localhost:", ":7410", "localhost:x", "localhost:65536", "unix:", "a:²"]
)
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="is no address: write host:port or unix:/path"):
        parse_address(text)


def test_a_bound_port_0_becomes_a_real_one() -> None:
    with TcpAddress("127.0.0.1", 0).bind() as listening:
        assert TcpAddress("127.0.0.1", 0).bound(listening).port == listening.getsockname()[1]


def test_localhost_is_bound_where_every_machine_has_it() -> None:
    with TcpAddress("localhost", 0).bind() as listening:
        assert listening.getsockname()[0] == "127.0.0.1"


def test_an_address_that_this_machine_has_not_is_refused_in_one_line() -> None:
    with pytest.raises(ConfigError, match=r"^cannot listen on 0\.0\.0\.1:1: [^\n]+$"):
        TcpAddress("0.0.0.1", 1).bind()


def test_what_a_dead_process_left_at_a_path_is_replaced(tmp_path: Path) -> None:
    address = UnixAddress(f"{tmp_path}/s")
    address.bind().close()
    with address.bind(), socket.socket(socket.AF_UNIX) as client:
        client.connect(address.path)


def test_a_file_that_is_no_socket_is_kept(tmp_path: Path) -> None:
    file = tmp_path / "precious"
    file.write_text("data")
    with pytest.raises(ConfigError, match="the address is in use"):
        UnixAddress(str(file)).bind()
    assert file.read_text() == "data"


def test_a_path_too_long_for_a_socket_is_refused_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"^cannot listen on unix:[^\n]+$"):
        UnixAddress(f"{tmp_path}/{'x' * 200}").bind()


def test_release_removes_the_socket_and_may_find_it_gone(tmp_path: Path) -> None:
    address = UnixAddress(f"{tmp_path}/s")
    address.bind().close()
    address.release()
    address.release()
    assert not Path(address.path).exists()


async def test_connecting_to_nobody_is_an_os_error(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No such file"):
        await UnixAddress(f"{tmp_path}/s").connect(asyncio.Protocol)
