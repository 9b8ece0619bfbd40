"""Reads of a Kafka topic: a reader of any place, and a follower of the end; each has a consumer of its own.

A consumer keeps a question for what comes next with the broker, and a read of another place would wait for its answer:
hence two. Offsets must be dense: a topic that was compacted, or written with transactions, has holes and is refused.
"""

import threading
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

from kafka import KafkaConsumer
from kafka.errors import CorruptRecordError, KafkaError, LogTruncationError, OffsetOutOfRangeError

from grit.core.errors import LogError
from grit.core.ids import Offset
from grit.log.kafka_cluster import ANSWER_MS, KafkaCluster, reason
from grit.log.port import LogUnavailable, refuse_cut
from grit.log.tail import Row, limited

Report = Sequence[Row] | LogUnavailable | LogError

_READ_WAIT_MS = 1
_FOLLOW_WAIT_MS = 200
"""How long a broker keeps a follower's question; also the longest that closing takes."""
_PAUSE_S = 0.5


class KafkaReader:
    """Reads from any place; to be used from one thread."""

    def __init__(self, cluster: KafkaCluster) -> None:
        self._cluster = cluster
        self._made: KafkaConsumer | None = None
        self._rows: list[Row] = []

    def read(self, start: Offset, *, bytes_max: int) -> list[Row]:
        """Return payloads from `start` on, of about `bytes_max`; none at the end.

        Raises:
            LogUnavailable: Transient.
            LogCut: `start` lies below the first offset that is kept.
            LogError: `start` lies outside of the log, a record is damaged or missing.
        """
        if start < 0:
            raise LogError(f"{self._cluster.place}: offset {start} lies before the beginning; offsets begin at 0")
        rows = limited(self._left(start), bytes_max)
        if not rows or rows[-1] == self._rows[-1]:  # behind what was fetched there may be more by now
            self._rows = self._fetch(start)
            rows = limited(self._rows, bytes_max)
        return rows

    def start(self) -> Offset:
        """Return the first offset that is kept; raises LogUnavailable."""
        return self._ask(lambda consumer: consumer.beginning_offsets([self._cluster.partition], timeout_ms=ANSWER_MS))

    def end(self) -> Offset:
        """Return the high watermark; raises LogUnavailable."""
        return self._ask(lambda consumer: consumer.end_offsets([self._cluster.partition], timeout_ms=ANSWER_MS))

    def cut(self, offset: Offset) -> None:
        """Let the brokers delete what lies below `offset`; raises LogUnavailable."""
        self._cluster.cut(offset)
        self._rows = []

    def close(self) -> None:
        """Release the consumer."""
        if self._made is not None:
            self._made.close()
            self._made = None

    def _left(self, start: Offset) -> list[Row]:
        """Return what is left of the last fetch from `start` on."""
        first = self._rows[0][0] if self._rows else start
        return self._rows[start - first :] if start >= first else []

    def _fetch(self, start: Offset) -> list[Row]:
        end = self.end()
        if start == end:
            return []
        if start > end:
            raise shorter(self._cluster, start, end)
        consumer = self._consumer()
        consumer.seek(self._cluster.partition, start)
        try:
            rows = rows_of(self._cluster, consumer.poll(timeout_ms=ANSWER_MS), start)
        except OffsetOutOfRangeError as error:
            raise refuse_cut(self._cluster.place, start, self.start()) from error
        except KafkaError as error:
            raise failure(self._cluster, error, start) from error
        if not rows:
            raise LogUnavailable(f"{self._cluster.place}: no answer from offset {start} on within {ANSWER_MS} ms")
        return rows

    def _ask(self, ask: Callable[[KafkaConsumer], dict[Any, int]]) -> Offset:
        consumer = self._consumer()
        return Offset(self._cluster.reached(lambda: ask(consumer))[self._cluster.partition])

    def _consumer(self) -> KafkaConsumer:
        if self._made is None:
            self._made = self._cluster.consumer(wait_ms=_READ_WAIT_MS)
        return self._made


class KafkaFollower:
    """Reports what comes after `start`, in order, from a thread of its own, until it is closed or the log is damaged.

    Args:
        cluster: Of the log.
        start: The first offset to report.
        report: Takes rows, or why there are none: LogUnavailable (it goes on), LogError (it has ended).
    """

    def __init__(self, cluster: KafkaCluster, start: Offset, report: Callable[[Report], None]) -> None:
        self._cluster = cluster
        self._next = start
        self._report = report
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._follow, name=f"follow {cluster.partition.topic}", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End the thread; blocks until it has."""
        self._closing.set()
        self._thread.join()

    def _follow(self) -> None:
        while not self._closing.is_set():
            try:
                self._listen()
            except LogUnavailable as error:
                self._report(error)
                self._closing.wait(_PAUSE_S)
            except LogError as error:
                self._report(error)
                return

    def _listen(self) -> None:
        consumer = self._cluster.consumer(wait_ms=_FOLLOW_WAIT_MS)
        try:
            consumer.seek(self._cluster.partition, self._next)
            while not self._closing.is_set():
                rows = rows_of(self._cluster, consumer.poll(timeout_ms=_FOLLOW_WAIT_MS), self._next)
                if rows:
                    self._next = Offset(rows[-1][0] + 1)
                    self._report(rows)
        except KafkaError as error:
            raise failure(self._cluster, error, self._next) from error
        finally:
            consumer.close()


def rows_of(cluster: KafkaCluster, polled: dict[Any, list[Any]], start: Offset) -> list[Row]:
    """Return what a poll brought, which must begin at `start` and leave nothing out.

    Raises:
        LogError: A record is missing.
    """
    rows = [(Offset(record.offset), record.value or b"") for record in polled.get(cluster.partition, ())]
    missing = next(
        (Offset(a + 1) for (a, _), (b, _) in pairwise([(Offset(start - 1), b""), *rows]) if b != a + 1), None
    )
    if missing is not None:
        raise LogError(
            f"{cluster.place}: there is no record at offset {missing}: the topic was compacted, cut by somebody, or written "
            "with transactions; bring back the records from a copy of the topic, nothing is skipped"
        )
    return rows


def shorter(cluster: KafkaCluster, offset: int, end: int) -> LogError:
    """Return the refusal of a log that was seen up to `offset` and ends at `end`."""
    return LogError(
        f"{cluster.place} is shorter than offset {offset}: it ends at {end}; the brokers have lost records or the topic was "
        "made anew: bring it back from a copy, or rebuild what was made from it"
    )


def failure(cluster: KafkaCluster, error: KafkaError, offset: Offset) -> LogError | LogUnavailable:
    """Return what an error of a fetch from `offset` on means."""
    if isinstance(error, OffsetOutOfRangeError):
        return LogError(
            f"{cluster.place}: offset {offset} is not there: the log was cut above it, or has become shorter; start this "
            "process again, or bring the topic back from a copy"
        )
    if isinstance(error, LogTruncationError):
        return LogError(
            f"{cluster.place}: records before offset {offset} that were shown are gone: the brokers have lost them; bring the "
            "topic back from a copy, and set unclean.leader.election.enable=false"
        )
    if isinstance(error, CorruptRecordError):
        return LogError(f"{cluster.place}: offset {offset} is damaged: {reason(error)}; bring it back from a replica")
    return LogUnavailable(f"{cluster.place}: {reason(error)}")
