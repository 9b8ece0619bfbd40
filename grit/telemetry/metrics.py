"""Metrics of a process, in the format of Prometheus, with health beside them.

A counter of the client library costs 6 µs; a role counts in plain ints instead, and tells them when somebody asks.
The server runs on the event loop of the roles, so a role's counts are never read in the middle of a step.
"""

import asyncio
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Literal

import msgspec
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from grit.core.errors import ConfigError

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_REQUEST_S_MAX = 5.0
_NO_LABELS: Mapping[str, str] = {}


class Sample(msgspec.Struct, frozen=True):
    """One number of now.

    Attributes:
        name: `grit_<noun>_<unit>`; of a counter without `_total`, which is added.
        value: Since the start of the process for a counter.
        labels: The same names for every sample of one name; values from a bounded set: never a key or a txid.
        kind: A counter never falls; a gauge may; a histogram has buckets, and its value is the sum of what it saw.
        text: What it counts, one line.
        buckets: Of a histogram: (upper bound as text, how many were at most that), rising, the last one `+Inf`.
    """

    name: str
    value: float
    labels: Mapping[str, str] = _NO_LABELS
    kind: Literal["counter", "gauge", "histogram"] = "counter"
    text: str = ""
    buckets: tuple[tuple[str, int], ...] = ()


class Metrics(Collector):
    """What the roles of one process count, and whether they are well."""

    def __init__(self) -> None:
        self._sources: list[Callable[[], Iterable[Sample]]] = []
        self._checks: list[Callable[[], str]] = []
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(self)

    def add_source(self, samples: Callable[[], Iterable[Sample]]) -> None:
        """Ask `samples` each time somebody asks for metrics."""
        self._sources.append(samples)

    def add_check(self, problem: Callable[[], str]) -> None:
        """Ask `problem` each time somebody asks for health; empty means well, else it is one line."""
        self._checks.append(problem)

    def exposition(self) -> bytes:
        """Return all samples in the text format of Prometheus."""
        return generate_latest(self._registry)

    def problems(self) -> list[str]:
        """Return what is wrong now; empty means well."""
        return [problem for check in self._checks if (problem := check())]

    def collect(self) -> Iterator[Metric]:
        """Yield one family for each name, by name; asked by the registry."""
        by_name: dict[str, list[Sample]] = {}
        for source in self._sources:
            for sample in source():
                by_name.setdefault(sample.name, []).append(sample)
        for name in sorted(by_name):
            yield _family(by_name[name])


def _family(samples: list[Sample]) -> Metric:
    first = samples[0]
    text, labels = first.text or first.name, sorted(first.labels)
    rows = [(_values(sample, labels), sample) for sample in samples]
    if first.kind == "histogram":
        histogram = HistogramMetricFamily(first.name, text, labels=labels)
        for values, sample in rows:
            histogram.add_metric(values, sample.buckets, sample.value)
        return histogram
    make = CounterMetricFamily if first.kind == "counter" else GaugeMetricFamily
    family = make(first.name, text, labels=labels)
    for values, sample in rows:
        family.add_metric(values, sample.value)
    return family


def _values(sample: Sample, labels: list[str]) -> list[str]:
    assert sorted(sample.labels) == labels, f"{sample.name}: samples of one name have the same labels"
    return [sample.labels[label] for label in labels]


class MetricsServer:
    """Serves `GET /metrics` and `GET /healthz` over HTTP/1.1; shaped as a role, for the supervisor.

    Args:
        metrics: What to serve.
        host: Loopback, unless the network beside it is trusted: there is no login.
        port: 0 takes any free one; None serves nothing.
    """

    def __init__(self, metrics: Metrics, host: str, port: int | None) -> None:
        self._metrics = metrics
        self._host = host
        self._port = port
        self._server: asyncio.Server | None = None

    @property
    def name(self) -> str:
        """Return the name of the role."""
        return "metrics"

    @property
    def address(self) -> str:
        """Return `host:port` as bound; empty while nothing is served."""
        if self._server is None:
            return ""
        return f"{self._host}:{self._server.sockets[0].getsockname()[1]}"

    async def start(self) -> None:
        """Begin to serve.

        Raises:
            ConfigError: The port cannot be had.
        """
        if self._port is None:
            return
        try:
            self._server = await asyncio.start_server(self._serve, self._host, self._port)
        except OSError as error:
            place = f"{self._host}:{self._port}"
            raise ConfigError(f"cannot serve metrics on {place}: {error.strerror}; configure another port") from error

    async def drain(self) -> None:
        """Go on serving: the drain of the other roles is worth watching."""

    async def close(self) -> None:
        """Stop serving."""
        if self._server is not None:
            self._server.close()
            self._server = None

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(_REQUEST_S_MAX):
                head = await reader.readuntil(b"\r\n\r\n")
                writer.write(self._answer(head))
                await writer.drain()
        except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass  # Slow, gone or no HTTP: there is nobody to tell.
        finally:
            writer.close()

    def _answer(self, head: bytes) -> bytes:
        method, _, rest = head.partition(b" ")
        path = rest.partition(b" ")[0].partition(b"?")[0]
        if method != b"GET":
            return _response("405 Method Not Allowed", b"only GET\n")
        if path == b"/metrics":
            return _response("200 OK", self._metrics.exposition(), CONTENT_TYPE)
        if path == b"/healthz":
            problems = self._metrics.problems()
            body = "".join(f"{line}\n" for line in problems or ["ok"]).encode()
            return _response("503 Service Unavailable" if problems else "200 OK", body)
        return _response("404 Not Found", b"/metrics or /healthz\n")


def _response(status: str, body: bytes, content_type: str = "text/plain; charset=utf-8") -> bytes:
    head = (
        f"HTTP/1.1 {status}\r\nContent-Type: {content_type}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    )
    return head.encode("ascii") + body
