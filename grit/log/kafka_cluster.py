"""Clients of a Kafka cluster: making them, making and checking the topic of a log, and what their errors mean.

Everything here blocks, and is called in a log's own threads.
"""

import logging
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from kafka.admin import ConfigResource, ConfigResourceType, KafkaAdminClient, NewTopic
from kafka.errors import (
    AuthorizationError,
    InvalidReplicationFactorError,
    KafkaError,
    KafkaTimeoutError,
    TopicAlreadyExistsError,
    UnknownTopicOrPartitionError,
)

from grit.config.kafka_model import KafkaConfig
from grit.core.errors import ConfigError
from grit.log.kafka_topic import TopicFacts, check_topic, safe_settings
from grit.log.port import LogUnavailable

ANSWER_MS = 5_000
"""How long one request may take, and how long brokers are looked for, before the log counts as out of reach."""
MADE_S = 15.0
"""How long a topic that was made may take until it is shown."""
DELIVERY_MS = 10_000
"""How long the driver tries to append by itself before the outcome is unknown: longer than a broker takes to fail over."""

_Result = TypeVar("_Result")
_OPENING = threading.Lock()
"""Logs of one process are opened one after the other: the level of the driver's logger is there once."""


class KafkaCluster:
    """Makes the clients of one log: a topic with one partition."""

    def __init__(self, config: KafkaConfig, log: str, *, payload_bytes_max: int) -> None:
        self._config = config
        self._log = log
        self._payload_bytes_max = payload_bytes_max
        self.partition = TopicPartition(config.topic(log), 0)

    @property
    def place(self) -> str:
        """Return the log and its topic, for messages."""
        return f"log {self._log} (topic {self.partition.topic} at {self._config.where})"

    def prepare(self, *, is_new_allowed: bool) -> None:
        """Make the topic where it is missing, and refuse one that is not safe.

        Raises:
            ConfigError: No broker answers, the login is refused, the topic is missing or not safe.
        """
        with _quiet_driver():
            self._prepare(is_new_allowed=is_new_allowed)

    def _prepare(self, *, is_new_allowed: bool) -> None:
        admin = self._connect(KafkaAdminClient)
        try:
            facts = self._facts(admin)
            if facts is None:
                if not is_new_allowed:
                    raise ConfigError(f"{self.place}: no such topic: has this deployment ever run, and here?")
                facts = self._create(admin)
            check_topic(self._config, self._log, facts, self._payload_bytes_max)
        except KafkaError as error:
            raise self._refused(error) from error
        finally:
            admin.close()

    def producer(self) -> KafkaProducer:
        """Return a new producer: idempotent, acknowledged by all replicas in sync, no transactions.

        Raises:
            LogUnavailable: No broker answers.
        """
        return self.reached(
            lambda: KafkaProducer(
                acks="all",
                enable_idempotence=True,
                linger_ms=0,
                batch_size=256 * 1024,
                delivery_timeout_ms=DELIVERY_MS,
                max_block_ms=ANSWER_MS,
                max_request_size=self._payload_bytes_max,
                allow_auto_create_topics=False,
                metrics_enabled=False,
                **self._options(),
            )
        )

    def consumer(self, *, wait_ms: int) -> KafkaConsumer:
        """Return a new consumer of the partition, which belongs to no group and shows what is below the high watermark.

        Args:
            wait_ms: How long a broker keeps a question for what comes next.

        Raises:
            LogUnavailable: No broker answers.
        """

        def connect() -> KafkaConsumer:
            consumer = KafkaConsumer(
                group_id=None,
                enable_auto_commit=False,
                auto_offset_reset="none",
                fetch_max_wait_ms=wait_ms,
                fetch_min_bytes=1,
                allow_auto_create_topics=False,
                metrics_enabled=False,
                **self._options(),
            )
            consumer.assign([self.partition])
            return consumer

        return self.reached(connect)

    def reached(self, ask: Callable[[], _Result]) -> _Result:
        """Return the answer of a cluster.

        Raises:
            LogUnavailable: It does not answer, or refuses for now.
        """
        try:
            return ask()
        except KafkaError as error:
            raise LogUnavailable(f"{self.place}: {reason(error)}") from error

    def cut(self, offset: int) -> None:
        """Let the brokers delete what lies below `offset`.

        Raises:
            LogUnavailable: They cannot now.
        """
        admin = self.reached(lambda: KafkaAdminClient(**self._options()))
        try:
            self.reached(lambda: admin.delete_records({self.partition: offset}, timeout_ms=ANSWER_MS))
        finally:
            admin.close()

    def _options(self) -> dict[str, Any]:
        return {
            "bootstrap_servers": list(self._config.bootstrap),
            "client_id": f"grit {self._log}",
            "request_timeout_ms": ANSWER_MS,
            "bootstrap_timeout_ms": ANSWER_MS,
            **self._config.security.options(),
        }

    def _connect(self, make: Callable[..., _Result]) -> _Result:
        """Return a client, or say why there is none: the driver only says that it waited in vain."""
        try:
            return make(**self._options())
        except KafkaTimeoutError as error:
            raise self._unreached() from error
        except (KafkaError, OSError) as error:  # OSError: a file of certificates
            raise self._refused(error) from error

    def _unreached(self) -> ConfigError:
        security = self._config.security
        if not any(_accepts(address) for address in self._config.bootstrap):
            return ConfigError(f"{self.place}: nobody listens there: start the brokers, or correct log.bootstrap")
        if security.has_login:
            return ConfigError(
                f"{self.place}: the broker accepts connections and does not let user {security.user!r} in with "
                f"{security.protocol} and {security.mechanism}: check user, password and mechanism in log.security"
            )
        return ConfigError(
            f"{self.place}: the broker accepts connections and does not answer in {security.protocol}: it wants a login "
            "or TLS, say so in log.security, or it is no Kafka broker"
        )

    def _refused(self, error: Exception) -> ConfigError:
        if isinstance(error, AuthorizationError):
            return ConfigError(
                f"{self.place}: user {self._config.security.user!r} may not look at it or make it: let it describe, create, "
                "read and write topics with this prefix"
            )
        return ConfigError(f"{self.place}: {reason(error)}")

    def _facts(self, admin: KafkaAdminClient) -> TopicFacts | None:
        """Return what the cluster says of the topic; None when there is none."""
        topic = self.partition.topic
        described = admin.describe_topics([topic])[0]
        if described["error_code"] == UnknownTopicOrPartitionError.errno:
            return None
        asked = [ConfigResource(ConfigResourceType.TOPIC, topic)]
        try:
            found = admin.describe_configs(asked, config_filter="all")["topic"][topic]
        except UnknownTopicOrPartitionError:  # of a broker that has not heard of it yet
            return None
        if not found:  # likewise
            return None
        settings = {name: str(entry["value"]) for name, entry in found.items()}
        partitions = described["partitions"]
        return TopicFacts(len(partitions), min((len(one["replica_nodes"]) for one in partitions), default=0), settings)

    def _create(self, admin: KafkaAdminClient) -> TopicFacts:
        """Make the topic, and wait until the broker that is asked has heard of it: others made it."""
        config, topic = self._config, self.partition.topic
        settings = safe_settings(config, self._payload_bytes_max)
        new = NewTopic(topic, num_partitions=1, replication_factor=config.replicas, topic_configs=settings)
        try:
            admin.create_topics([new], timeout_ms=ANSWER_MS)
        except TopicAlreadyExistsError:
            pass  # another process was faster
        except InvalidReplicationFactorError as error:
            raise ConfigError(
                f"{self.place}: it is to have {config.replicas} replicas and there are fewer brokers: add brokers, or set "
                "log.durability: development where losing the log is no harm"
            ) from error
        deadline = time.monotonic() + MADE_S
        while (facts := self._facts(admin)) is None:
            if time.monotonic() > deadline:
                raise ConfigError(f"{self.place}: the topic was made, and the brokers do not show it: start again")
            time.sleep(0.05)
        return facts


def reason(error: Exception) -> str:
    """Return what an error of the driver says, on one line."""
    text = " ".join(str(error).split())
    return f"{type(error).__name__.removesuffix('Error')}: {text}" if text else type(error).__name__


@contextmanager
def _quiet_driver() -> Iterator[None]:
    """Keep the driver from reporting every try of every connection: what a start lacks is said once, by us."""
    logger = logging.getLogger("kafka")
    with _OPENING:
        before = logger.level
        logger.setLevel(logging.CRITICAL)
        try:
            yield
        finally:
            logger.setLevel(before)


def _accepts(address: str) -> bool:
    host, _, port = address.rpartition(":")
    try:
        with socket.create_connection((host.strip("[]"), int(port)), timeout=1.0):
            return True
    except OSError:
        return False
