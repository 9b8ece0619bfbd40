"""Which topics may carry a log, and what a person is told about the others (W10)."""

from collections.abc import Mapping

import pytest

from grit.config.kafka_model import KafkaConfig
from grit.core.errors import ConfigError
from grit.log.kafka_topic import TopicFacts, check_topic, safe_settings

REPLICATED = KafkaConfig(("h1:9092", "h2:9092"), "shop")
DEVELOPMENT = KafkaConfig(("h1:9092",), "shop", "development")
BYTES = 1_000_000


def check(
    config: KafkaConfig, *, partitions: int = 1, replicas: int = 3, changes: Mapping[str, str] | None = None
) -> None:
    settings = safe_settings(config, BYTES) | dict(changes or {})
    check_topic(config, "gtl", TopicFacts(partitions, replicas, settings), BYTES)


def refusal(
    config: KafkaConfig, *, partitions: int = 1, replicas: int = 3, changes: Mapping[str, str] | None = None
) -> str:
    with pytest.raises(ConfigError) as raised:
        check(config, partitions=partitions, replicas=replicas, changes=changes)
    assert "\n" not in str(raised.value)
    return str(raised.value)


def test_a_topic_that_is_made_is_one_that_is_accepted() -> None:
    check(REPLICATED)
    check(DEVELOPMENT, replicas=1)


@pytest.mark.parametrize(
    ("name", "found", "needed"),
    [
        ("cleanup.policy", "compact", "delete"),
        ("cleanup.policy", "compact,delete", "delete"),
        ("retention.ms", "604800000", "-1"),
        ("retention.bytes", "1073741824", "-1"),
        ("unclean.leader.election.enable", "true", "false"),
        ("max.message.bytes", "999999", "1000000"),
        ("min.insync.replicas", "1", "2"),
    ],
)
def test_an_unsafe_setting_is_refused_with_the_command_that_repairs_it(name: str, found: str, needed: str) -> None:
    told = refusal(REPLICATED, changes={name: found})
    command = "kafka-configs.sh --bootstrap-server h1:9092,h2:9092 --entity-type topics --entity-name shop.gtl --alter"
    assert f"log gtl: topic shop.gtl is not safe: {name}={found}; " in told
    assert told.endswith(f"`{command} --add-config {name}={needed}`")


def test_one_command_repairs_all_unsafe_settings() -> None:
    told = refusal(REPLICATED, changes={"retention.ms": "5", "min.insync.replicas": "1"})
    assert told.endswith("--add-config retention.ms=-1,min.insync.replicas=2`")


def test_sizes_and_replicas_may_be_larger() -> None:
    check(REPLICATED, replicas=5, changes={"max.message.bytes": "2000000", "min.insync.replicas": "3"})


def test_a_setting_that_the_cluster_does_not_tell_is_not_taken_for_safe() -> None:
    facts = TopicFacts(1, 3, {})
    with pytest.raises(ConfigError, match="retention.ms=?"):
        check_topic(REPLICATED, "gtl", facts, BYTES)


def test_several_partitions_have_several_orders() -> None:
    assert "has 2 partitions" in refusal(REPLICATED, partitions=2)


def test_one_replica_is_allowed_for_development_by_name_only() -> None:
    assert "log.durability: development" in refusal(REPLICATED, replicas=1)
    check(DEVELOPMENT, replicas=1)
