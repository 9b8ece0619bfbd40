"""What a poll of Kafka's driver brings becomes rows without a hole, or an error that names the place."""

from typing import NamedTuple

import pytest
from kafka.errors import CorruptRecordError, KafkaTimeoutError, OffsetOutOfRangeError

from grit.config.kafka_model import KafkaConfig
from grit.core.errors import LogError
from grit.core.ids import Offset
from grit.log.kafka_cluster import KafkaCluster
from grit.log.kafka_reader import failure, rows_of
from grit.log.port import LogUnavailable
from grit.log.tail import limited

CLUSTER = KafkaCluster(KafkaConfig(("h:1",), "shop"), "gtl", payload_bytes_max=1_000)


class Record(NamedTuple):
    offset: int
    value: bytes | None = b"x"


def rows(start: int, *records: Record) -> list[tuple[Offset, bytes]]:
    return rows_of(CLUSTER, {CLUSTER.partition: list(records)}, Offset(start))


def test_rows_come_in_the_order_of_their_offsets() -> None:
    assert rows(3, Record(3, b"a"), Record(4, b"")) == [(3, b"a"), (4, b"")]


def test_nothing_polled_is_no_row() -> None:
    assert rows_of(CLUSTER, {}, Offset(3)) == []


@pytest.mark.parametrize(
    ("records", "missing"), [((Record(4),), 3), ((Record(3), Record(5)), 4), ((Record(3), Record(4), Record(9)), 5)]
)
def test_a_hole_is_refused_with_the_offset_that_is_missing(records: tuple[Record, ...], missing: int) -> None:
    with pytest.raises(LogError, match=rf"log gtl \(topic shop.gtl at h:1\): there is no record at offset {missing}: "):
        rows(3, *records)


def test_rows_are_limited_by_their_bytes_but_one_is_always_given() -> None:
    many = [(Offset(number), b"x" * 10) for number in range(5)]
    assert limited(many, 25) == many[:2]
    assert limited(many, 20) == many[:2]
    assert limited(many, 1) == many[:1]
    assert limited([], 1) == []


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (OffsetOutOfRangeError(), LogError),
        (CorruptRecordError(), LogError),
        (KafkaTimeoutError("away"), LogUnavailable),
    ],
)
def test_what_lasts_is_told_from_what_passes(error: Exception, kind: type[Exception]) -> None:
    told = failure(CLUSTER, error, Offset(7))
    assert isinstance(told, kind)
    assert "log gtl" in str(told)
