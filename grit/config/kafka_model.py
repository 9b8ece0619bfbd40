"""Where the Kafka logs are and who may use them, as the configuration says it; no driver is imported here."""

from dataclasses import dataclass, field
from typing import Any

PROTOCOLS = ("PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL")
MECHANISMS = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512")
DURABILITIES = ("replicated", "development")


@dataclass(frozen=True)
class KafkaSecurity:
    """How a client proves who it is and who it speaks to; files are absolute paths, "" where there is none.

    Attributes:
        mechanism, user, password: With a SASL protocol, and only then.
        ca_file: Whom to trust instead of the system's authorities, with TLS.
        cert_file, key_file: The client's own, both or none, with TLS.
    """

    protocol: str = "PLAINTEXT"
    mechanism: str = ""
    user: str = ""
    password: str = field(default="", repr=False)
    ca_file: str = ""
    cert_file: str = ""
    key_file: str = ""

    def __post_init__(self) -> None:
        """Check that what belongs together is there together."""
        if self.protocol not in PROTOCOLS:
            raise ValueError(f"protocol is {self.protocol!r}; there is {', '.join(PROTOCOLS)}")
        if self.has_login and self.mechanism not in MECHANISMS:
            raise ValueError(f"mechanism is {self.mechanism!r}; there is {', '.join(MECHANISMS)}")
        if self.has_login != bool(self.user and self.password) or (self.mechanism and not self.has_login):
            raise ValueError(
                "mechanism, user and password belong to SASL_PLAINTEXT and SASL_SSL, and they need all three"
            )
        if bool(self.cert_file) != bool(self.key_file):
            raise ValueError("cert_file and key_file are given together or not at all")
        if not self.protocol.endswith("SSL") and (self.ca_file or self.cert_file):
            raise ValueError("ca_file, cert_file and key_file belong to SSL and SASL_SSL")

    @property
    def has_login(self) -> bool:
        """Tell whether the client logs in with a password."""
        return self.protocol.startswith("SASL_")

    def options(self) -> dict[str, Any]:
        """Return what every client of the driver is made with."""
        options = {
            "security_protocol": self.protocol,
            "sasl_mechanism": self.mechanism,
            "sasl_plain_username": self.user,
            "sasl_plain_password": self.password,
            "ssl_cafile": self.ca_file,
            "ssl_certfile": self.cert_file,
            "ssl_keyfile": self.key_file,
        }
        return {name: value for name, value in options.items() if value}


@dataclass(frozen=True)
class KafkaConfig:
    """One cluster and the names of our topics in it.

    Attributes:
        bootstrap: Addresses, host:port, of some brokers.
        topic_prefix: A log's topic is `<topic_prefix>.<name of the log>`.
        durability: `replicated`: three replicas, two of which have every record that is acknowledged. `development`:
            one replica is enough; what its disk loses is lost.
    """

    bootstrap: tuple[str, ...]
    topic_prefix: str
    durability: str = "replicated"
    security: KafkaSecurity = field(default_factory=KafkaSecurity)

    @property
    def where(self) -> str:
        """Return the brokers as one writes them."""
        return ",".join(self.bootstrap)

    @property
    def replicas(self) -> int:
        """Return how many copies of a topic are made."""
        return 3 if self.durability == "replicated" else 1

    @property
    def replicas_in_sync(self) -> int:
        """Return how many copies must have a record before it is acknowledged."""
        return 2 if self.durability == "replicated" else 1

    def topic(self, log: str) -> str:
        """Return the topic of a log."""
        return f"{self.topic_prefix}.{log}"
