"""Traces: spans made by hand where a transaction spends its time. Off unless `configure_tracing` was called.

Context travels between services and roles as W3C `traceparent` strings, also inside log records, so that a span of a
player can be linked to the commit that caused it. Which trace is current follows the task (OpenTelemetry's context);
whether tracing is on is the one ambient switch of the process, as it is for log lines. When off, a span costs a call.

Finished spans go to a file, one JSON object a line, each written by one append: processes may share the file.
"""

import re
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import INVALID_SPAN, Link, NonRecordingSpan, Span, SpanContext, TraceFlags

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider

Attribute = str | bool | int | float
_TRACEPARENT = re.compile(r"[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})")
_OFF: AbstractContextManager[Span] = nullcontext(INVALID_SPAN)


class _Switch:
    """Whether tracing is on: the tracer, or None."""

    tracer: trace.Tracer | None = None


class Tracing:
    """Tracing that is on. `close` switches it off and closes the file."""

    def __init__(self, provider: "TracerProvider") -> None:
        self._provider = provider

    def close(self) -> None:
        """Write what is finished, switch off, close the file. Idempotent."""
        _Switch.tracer = None
        self._provider.shutdown()


def configure_tracing(path: Path, service: str, *, ratio: float = 1.0) -> Tracing:
    """Switch tracing on for this process.

    Args:
        path: The file that finished spans are appended to.
        service: Who this process is, in every span.
        ratio: The share of new traces that is recorded, 0 to 1; a trace begun elsewhere keeps its fate.

    Raises:
        ConfigError: The file cannot be written.
    """
    # Late: the SDK is a tenth of a second that the command line must not pay.
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor
    from opentelemetry.sdk.trace.sampling import ParentBasedTraceIdRatio

    from grit.telemetry.span_file import SpanFile

    assert 0.0 <= ratio <= 1.0
    provider = TracerProvider(sampler=ParentBasedTraceIdRatio(ratio), shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(SpanFile(path, service)))
    _Switch.tracer = provider.get_tracer("grit")
    return Tracing(provider)


def current_traceparent() -> str:
    """Return the current span as a W3C traceparent; empty when there is none."""
    return "" if _Switch.tracer is None else _traceparent(trace.get_current_span().get_span_context())


def start_span(
    name: str, parent: str = "", links: Sequence[str] = (), **attributes: Attribute
) -> AbstractContextManager[Span]:
    """Return a context manager that is a span while entered, and makes it the current one.

    Args:
        name: `<role>.<what>`: a bounded set.
        parent: A traceparent; when empty, or none that can be read, the current span if there is one.
        links: Traceparents of other spans that caused it; those that cannot be read are left out.
        attributes: Facts; more may be set on the span that is entered.
    """
    tracer = _Switch.tracer
    if tracer is None:
        return _OFF
    return tracer.start_as_current_span(name, _context(parent), attributes=attributes, links=_links(links))


def record_span(
    name: str,
    start_ns: int,
    end_ns: int,
    parent: str = "",
    links: Sequence[str] = (),
    attributes: Mapping[str, Attribute] | None = None,
) -> str:
    """Record a span after the fact, for what no block of code encloses; return its traceparent, empty when off.

    Args:
        name: As for `start_span`.
        start_ns: Nanoseconds since 1970 UTC.
        end_ns: The same; not before `start_ns`.
        parent: A traceparent; when empty the span begins a trace: the current span is not looked at.
        links: As for `start_span`.
        attributes: Facts.
    """
    tracer = _Switch.tracer
    if tracer is None:
        return ""
    context = _context(parent) or Context()
    span = tracer.start_span(name, context, attributes=attributes, links=_links(links), start_time=start_ns)
    span.end(end_ns)
    return _traceparent(span.get_span_context())


def _traceparent(context: SpanContext) -> str:
    if not context.is_valid:
        return ""
    return f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}"


def _parsed(traceparent: str) -> SpanContext | None:
    found = _TRACEPARENT.fullmatch(traceparent)
    if found is None:
        return None
    trace_id, span_id, flags = (int(group, 16) for group in found.groups())
    context = SpanContext(trace_id, span_id, is_remote=True, trace_flags=TraceFlags(flags))
    return context if context.is_valid else None


def _context(parent: str) -> Context | None:
    remote = _parsed(parent)
    return None if remote is None else trace.set_span_in_context(NonRecordingSpan(remote), Context())


def _links(traceparents: Sequence[str]) -> list[Link]:
    return [Link(context) for text in traceparents if (context := _parsed(text)) is not None]
