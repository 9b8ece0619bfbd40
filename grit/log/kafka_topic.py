"""What a topic must be to carry a log (protocol.md section 2), and the command that makes it so.

Nothing here asks a broker.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from grit.config.kafka_model import KafkaConfig
from grit.core.errors import ConfigError


@dataclass(frozen=True)
class TopicFacts:
    """What a cluster says of a topic: partitions, copies of the first, settings by name."""

    partitions: int
    replicas: int
    settings: Mapping[str, str]


def safe_settings(config: KafkaConfig, payload_bytes_max: int) -> dict[str, str]:
    """Return the settings that a topic is made with.

    Args:
        config: How many copies must have a record.
        payload_bytes_max: Of one record of the log.
    """
    return {
        "cleanup.policy": "delete",
        "retention.ms": "-1",
        "retention.bytes": "-1",
        "unclean.leader.election.enable": "false",
        "max.message.bytes": str(payload_bytes_max),
        "min.insync.replicas": str(config.replicas_in_sync),
    }


def check_topic(config: KafkaConfig, log: str, facts: TopicFacts, payload_bytes_max: int) -> None:
    """Refuse a topic that would lose or reorder records of a log.

    Raises:
        ConfigError: Says what is unsafe and prints the command that repairs it, where one can.
    """
    topic = config.topic(log)
    if facts.partitions != 1:
        raise ConfigError(
            f"log {log}: topic {topic} has {facts.partitions} partitions, and records of a log have one order: partitions "
            "cannot be taken away, so set log.topic_prefix to a new name, or delete the topic if nothing in it is needed"
        )
    if facts.replicas < config.replicas:
        raise ConfigError(
            f"log {log}: topic {topic} has {facts.replicas} replica(s) and needs {config.replicas}: add replicas with "
            f"`kafka-reassign-partitions.sh --bootstrap-server {config.where} --reassignment-json-file FILE --execute`, "
            "or set log.durability: development where losing the log is no harm"
        )
    wrong = unsafe_settings(facts.settings, safe_settings(config, payload_bytes_max))
    if wrong:
        found = ", ".join(f"{name}={facts.settings.get(name, '?')}" for name in wrong)
        raise ConfigError(
            f"log {log}: topic {topic} is not safe: {found}; repair it with `{repair(config, topic, wrong)}`"
        )


def unsafe_settings(found: Mapping[str, str], safe: Mapping[str, str]) -> dict[str, str]:
    """Return the settings that must change, with the value that they must have.

    Sizes and replicas may be larger; everything else must be equal.
    """
    return {name: value for name, value in safe.items() if not _is_safe(name, found.get(name, ""), value)}


def repair(config: KafkaConfig, topic: str, wrong: Mapping[str, str]) -> str:
    """Return the command that sets these settings."""
    settings = ",".join(f"{name}={value}" for name, value in wrong.items())
    where = f"--bootstrap-server {config.where} --entity-type topics --entity-name {topic}"
    return f"kafka-configs.sh {where} --alter --add-config {settings}"


def _is_safe(name: str, found: str, least: str) -> bool:
    if name in ("max.message.bytes", "min.insync.replicas"):
        return found.isdigit() and int(found) >= int(least)
    return found == least
