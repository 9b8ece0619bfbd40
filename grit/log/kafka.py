"""A log in one partition of a Kafka topic.

The driver (kafka-python) lives in threads: one hands appends over in their order, one reads any place, one follows
the end while somebody waits, and the driver's own senders. Only `KafkaLog` knows the event loop.

    append --> append thread --> producer --> broker --offset--> (driver's thread) --> event loop
    wait   <-- event loop <-- follow thread <-- broker: what lies below the high watermark
    read   --> recent payloads, else read thread --> broker

What is *durable* is what the broker shows: with acks=all and enough replicas in sync, an acknowledged record lies below
the high watermark. Which outcome of an append is known, and which is not: see `grit.log.kafka_writer`.
"""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Self, TypeVar

from grit.config.kafka_model import KafkaConfig
from grit.core.errors import LogError
from grit.core.ids import Offset
from grit.log.kafka_cluster import ANSWER_MS, DELIVERY_MS, KafkaCluster
from grit.log.kafka_reader import KafkaFollower, KafkaReader, Report, shorter
from grit.log.kafka_writer import KafkaWriter, Outcome
from grit.log.port import AppendUnknown, LogUnavailable, beyond_last
from grit.log.tail import Row, Tail

PAYLOAD_BYTES_MAX = 32 << 20
"""The largest record that a topic is made for: a transaction of the largest size, with what it overwrote."""
SILENCE_MS = DELIVERY_MS + 2 * ANSWER_MS
"""The driver connects, looks for the leader and delivers, each with a time-out; one that is silent for longer is given up."""
STALE_LOOKS, STALE_PAUSE_S = 20, 0.25
"""A broker that was deposed and does not know it yet may show an old end: it is asked again, so often, so long apart."""

_Result = TypeVar("_Result")


