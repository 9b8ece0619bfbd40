"""The `log` section of a deployment whose logs lie in Kafka."""

import re
from pathlib import Path

from grit.config.addresses import parse_addresses
from grit.config.document import Piece, Section
from grit.config.kafka_model import DURABILITIES, MECHANISMS, PROTOCOLS, KafkaConfig, KafkaSecurity

_PREFIX = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,179}")
_FILES = ("ca_file", "cert_file", "key_file")


def parse_kafka(section: Section, base: Path) -> KafkaConfig:
    """Return cluster, names and login; paths of certificates are relative to `base`.

    Raises:
        ConfigError: The first mistake, with its place and remedy.
    """
    section.expect("kind", "bootstrap", "topic_prefix", "durability", "security")
    bootstrap = section.need("bootstrap", 'bootstrap: ["localhost:9092"]')
    addresses = parse_addresses(bootstrap)
    if any(address.startswith("unix:") for address in addresses):
        bootstrap.refuse(f"{bootstrap.path}: brokers are reached at host:port")
    durability, security = section.get("durability"), section.get("security")
    return KafkaConfig(
        addresses,
        _prefix(section.need("topic_prefix", "topic_prefix: shop.grit")),
        durability.choice(DURABILITIES) if durability else DURABILITIES[0],
        _security(security.section(), base) if security else KafkaSecurity(),
    )


def parse_path(piece: Piece, base: Path) -> Path:
    """Return a path, relative to `base`.

    Raises:
        ConfigError: It is empty.
    """
    text = piece.text()
    if not text:
        piece.refuse(f"{piece.path} is empty: give a path")
    return base / text


def _prefix(piece: Piece) -> str:
    text = piece.text()
    if not _PREFIX.fullmatch(text):
        piece.refuse(f"{piece.path} cannot be {text!r}: up to 180 letters, digits, dots, hyphens and underscores")
    return text


def _security(section: Section, base: Path) -> KafkaSecurity:
    section.expect("protocol", "mechanism", "user", "password", *_FILES)
    mechanism = section.get("mechanism")
    try:
        return KafkaSecurity(
            protocol=section.need("protocol", "protocol: SASL_SSL").choice(PROTOCOLS),
            mechanism=mechanism.choice(MECHANISMS) if mechanism else "",
            **{name: piece.text() for name in ("user", "password") if (piece := section.get(name))},
            **{name: str(parse_path(piece, base)) for name in _FILES if (piece := section.get(name))},
        )
    except ValueError as error:
        section.refuse(f"{section.path}: {error}")
