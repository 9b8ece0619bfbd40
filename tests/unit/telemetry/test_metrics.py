"""Metrics and health."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from grit.core.errors import ConfigError
from grit.telemetry.histogram import Histogram
from grit.telemetry.metrics import Metrics, MetricsServer, Sample


@pytest.fixture
async def served() -> AsyncIterator[tuple[Metrics, MetricsServer]]:
    metrics = Metrics()
    server = MetricsServer(metrics, "127.0.0.1", 0)
    await server.start()
    yield metrics, server
    await server.close()


async def exchange(server: MetricsServer, request: bytes) -> tuple[str, str]:
    """Return the status line and the body of the answer."""
    host, _, port = server.address.rpartition(":")
    async with asyncio.timeout(10):
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(request)
        answer = (await reader.read()).decode()
        writer.close()
        await writer.wait_closed()
    head, _, body = answer.partition("\r\n\r\n")
    return head.partition("\r\n")[0], body


async def get(server: MetricsServer, path: str) -> tuple[str, str]:
    return await exchange(server, f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())


def lines(metrics: Metrics) -> list[str]:
    return metrics.exposition().decode().splitlines()


def test_samples_are_read_when_they_are_asked_for() -> None:
    count = 0
    metrics = Metrics()
    metrics.add_source(lambda: [Sample("grit_commits", count, text="Commits.")])
    count = 5
    assert lines(metrics) == [
        "# HELP grit_commits_total Commits.",
        "# TYPE grit_commits_total counter",
        "grit_commits_total 5.0",
    ]


def test_samples_of_several_roles_make_one_family() -> None:
    metrics = Metrics()
    for realm, lag in (("orders", 2), ("carts", 0)):
        metrics.add_source([Sample("grit_player_lag_entries", lag, {"realm": realm}, "gauge")].copy)
    assert lines(metrics)[1:] == [
        "# TYPE grit_player_lag_entries gauge",
        'grit_player_lag_entries{realm="orders"} 2.0',
        'grit_player_lag_entries{realm="carts"} 0.0',
    ]


def test_families_come_in_the_order_of_their_names() -> None:
    metrics = Metrics()
    metrics.add_source(lambda: [Sample("b", 1, kind="gauge"), Sample("a", 1, kind="gauge")])
    assert [line for line in lines(metrics) if not line.startswith("#")] == ["a 1.0", "b 1.0"]


def test_a_histogram_counts_what_is_at_most_each_bound() -> None:
    histogram = Histogram([1, 10])
    for value in (0.5, 1, 1.5, 10, 11):
        histogram.observe(value)
    metrics = Metrics()
    metrics.add_source(lambda: [histogram.sample("grit_commit_ms", {"realm": "orders"})])
    assert lines(metrics)[1:] == [
        "# TYPE grit_commit_ms histogram",
        'grit_commit_ms_bucket{le="1.0",realm="orders"} 2.0',
        'grit_commit_ms_bucket{le="10.0",realm="orders"} 4.0',
        'grit_commit_ms_bucket{le="+Inf",realm="orders"} 5.0',
        'grit_commit_ms_count{realm="orders"} 5.0',
        'grit_commit_ms_sum{realm="orders"} 24.0',
    ]


def test_different_labels_under_one_name_are_our_bug() -> None:
    metrics = Metrics()
    metrics.add_source(lambda: [Sample("a", 1, {"realm": "x"}), Sample("a", 1)])
    with pytest.raises(AssertionError, match="same labels"):
        metrics.exposition()


async def test_metrics_are_served(served: tuple[Metrics, MetricsServer]) -> None:
    metrics, server = served
    metrics.add_source(lambda: [Sample("grit_commits", 7)])
    status, body = await get(server, "/metrics")
    assert status == "HTTP/1.1 200 OK"
    assert "grit_commits_total 7.0\n" in body


async def test_health_is_ok_until_a_check_names_a_problem(served: tuple[Metrics, MetricsServer]) -> None:
    metrics, server = served
    problem = ""
    metrics.add_check(lambda: problem)
    assert await get(server, "/healthz") == ("HTTP/1.1 200 OK", "ok\n")
    problem = "player orders halted at Lsn 7"
    assert await get(server, "/healthz") == ("HTTP/1.1 503 Service Unavailable", "player orders halted at Lsn 7\n")


async def test_other_paths_and_methods_are_refused(served: tuple[Metrics, MetricsServer]) -> None:
    _, server = served
    assert (await get(server, "/"))[0] == "HTTP/1.1 404 Not Found"
    assert (await exchange(server, b"POST /metrics HTTP/1.1\r\n\r\n"))[0] == "HTTP/1.1 405 Method Not Allowed"


async def test_a_client_that_speaks_no_http_disturbs_nobody(served: tuple[Metrics, MetricsServer]) -> None:
    _, server = served
    assert await exchange(server, b"\xff" * 100_000 + b"\r\n\r\n") == ("", "")
    assert (await get(server, "/healthz"))[0] == "HTTP/1.1 200 OK"


async def test_a_port_in_use_is_refused_in_one_line(served: tuple[Metrics, MetricsServer]) -> None:
    _, server = served
    port = int(server.address.rpartition(":")[2])
    with pytest.raises(ConfigError, match=rf"^cannot serve metrics on 127.0.0.1:{port}: [^\n]+$"):
        await MetricsServer(Metrics(), "127.0.0.1", port).start()


async def test_without_a_port_nothing_is_served() -> None:
    server = MetricsServer(Metrics(), "127.0.0.1", None)
    await server.start()
    assert server.address == ""
    await server.close()
