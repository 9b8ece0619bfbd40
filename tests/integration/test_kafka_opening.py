"""Opening a log in Kafka: what is made, what is refused, and who is let in; on a real broker."""

import re
from dataclasses import replace

import pytest

from grit.config.kafka_model import KafkaSecurity
from grit.core.errors import ConfigError
from grit.core.ids import Offset
from grit.log.kafka import PAYLOAD_BYTES_MAX, KafkaLog
from tests.integration.kafka_topics import change_topic, kafka_up, make_topic, new_config
from tests.stack.engines.kafka import bootstrap
from tests.stack.engines.port import free_ports

pytestmark = pytest.mark.stack


async def test_a_missing_topic_is_made_so_that_it_is_safe() -> None:
    config = new_config(kafka_up())
    await (await KafkaLog.open(config, "gtl")).close()
    log = await KafkaLog.open(config, "gtl", is_new_allowed=False)
    assert await log.end() == 0
    await log.close()


async def test_who_only_looks_makes_no_topic() -> None:
    config = new_config(kafka_up())
    for _ in range(2):
        with pytest.raises(ConfigError, match="no such topic: has this deployment ever run"):
            await KafkaLog.open(config, "gtl", is_new_allowed=False)


async def test_an_unsafe_topic_is_refused_and_the_printed_settings_repair_it() -> None:
    config = new_config(kafka_up())
    make_topic(config, {"retention.ms": "1000", "cleanup.policy": "compact"})
    with pytest.raises(ConfigError, match=r"is not safe: cleanup.policy=compact, retention.ms=1000") as refused:
        await KafkaLog.open(config, "gtl")
    settings = re.search(r"--add-config (\S+)`$", str(refused.value))
    assert settings is not None
    change_topic(config, dict(one.split("=") for one in settings[1].split(",")))
    await (await KafkaLog.open(config, "gtl")).close()


async def test_a_topic_of_the_brokers_defaults_is_refused_and_loses_nothing() -> None:
    """A week of retention is Kafka's default: a log would lose its beginning."""
    config = new_config(kafka_up())
    make_topic(config, {})
    with pytest.raises(ConfigError, match=r"retention\.ms=604800000.*--add-config retention\.ms=-1"):
        await KafkaLog.open(config, "gtl")


async def test_several_partitions_are_refused() -> None:
    config = new_config(kafka_up())
    make_topic(config, {}, partitions=2)
    with pytest.raises(ConfigError, match="has 2 partitions"):
        await KafkaLog.open(config, "gtl")


async def test_one_broker_is_refused_unless_it_is_for_development() -> None:
    config = replace(new_config(kafka_up()), durability="replicated")
    with pytest.raises(ConfigError, match="3 replicas and there are fewer brokers.*log.durability: development"):
        await KafkaLog.open(config, "gtl")


async def test_the_largest_record_fits() -> None:
    log = await KafkaLog.open(new_config(kafka_up()), "gtl")
    largest = bytes(PAYLOAD_BYTES_MAX - 200)
    assert await log.append(largest) == 0
    await log.close()
    again = await KafkaLog.open(log._cluster._config, "gtl")
    assert list(await again.read(Offset(0))) == [(0, largest)]
    await again.close()


async def test_a_login_is_passed_on() -> None:
    engine = kafka_up()
    login = engine.logins["player"]
    security = KafkaSecurity("SASL_PLAINTEXT", "PLAIN", login.user, login.password)
    config = replace(new_config(engine), bootstrap=tuple(bootstrap(engine, "sasl")), security=security)
    log = await KafkaLog.open(config, "gtl")
    assert await log.append(b"a") == 0
    assert await log.wait(Offset(0), timeout_ms=5_000)
    await log.close()


@pytest.mark.parametrize(
    ("security", "told"),
    [
        (KafkaSecurity("SASL_PLAINTEXT", "PLAIN", "player", "wrong"), "does not let user 'player' in"),
        (KafkaSecurity(), "it wants a login or TLS, say so in log.security"),
    ],
)
async def test_a_refused_login_is_called_so_and_no_time_out(security: KafkaSecurity, told: str) -> None:
    engine = kafka_up()
    config = replace(new_config(engine), bootstrap=tuple(bootstrap(engine, "sasl")), security=security)
    with pytest.raises(ConfigError, match=told) as refused:
        await KafkaLog.open(config, "gtl")
    assert "wrong" not in str(refused.value)


async def test_nobody_at_the_address_is_called_so() -> None:
    (port,) = free_ports(1)
    config = replace(new_config(kafka_up()), bootstrap=(f"127.0.0.1:{port}",))
    with pytest.raises(ConfigError, match="nobody listens there: start the brokers, or correct log.bootstrap"):
        await KafkaLog.open(config, "gtl")
