"""The log contract on `KafkaLog`, on a real broker, and on three."""

from pathlib import Path

import pytest

from grit.log.kafka import KafkaLog
from grit.log.port import Log
from tests.contract.log_contract import LogContract, Opener
from tests.integration.kafka_topics import kafka_up, new_config

pytestmark = pytest.mark.stack


class TestKafkaLog(LogContract):
    """Handles on a Kafka log are connections to one topic."""

    def opener(self, folder: Path) -> Opener:
        """Return what opens the topic again."""
        config = new_config(kafka_up())

        async def open_log() -> Log:
            return await KafkaLog.open(config, "gtl")

        return open_log
