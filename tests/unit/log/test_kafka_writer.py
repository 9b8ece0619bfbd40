"""What an outcome of Kafka's driver means for an append (protocol.md section 2, acknowledgement rule)."""

from collections.abc import Callable
from typing import Any, NamedTuple

import pytest
from kafka import TopicPartition
from kafka.errors import KafkaTimeoutError, MessageSizeTooLargeError, NotEnoughReplicasError

from grit.core.ids import Offset
from grit.log.kafka_writer import KafkaWriter, Outcome
from grit.log.port import AppendUnknown, LogUnavailable


class Metadata(NamedTuple):
    offset: int


class Landing:
    """The driver's future of one record, settled by the test."""

    def __init__(self) -> None:
        self.good: Callable[[Metadata], Any]
        self.bad: Callable[[Exception], Any]

    def add_callback(self, call: Callable[[Metadata], Any]) -> None:
        self.good = call

    def add_errback(self, call: Callable[[Exception], Any]) -> None:
        self.bad = call


class Producer:
    def __init__(self) -> None:
        self.sent: list[bytes] = []
        self.landings: list[Landing] = []
        self.closed: list[float] = []
        self.refusal: Exception | None = None

    def send(self, topic: str, *, value: bytes, partition: int) -> Landing:
        assert (topic, partition) == ("shop.gtl", 0)
        if self.refusal is not None:
            raise self.refusal
        self.sent.append(value)
        self.landings.append(Landing())
        return self.landings[-1]

    def close(self, timeout: float) -> None:
        self.closed.append(timeout)


class Cluster:
    place = "log gtl"
    partition = TopicPartition("shop.gtl", 0)

    def __init__(self) -> None:
        self.producers: list[Producer] = []
        self.is_away = False

    def producer(self) -> Producer:
        if self.is_away:
            raise LogUnavailable("log gtl: nobody listens")
        self.producers.append(Producer())
        return self.producers[-1]


class Rig:
    """A writer on scripted producers; `outcomes` by payload."""

    def __init__(self) -> None:
        self.cluster = Cluster()
        self.writer = KafkaWriter(self.cluster)
        self.outcomes: dict[bytes, Outcome] = {}

    def send(self, payload: bytes) -> Landing:
        self.writer.send(payload, lambda outcome: self.outcomes.__setitem__(payload, outcome))
        return self.cluster.producers[-1].landings[-1]

    def kinds(self) -> dict[bytes, object]:
        return {key: type(value) if isinstance(value, Exception) else value for key, value in self.outcomes.items()}


@pytest.fixture
def rig() -> Rig:
    return Rig()


def test_the_offset_is_the_brokers(rig: Rig) -> None:
    rig.send(b"a").good(Metadata(7))
    assert rig.outcomes == {b"a": Offset(7)}


def test_one_producer_serves_as_long_as_all_goes_well(rig: Rig) -> None:
    rig.send(b"a").good(Metadata(0))
    rig.send(b"b").good(Metadata(1))
    assert [producer.sent for producer in rig.cluster.producers] == [[b"a", b"b"]]


@pytest.mark.parametrize("error", [KafkaTimeoutError("expired"), NotEnoughReplicasError()])
def test_an_error_or_a_time_out_is_unknown_not_refused(rig: Rig, error: Exception) -> None:
    rig.send(b"a").bad(error)
    assert rig.kinds() == {b"a": AppendUnknown}


def test_nothing_is_acknowledged_after_an_append_without_a_known_outcome(rig: Rig) -> None:
    first, second = rig.send(b"a"), rig.send(b"b")
    first.bad(KafkaTimeoutError("expired"))
    second.good(Metadata(0))  # in the place of the first, where nobody expected it
    assert rig.kinds() == {b"a": AppendUnknown, b"b": AppendUnknown}


def test_after_an_unknown_outcome_the_producer_is_dropped_without_sending_more_and_a_new_one_appends(rig: Rig) -> None:
    rig.send(b"a").bad(KafkaTimeoutError("expired"))
    rig.send(b"b").good(Metadata(3))
    first, second = rig.cluster.producers
    assert (first.sent, first.closed) == ([b"a"], [0])
    assert (second.sent, rig.outcomes[b"b"]) == ([b"b"], 3)


def test_a_driver_that_is_given_up_has_told_nothing_that_counts_and_is_dropped(rig: Rig) -> None:
    late = rig.send(b"a")
    rig.writer.give_up()
    late.good(Metadata(0))
    rig.send(b"b").good(Metadata(1))
    assert rig.kinds() == {b"a": AppendUnknown, b"b": 1}
    assert rig.cluster.producers[0].closed == [0]


def test_a_record_that_the_broker_had_already_has_no_offset_and_is_unknown(rig: Rig) -> None:
    first, second = rig.send(b"a"), rig.send(b"b")
    first.good(Metadata(-1))
    second.good(Metadata(5))
    assert rig.kinds() == {b"a": AppendUnknown, b"b": AppendUnknown}


def test_without_a_broker_an_append_is_definitely_not_done_and_the_next_tries_again(rig: Rig) -> None:
    rig.cluster.is_away = True
    rig.writer.send(b"a", lambda outcome: rig.outcomes.__setitem__(b"a", outcome))
    rig.cluster.is_away = False
    rig.send(b"b").good(Metadata(0))
    assert rig.kinds() == {b"a": LogUnavailable, b"b": 0}


@pytest.mark.parametrize("refusal", [KafkaTimeoutError("no leader"), MessageSizeTooLargeError("too large")])
def test_what_the_driver_does_not_take_is_definitely_not_done(rig: Rig, refusal: Exception) -> None:
    rig.send(b"a").good(Metadata(0))
    rig.cluster.producers[0].refusal = refusal
    rig.send(b"b")
    rig.cluster.producers[0].refusal = None
    rig.send(b"c").good(Metadata(1))
    assert rig.kinds() == {b"a": 0, b"b": LogUnavailable, b"c": 1}


def test_closing_lets_a_good_producer_finish(rig: Rig) -> None:
    rig.send(b"a")
    rig.writer.close()
    (closed,) = rig.cluster.producers[0].closed
    assert closed > 0
