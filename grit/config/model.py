"""The configuration as everybody reads it: frozen, checked, units in the names."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from grit.config.kafka_model import KafkaConfig
from grit.core.catalog import RealmDef
from grit.core.ids import Realm
from grit.core.limits import Limits

LOG_KINDS = ("embedded", "kafka", "memory")
ELECTOR_KINDS = ("none", "file")
LOG_LEVELS = ("debug", "info", "warning", "error")
LOG_FORMATS = ("text", "json")


@dataclass(frozen=True)
class LogConfig:
    """Where the logs are.

    Attributes:
        kind: `embedded` in the folder `path`, `kafka` in topics, or `memory` for one process without a disk.
        path: Absolute.
        kafka: Cluster, names and login.
    """

    kind: str = "memory"
    path: Path | None = None
    kafka: KafkaConfig | None = None

    def __post_init__(self) -> None:
        """Check that the kind is known and has what it needs."""
        if self.kind not in LOG_KINDS:
            raise ValueError(f"the log's kind is {self.kind!r}; there is {', '.join(LOG_KINDS)}")
        if (self.kind == "embedded") != (self.path is not None):
            raise ValueError("an embedded log has a path, and only it")
        if (self.kind == "kafka") != (self.kafka is not None):
            raise ValueError("a log in Kafka has a cluster, and only it")


@dataclass(frozen=True)
class ElectorConfig:
    """Who says which replica of a role tries first: `none`, or locks on `file`s in the folder `path` (absolute)."""

    kind: str = "none"
    path: Path | None = None

    def __post_init__(self) -> None:
        """Check that the kind is known and has what it needs."""
        if self.kind not in ELECTOR_KINDS:
            raise ValueError(f"the elector's kind is {self.kind!r}; there is {', '.join(ELECTOR_KINDS)}")
        if (self.kind == "file") != (self.path is not None):
            raise ValueError("an elector by file locks has a path, and only it")


@dataclass(frozen=True)
class SidecarConfig:
    """Addresses of the sidecar: where it listens (gRPC), and at which called services reach it; "" = the same."""

    listen: str = "127.0.0.1:7400"
    advertise: str = ""


@dataclass(frozen=True)
class TelemetryConfig:
    """What a process tells of itself.

    Attributes:
        metrics_port: On which /metrics answers on loopback; 0 = nowhere.
        trace_file: Where spans are written, absolute; None = nowhere.
    """

    log_level: str = "info"
    log_format: str = "text"
    metrics_port: int = 0
    trace_file: Path | None = None

    def __post_init__(self) -> None:
        """Check the choices and the port."""
        if self.log_level not in LOG_LEVELS:
            raise ValueError(f"log_level is {self.log_level!r}; there is {', '.join(LOG_LEVELS)}")
        if self.log_format not in LOG_FORMATS:
            raise ValueError(f"log_format is {self.log_format!r}; there is {', '.join(LOG_FORMATS)}")
        if not 0 <= self.metrics_port <= 65_535:
            raise ValueError(f"metrics_port is {self.metrics_port}; it may be 0 to 65535")


@dataclass(frozen=True)
class Config:
    """One deployment.

    Attributes:
        source: The file it came from, for messages.
        gtm: Addresses of the GTM's replicas; empty: it runs in the same process.
        realms: In the order of the file.
    """

    source: str
    log: LogConfig
    realms: Mapping[Realm, RealmDef]
    gtm: tuple[str, ...] = ()
    elector: ElectorConfig = field(default_factory=ElectorConfig)
    sidecar: SidecarConfig = field(default_factory=SidecarConfig)
    telemetry: TelemetryConfig = field(default_factory=TelemetryConfig)
    limits: Limits = field(default_factory=Limits)
