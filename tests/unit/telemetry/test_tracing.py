"""Traces."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog
from opentelemetry.trace import INVALID_SPAN

from grit.core.errors import ConfigError
from grit.telemetry.tracing import Tracing, configure_tracing, current_traceparent, record_span, start_span

REMOTE = f"00-{'a' * 32}-{'b' * 16}-01"
OTHER = f"00-{'c' * 32}-{'d' * 16}-01"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "spans.jsonl"


@pytest.fixture
def tracing(file: Path) -> Iterator[Tracing]:
    on = configure_tracing(file, "gtm")
    yield on
    on.close()


def spans(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text().splitlines()]


def test_when_off_nothing_is_recorded_and_nothing_fails() -> None:
    with start_span("gtm.round", REMOTE, [OTHER], size=3) as span:
        assert span is INVALID_SPAN
        span.set_attribute("n", 1)
        assert current_traceparent() == ""
    assert record_span("gtm.append", 1, 2, REMOTE) == ""


@pytest.mark.usefixtures("tracing")
def test_a_finished_span_is_one_line(file: Path) -> None:
    with start_span("gtm.round", REMOTE, [OTHER, "nonsense"], size=3, realm="orders") as span:
        span.set_attribute("votes", 2)
    (line,) = spans(file)
    span_id, start_ns, end_ns = line.pop("span_id"), line.pop("start_ns"), line.pop("end_ns")
    assert line == {
        "trace_id": "a" * 32,
        "parent_id": "b" * 16,
        "name": "gtm.round",
        "attributes": {"size": 3, "realm": "orders", "votes": 2},
        "links": [{"trace_id": "c" * 32, "span_id": "d" * 16}],
        "service": "gtm",
    }
    assert len(span_id) == 16
    assert 1_700_000_000_000_000_000 < start_ns <= end_ns


@pytest.mark.usefixtures("tracing")
def test_an_inner_span_is_a_child_of_the_outer_one(file: Path) -> None:
    with start_span("outer"), start_span("inner"):
        pass
    inner, outer = spans(file)
    assert (inner["parent_id"], inner["trace_id"]) == (outer["span_id"], outer["trace_id"])
    assert outer["parent_id"] == ""


@pytest.mark.usefixtures("tracing")
def test_the_traceparent_of_a_span_makes_children_elsewhere(file: Path) -> None:
    with start_span("home.commit"):
        sent = current_traceparent()
    with start_span("dbtm.certify", sent):
        pass
    commit, certify = spans(file)
    assert sent.startswith(f"00-{commit['trace_id']}-{commit['span_id']}-")
    assert int(sent[-2:], 16) & 1, "it says that the trace is recorded"
    assert (certify["trace_id"], certify["parent_id"]) == (commit["trace_id"], commit["span_id"])
    assert current_traceparent() == ""


@pytest.mark.usefixtures("tracing")
def test_a_span_recorded_after_the_fact_has_the_times_it_is_given(file: Path) -> None:
    made = record_span("gtm.append", 1_000, 2_500, REMOTE, [OTHER], {"bytes": 17})
    (line,) = spans(file)
    assert (line["start_ns"], line["end_ns"], line["parent_id"]) == (1_000, 2_500, "b" * 16)
    assert (line["attributes"], len(line["links"])) == ({"bytes": 17}, 1)
    assert made == f"00-{line['trace_id']}-{line['span_id']}-01"


@pytest.mark.usefixtures("tracing")
def test_a_recorded_span_without_parent_begins_a_trace_whatever_is_current(file: Path) -> None:
    with start_span("outer"):
        record_span("player.apply", 1, 2)
    apply, outer = spans(file)
    assert apply["parent_id"] == ""
    assert apply["trace_id"] != outer["trace_id"]


@pytest.mark.usefixtures("tracing")
@pytest.mark.parametrize("parent", ["", "x", "00-" + "0" * 32 + "-" + "b" * 16 + "-01", REMOTE + "\n", REMOTE.upper()])
def test_a_traceparent_that_cannot_be_read_begins_a_new_trace(file: Path, parent: str) -> None:
    with start_span("dbtm.certify", parent):
        pass
    assert spans(file)[0]["parent_id"] == ""


@pytest.mark.usefixtures("tracing")
def test_a_trace_that_is_not_sampled_elsewhere_is_not_recorded_here(file: Path) -> None:
    with start_span("dbtm.certify", REMOTE[:-2] + "00"):
        assert current_traceparent().endswith("-00")
    assert spans(file) == []


def test_several_services_share_a_file(file: Path) -> None:
    for service in ("gtm", "dbtm orders"):
        on = configure_tracing(file, service)
        with start_span("work"):
            pass
        on.close()
    assert [line["service"] for line in spans(file)] == ["gtm", "dbtm orders"]


def test_no_trace_is_recorded_when_none_is_sampled(file: Path) -> None:
    on = configure_tracing(file, "gtm", ratio=0.0)
    with start_span("work"):
        pass
    on.close()
    assert spans(file) == []


def test_closed_tracing_is_off(file: Path) -> None:
    on = configure_tracing(file, "gtm")
    late = start_span("late")
    with late:
        on.close()
        on.close()
        assert current_traceparent() == ""
    assert spans(file) == []


def test_a_file_that_cannot_be_written_is_refused_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"^cannot write traces to [^\n]+$"):
        configure_tracing(tmp_path / "missing" / "spans", "gtm")


def test_a_full_disk_costs_traces_only_and_is_told_once() -> None:
    on = configure_tracing(Path("/dev/full"), "gtm")
    with structlog.testing.capture_logs() as told:
        for _ in range(3):
            with start_span("work"):
                pass
    on.close()
    assert [line["event"] for line in told] == ["traces are lost"]