class KafkaLog:
    """One handle on a log; one per process is enough. To be made by `open`, and to be used from one event loop."""

    def __init__(self, name: str, cluster: KafkaCluster) -> None:
        self._name = name
        self._cluster = cluster
        self._writer, self._reader = KafkaWriter(cluster), KafkaReader(cluster)
        self._append_thread = ThreadPoolExecutor(1, thread_name_prefix=f"append {name}")
        self._read_thread = ThreadPoolExecutor(1, thread_name_prefix=f"read {name}")
        self._follower: KafkaFollower | None = None
        self._damage: LogError | None = None
        self._tail = Tail()
        self._is_closed = False

    @classmethod
    async def open(
        cls, config: KafkaConfig, name: str, *, is_new_allowed: bool = True, payload_bytes_max: int = PAYLOAD_BYTES_MAX
    ) -> Self:
        """Open the log in the topic `<prefix>.<name>`.

        Args:
            config: Cluster, prefix, login.
            name: `gtl`, or `dbtl.<realm>`.
            is_new_allowed: A missing topic is made, with safe settings.
            payload_bytes_max: What the topic must take in one record.

        Raises:
            ConfigError: No broker answers, the login is refused, the topic is missing or not safe; says how to repair it.
        """
        log = cls(name, KafkaCluster(config, name, payload_bytes_max=payload_bytes_max))
        prepare = partial(log._cluster.prepare, is_new_allowed=is_new_allowed)
        try:
            await asyncio.get_running_loop().run_in_executor(log._read_thread, prepare)
        except BaseException:
            await log.close()
            raise
        return log

    @property
    def name(self) -> str:
        """Return the name of the log: `gtl`, or `dbtl.<realm>`."""
        return self._name

    async def append(self, payload: bytes) -> Offset:
        """Append one payload; return where it lies. Whoever stops waiting stops only that: it may still land.

        Raises:
            LogUnavailable: Definitely not appended: no broker, too large, closed.
            AppendUnknown: No answer, an error of the broker, or an append before it has no known outcome.
        """
        self._check_open()
        loop = asyncio.get_running_loop()
        landing: asyncio.Future[Outcome] = loop.create_future()

        def tell(outcome: Outcome) -> None:
            loop.call_soon_threadsafe(_settle, landing, outcome)

        self._append_thread.submit(self._writer.send, payload, tell)
        try:
            async with asyncio.timeout(SILENCE_MS / 1000):
                outcome = await landing
        except TimeoutError:
            self._writer.give_up()
            raise AppendUnknown(f"{self._cluster.place}: the driver did not say within {SILENCE_MS} ms") from None
        if isinstance(outcome, Exception):
            raise outcome
        self._keep([(outcome, payload)])
        return outcome

    async def read(self, start: Offset, *, bytes_max: int = 1 << 20) -> Sequence[Row]:
        """Return durable payloads from `start` on, in order, at most `bytes_max` but at least one if there is one.

        Raises:
            LogUnavailable: Transient, or closed.
            LogCut: `start` lies below the first offset that is kept.
            LogError: `start` lies outside of the log, or a record is damaged or missing.
        """
        self._check_open()
        recent = self._tail.recent(start, bytes_max)
        if recent is not None:
            return recent
        return await self._in_read_thread(partial(self._reader.read, start, bytes_max=bytes_max))

    async def start(self) -> Offset:
        """Return the first offset that is kept.

        Raises:
            LogUnavailable: Transient, or closed.
        """
        self._check_open()
        return await self._in_read_thread(self._reader.start)

    async def cut(self, offset: Offset) -> None:
        """Let the brokers delete what lies below `offset`; they do it by whole segments, in their own time.

        Raises:
            LogUnavailable: Transient, or closed.
            LogError: `offset` lies beyond the last record.
        """
        end = await self.end()
        if offset >= end:
            raise beyond_last(self._cluster.place, offset, end)
        if offset > await self.start():
            await self._in_read_thread(partial(self._reader.cut, offset))
        self._tail.cut(offset)

    async def end(self) -> Offset:
        """Return the offset that the next payload will get.

        Raises:
            LogUnavailable: Transient, or closed.
            LogError: The log has become shorter.
        """
        self._check_open()
        known = self._tail.end  # taken before the look: what is appended meanwhile need not be seen by it
        end = await self._in_read_thread(self._reader.end)
        for _ in range(STALE_LOOKS):
            if end >= known:
                break
            await asyncio.sleep(STALE_PAUSE_S)
            end = await self._in_read_thread(self._reader.end)
        if end < known:
            raise shorter(self._cluster, known, end)
        self._tail.see(end)
        return end

    async def wait(self, start: Offset, *, timeout_ms: int) -> bool:
        """Return True as soon as there is something to read at `start`, False after the time-out.

        Raises:
            LogUnavailable: Transient, or closed.
            LogError: The log has become shorter, or is damaged at its end.
        """
        self._check_open()
        if self._tail.end <= start and (timeout_ms == 0 or self._follower is None):
            await self.end()
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout_ms / 1000
        while self._tail.end <= start:
            left = deadline - loop.time()
            if left <= 0:
                return False
            self._check_open()
            if self._damage is not None:
                raise self._damage
            if self._follower is None:
                self._follower = KafkaFollower(self._cluster, Offset(self._tail.end), self._reporter())
            await self._tail.news(left)
        return True

    async def close(self) -> None:
        """Finish the appends that were handed over, for a moment, then release connections and threads. Safe to call twice."""
        if self._is_closed:
            return
        self._is_closed = True
        self._tail.fail(LogUnavailable(f"log {self._name} is closed"))
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(self._append_thread, self._writer.close)
        if self._follower is not None:
            await loop.run_in_executor(self._append_thread, self._follower.close)
        await loop.run_in_executor(self._read_thread, self._reader.close)
        self._append_thread.shutdown()
        self._read_thread.shutdown()

    def _reporter(self) -> Callable[[Report], None]:
        """Return what brings reports of another thread to the event loop."""
        loop = asyncio.get_running_loop()

        def bring(report: Report) -> None:
            loop.call_soon_threadsafe(self._hear, report)

        return bring

    def _hear(self, report: Report) -> None:
        if not isinstance(report, Exception):
            self._keep(report)
            return
        if isinstance(report, LogError):
            self._damage = report
        self._tail.fail(report)

    def _keep(self, rows: Sequence[Row]) -> None:
        self._tail.keep(rows)
        self._tail.see(rows[-1][0] + 1)

    async def _in_read_thread(self, work: Callable[[], _Result]) -> _Result:
        return await asyncio.get_running_loop().run_in_executor(self._read_thread, work)

    def _check_open(self) -> None:
        if self._is_closed:
            raise LogUnavailable(f"log {self._name} is closed")


def _settle(landing: "asyncio.Future[Outcome]", outcome: Outcome) -> None:
    """Hand an outcome to whoever still waits for it."""
    if not landing.done():
        landing.set_result(outcome)
