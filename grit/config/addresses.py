"""Addresses as they are written: host:port, [v6]:port or unix:/path."""

import re

from grit.config.document import Piece

_ADDRESS = re.compile(r"unix:.+|(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+):(?P<port>\d{1,5})")
_PORT_MAX = 65_535


def parse_address(piece: Piece) -> str:
    """Return one address as text, its form checked.

    Raises:
        ConfigError: It is none.
    """
    text = piece.text()
    found = _ADDRESS.fullmatch(text)
    if found is None or int(found["port"] or 0) > _PORT_MAX:
        piece.refuse(f"{piece.path} is no address: {text!r}; write host:port or unix:/path")
    return text


def parse_addresses(piece: Piece) -> tuple[str, ...]:
    """Return a list of addresses, one for each replica.

    Raises:
        ConfigError: One is none, or comes twice, or there is none.
    """
    items = piece.items()
    addresses = tuple(parse_address(item) for item in items)
    if not addresses:
        piece.refuse(f"{piece.path} is empty: give one address for each replica, or leave it out")
    for at, (item, address) in enumerate(zip(items, addresses, strict=True)):
        if address in addresses[:at]:
            item.refuse(f"{item.path}: {address} comes twice: remove one")
    return addresses
