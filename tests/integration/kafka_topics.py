"""A Kafka of the stack for tests: names of a test's own, and what an administrator would do."""

import os
import secrets
import subprocess
import sys
from collections.abc import Mapping

from kafka.admin import ConfigResource, ConfigResourceType, KafkaAdminClient, NewTopic

from grit.config.kafka_model import KafkaConfig
from tests.stack import state
from tests.stack.engines.kafka import bootstrap
from tests.stack.places import Places
from tests.stack.state import EngineUp


def kafka_up(name: str = "kafka") -> EngineUp:
    """Return the Kafka of the stack, which `make test-stack` has started."""
    return state.load(Places.of(os.environ).state).engine(name)


def new_config(engine: EngineUp) -> KafkaConfig:
    """Return a configuration whose topics nobody else has."""
    durability = "development" if len(engine.members) == 1 else "replicated"
    return KafkaConfig(tuple(bootstrap(engine)), f"test.{secrets.token_hex(6)}", durability)


def make_topic(config: KafkaConfig, settings: Mapping[str, str], *, partitions: int = 1) -> None:
    """Make the topic of the global log as somebody else would."""
    admin = KafkaAdminClient(bootstrap_servers=list(config.bootstrap))
    try:
        admin.create_topics([NewTopic(config.topic("gtl"), partitions, 1, topic_configs=dict(settings))])
        admin.wait_for_topics([config.topic("gtl")])
    finally:
        admin.close()


def change_topic(config: KafkaConfig, settings: Mapping[str, str]) -> None:
    """Change settings of the topic of the global log."""
    admin = KafkaAdminClient(bootstrap_servers=list(config.bootstrap))
    try:
        admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, config.topic("gtl"), dict(settings))])
    finally:
        admin.close()


def stack(*words: str) -> None:
    """Run the tool, as a person would."""
    subprocess.run([sys.executable, "-m", "tests.stack", *words], check=True, stdout=subprocess.DEVNULL)
