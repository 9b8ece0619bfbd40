"""Appends to a Kafka topic: one idempotent producer at a time, dropped at the first outcome that is not known.

    fresh --send--> in use --an error, a time-out, no offset--> broken --next send--> (a new producer) fresh

What a broken producer had under way is *unknown*, also where the broker answers well later: a predecessor may be lost,
and nothing is acknowledged before all of its predecessors (protocol.md section 2). The driver would go on by itself
under a new epoch of its producer and leave a silent hole; therefore it is dropped, and only the fold tells what landed.
"""

from collections.abc import Callable
from typing import Any, Protocol

from kafka.errors import KafkaError, MessageSizeTooLargeError

from grit.core.ids import Offset
from grit.log.kafka_cluster import reason
from grit.log.port import AppendUnknown, LogUnavailable

Outcome = Offset | LogUnavailable | AppendUnknown
Tell = Callable[[Outcome], None]

_CLOSE_S = 2.0
_NULL = -1
"""The driver's offset of a record that the broker had already, of which it does not say where."""


class Cluster(Protocol):
    """Where producers come from: `KafkaCluster`."""

    @property
    def place(self) -> str:
        """Return the log, for messages."""
        ...

    @property
    def partition(self) -> Any:
        """Return topic and partition."""
        ...

    def producer(self) -> Any:
        """Return a new producer; raise LogUnavailable."""
        ...


class KafkaWriter:
    """To be used from one thread, `give_up` apart; outcomes are told from the driver's."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._run: _Run | None = None

    def send(self, payload: bytes, tell: Tell) -> None:
        """Hand one payload to the driver; `tell` gets the outcome, once, in the driver's thread or before this returns."""
        try:
            run = self._ready()
        except LogUnavailable as error:
            tell(error)
            return
        topic, number = self._cluster.partition
        try:
            landing = run.producer.send(topic, value=payload, partition=number)
        except MessageSizeTooLargeError as error:
            tell(
                LogUnavailable(
                    f"{self._cluster.place}: a record of {len(payload):,} bytes does not fit: {reason(error)}"
                )
            )
        except KafkaError as error:  # the topic has no leader that could be found: nothing was handed over
            tell(LogUnavailable(f"{self._cluster.place}: {reason(error)}"))
        else:
            landing.add_callback(lambda metadata: tell(self._landed(run, metadata)))
            landing.add_errback(lambda error: tell(self._broke(run, error)))

    def give_up(self) -> None:
        """Count whatever is under way as unknown, and drop the producer at the next append; from any thread."""
        run = self._run
        if run is not None:
            run.is_broken = True

    def close(self) -> None:
        """Let the driver finish what was handed over, for a moment, and release it."""
        run, self._run = self._run, None
        if run is not None:
            run.producer.close(timeout=0 if run.is_broken else _CLOSE_S)

    def _ready(self) -> "_Run":
        if self._run is not None and self._run.is_broken:
            self.close()
        if self._run is None:
            self._run = _Run(self._cluster.producer())
        return self._run

    def _landed(self, run: "_Run", metadata: Any) -> Outcome:
        if run.is_broken:
            return self._unknown("an append before it has no known outcome")
        if metadata.offset == _NULL:
            run.is_broken = True
            return self._unknown("the broker had it already and does not say where")
        return Offset(metadata.offset)

    def _broke(self, run: "_Run", error: Exception) -> Outcome:
        run.is_broken = True
        return self._unknown(reason(error))

    def _unknown(self, why: str) -> AppendUnknown:
        return AppendUnknown(f"{self._cluster.place}: {why}")


class _Run:
    """One producer, and whether something went wrong with it."""

    def __init__(self, producer: Any) -> None:
        self.producer = producer
        self.is_broken = False
