"""Which log a deployment has: for composition roots only. Kafka's driver is imported when it is needed."""

from grit.config.model import LogConfig
from grit.log.embedded import EmbeddedLog
from grit.log.memory import MemoryLog
from grit.log.port import Log


async def open_log(config: LogConfig, name: str, *, is_new_allowed: bool = True) -> Log:
    """Open a log: `gtl`, or `dbtl.<realm>`.

    Args:
        config: Where the logs are.
        name: Of the log.
        is_new_allowed: Make it where it is missing. An embedded log is always made: look for its file first.

    Raises:
        ConfigError: It cannot be had; says what to do.
        LogError, LogUnavailable: As `EmbeddedLog.open`.
    """
    if config.kafka is not None:
        from grit.log.kafka import KafkaLog

        return await KafkaLog.open(config.kafka, name, is_new_allowed=is_new_allowed)
    return MemoryLog(name) if config.path is None else await EmbeddedLog.open(config.path, name)
