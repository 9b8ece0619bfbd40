"""The `log` section of logs in Kafka."""

from pathlib import Path

import pytest

from grit.config.kafka_model import KafkaConfig, KafkaSecurity
from grit.config.load import parse_config
from grit.config.model import LogConfig
from grit.core.errors import ConfigError

REALMS = "realms: {m: {engine: memory, collections: {A: {key: [a], fields: {a: int}}}}}\n"


def log_of(text: str, **environ: str) -> LogConfig:
    return parse_config(f"log: {{kind: kafka, {text}}}\n{REALMS}", "grit.yaml", Path("/base"), environ).log


def refusal(text: str) -> str:
    with pytest.raises(ConfigError) as raised:
        log_of(text)
    assert "\n" not in str(raised.value)
    return str(raised.value)


WHERE = 'bootstrap: ["h1:9092", "h2:9092"], topic_prefix: shop.grit'


def test_brokers_and_prefix_are_enough_and_mean_three_replicas() -> None:
    config = log_of(WHERE).kafka
    assert config == KafkaConfig(("h1:9092", "h2:9092"), "shop.grit", "replicated", KafkaSecurity())
    assert (config.replicas, config.replicas_in_sync, config.topic("dbtl.a")) == (3, 2, "shop.grit.dbtl.a")


def test_one_replica_is_asked_for_by_name() -> None:
    config = log_of(f"{WHERE}, durability: development").kafka
    assert config is not None
    assert (config.replicas, config.replicas_in_sync) == (1, 1)


def test_login_and_certificates_are_passed_to_the_driver_with_paths_from_the_file() -> None:
    security = "protocol: SASL_SSL, mechanism: SCRAM-SHA-512, user: u, password: '${PASSWORD}', ca_file: ca.pem"
    config = log_of(f"{WHERE}, security: {{{security}}}", PASSWORD="secret").kafka
    assert config is not None
    assert config.security.options() == {
        "security_protocol": "SASL_SSL",
        "sasl_mechanism": "SCRAM-SHA-512",
        "sasl_plain_username": "u",
        "sasl_plain_password": "secret",
        "ssl_cafile": "/base/ca.pem",
    }


def test_a_password_is_not_shown() -> None:
    security = KafkaSecurity("SASL_SSL", "PLAIN", "u", "secret")
    assert "secret" not in repr(KafkaConfig(("h:1",), "p", security=security))


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("topic_prefix: p", "grit.yaml:1:6: log needs bootstrap: write `bootstrap: "),
        ('bootstrap: ["h:1"]', "needs topic_prefix: write `topic_prefix: shop.grit`"),
        ("bootstrap: [], topic_prefix: p", "log.bootstrap is empty"),
        ('bootstrap: ["unix:/a"], topic_prefix: p', "brokers are reached at host:port"),
        ('bootstrap: ["h:1"], topic_prefix: "a b"', "log.topic_prefix cannot be 'a b'"),
        (f"{WHERE}, path: x", 'log has no "path"'),
        (f"{WHERE}, durability: none", 'log.durability cannot be "none"; there is development, replicated'),
        (f"{WHERE}, security: {{protocol: SASL_SSL}}", "log.security: mechanism is ''; there is PLAIN"),
        (f"{WHERE}, security: {{protocol: SASL_SSL, mechanism: PLAIN, user: u}}", "they need all three"),
        (f"{WHERE}, security: {{protocol: SSL, user: u, password: p}}", "belong to SASL_PLAINTEXT and SASL_SSL"),
        (f"{WHERE}, security: {{protocol: SSL, cert_file: c}}", "given together or not at all"),
        (f"{WHERE}, security: {{protocol: PLAINTEXT, ca_file: c}}", "belong to SSL and SASL_SSL"),
    ],
)
def test_a_mistake_is_named_with_its_remedy(text: str, told: str) -> None:
    assert told in refusal(text)
