"""Apache Kafka in KRaft mode: every process is broker and controller."""

import logging
import uuid
from base64 import urlsafe_b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from kafka.admin import KafkaAdminClient
from kafka.errors import KafkaError

from tests.stack.engines.port import LOOPBACK, WRITER, free_ports, java, member, member_folder, new_logins
from tests.stack.fetch import maven, run
from tests.stack.state import EngineUp, Login

_LISTENERS = ("client", "sasl", "controller")


@dataclass(frozen=True)
class Kafka:
    """One broker, for development, or three, of which one may die."""

    name: str = "kafka"
    brokers: int = 1
    package: str = "kafka"
    version: str = "4.4.0"
    is_moving: bool = False

    def install(self, folder: Path) -> dict[str, str]:
        """See `Engine.install`."""
        return maven(folder / "libs", f"org.apache.kafka:kafka_2.13:{self.version}")

    def set_up(self, installed: Path, run_folder: Path) -> EngineUp:
        """See `Engine.set_up`; the user `player` of the listener `sasl` may do everything: a log has one kind of user."""
        logins = new_logins(WRITER)
        cluster = urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
        names = [self.name] if self.brokers == 1 else [f"{self.name}.{node + 1}" for node in range(self.brokers)]
        found = free_ports(self.brokers * len(_LISTENERS))
        ports = [found[at : at + len(_LISTENERS)] for at in range(0, len(found), len(_LISTENERS))]
        members = []
        for node, name in enumerate(names, start=1):
            folder = member_folder(run_folder, name)
            settings = folder / "server.properties"
            settings.write_text(properties(node, ports, folder / "data", logins[WRITER]), encoding="utf-8")
            settings.chmod(0o600)
            tool = java(128, installed / "libs", folder, "kafka.tools.StorageTool", "format", "-t", cluster)
            run([*tool, "-c", str(settings)], what=f"{name}: formatting its storage", cwd=folder)
            heap_mb = 512 if self.brokers == 1 else 384
            members.append(
                member(name, folder, java(heap_mb, installed / "libs", folder, "kafka.Kafka", str(settings)))
            )
        named = {
            listener if node == 0 else f"{listener}.{node + 1}": ports[node][at]
            for node in range(self.brokers)
            for at, listener in enumerate(_LISTENERS)
        }
        return EngineUp(self.name, self.version, tuple(members), named, logins, {"cluster": cluster})

    def lacks(self, engine: EngineUp) -> str:
        """See `Engine.lacks`; ready means that every broker is known to the cluster."""
        logging.getLogger("kafka").setLevel(logging.CRITICAL)
        try:
            admin = KafkaAdminClient(
                bootstrap_servers=bootstrap(engine), request_timeout_ms=2_000, bootstrap_timeout_ms=2_000
            )
        except KafkaError as error:
            return f"nobody answers: {error}"
        try:
            known = len(admin.describe_cluster()["brokers"])
        except KafkaError as error:
            return str(error)
        finally:
            admin.close()
        return "" if known == self.brokers else f"{known} of {self.brokers} brokers are there"

    def make_users(self, engine: EngineUp) -> None:
        """See `Engine.make_users`: they stand in the settings."""

    def environ(self, engine: EngineUp) -> Mapping[str, str]:
        """See `Engine.environ`."""
        return {"LC_ALL": "C.UTF-8"}


def bootstrap(engine: EngineUp, listener: str = "client") -> list[str]:
    """Return the addresses of all brokers."""
    return [f"{LOOPBACK}:{port}" for name, port in engine.ports.items() if name.partition(".")[0] == listener]


def properties(node: int, ports: list[list[int]], data: Path, login: Login) -> str:
    """Return the settings of broker `node` (from 1) of as many as `ports` has entries."""
    replicas = len(ports)
    client, sasl, controller = ports[node - 1]
    voters = ",".join(f"{number}@{LOOPBACK}:{own[2]}" for number, own in enumerate(ports, start=1))
    served = f"CLIENT://{LOOPBACK}:{client},SASL://{LOOPBACK}:{sasl}"
    jaas = f'org.apache.kafka.common.security.plain.PlainLoginModule required user_{login.user}="{login.password}";'
    settings = {
        "process.roles": "broker,controller",
        "node.id": node,
        "controller.quorum.voters": voters,
        "controller.listener.names": "CONTROLLER",
        "listeners": f"{served},CONTROLLER://{LOOPBACK}:{controller}",
        "advertised.listeners": served,
        "listener.security.protocol.map": "CLIENT:PLAINTEXT,SASL:SASL_PLAINTEXT,CONTROLLER:PLAINTEXT",
        "inter.broker.listener.name": "CLIENT",
        "sasl.enabled.mechanisms": "PLAIN",
        "listener.name.sasl.plain.sasl.jaas.config": jaas,
        "log.dirs": data,
        "auto.create.topics.enable": "false",
        "default.replication.factor": replicas,
        "min.insync.replicas": replicas // 2 + 1,
        "offsets.topic.replication.factor": replicas,
        "transaction.state.log.replication.factor": replicas,
        "transaction.state.log.min.isr": 1,
        "group.initial.rebalance.delay.ms": 0,
        # A broker that was killed comes back when its old session has expired: 6 s instead of 14.
        "broker.session.timeout.ms": 3_000,
        "broker.heartbeat.interval.ms": 500,
    }
    return "".join(f"{name}={value}\n" for name, value in settings.items())
