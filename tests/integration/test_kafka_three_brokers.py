"""The log contract on three brokers, and the loss of the one that leads: what is acknowledged is there, once, in order."""

import asyncio
from pathlib import Path

import pytest
from kafka.admin import KafkaAdminClient

from grit.config.kafka_model import KafkaConfig
from grit.log.kafka import KafkaLog
from grit.log.port import Log
from tests.contract.log_contract import LogContract, Opener
from tests.integration.kafka_topics import kafka_up, new_config, stack
from tests.integration.writers import Writers

pytestmark = [
    pytest.mark.stack,
    pytest.mark.timeout(180),
    # The driver forgets sockets of clients that it could not make.
    pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning"),
]

LIMIT_S = 120.0


class TestKafkaLogOnThreeBrokers(LogContract):
    """Handles on a Kafka log are connections to one topic, of which there are three replicas."""

    def opener(self, folder: Path) -> Opener:
        """Return what opens the topic again."""
        config = new_config(kafka_up("kafka3"))

        async def open_log() -> Log:
            return await KafkaLog.open(config, "gtl")

        return open_log


def leader_of(config: KafkaConfig) -> int:
    admin = KafkaAdminClient(bootstrap_servers=list(config.bootstrap))
    try:
        leader: int = admin.describe_topics([config.topic("gtl")])[0]["partitions"][0]["leader_id"]
        return leader
    finally:
        admin.close()


async def test_the_death_of_the_leading_broker_loses_nothing_that_was_acknowledged() -> None:
    config = new_config(kafka_up("kafka3"))
    assert config.durability == "replicated"
    log = await KafkaLog.open(config, "gtl")
    writers = Writers(log)
    leader = f"kafka3.{leader_of(config)}"
    try:
        async with asyncio.timeout(LIMIT_S), asyncio.TaskGroup() as tasks:
            writers.start(tasks)
            await writers.more(200)
            await asyncio.to_thread(stack, "kill", leader)
            await writers.more(200)
            writers.stop()
        await writers.expect_true()
    finally:
        await asyncio.to_thread(stack, "restart", leader)
    await log.close()
