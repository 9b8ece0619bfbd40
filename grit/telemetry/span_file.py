"""Finished spans as lines of a file. Imports the SDK: only `grit.telemetry.tracing` does so, late.

    {"trace_id", "span_id", "parent_id" ("" at the root), "name", "start_ns", "end_ns", "attributes": {..},
     "links": [{"trace_id", "span_id"}], "service"}

Ids are hexadecimal, as in a traceparent; times are nanoseconds since 1970 UTC.
"""

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import structlog
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.trace import SpanContext

from grit.core.errors import ConfigError


class SpanFile(SpanExporter):
    """Appends spans to a file that other processes may append to as well: one `write` with O_APPEND a span.

    A file that can no longer be written is told once, and costs traces only.

    Raises:
        ConfigError: The file cannot be opened.
    """

    def __init__(self, path: Path, service: str) -> None:
        self._path = path
        self._service = service
        self._is_told = False
        try:
            self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        except OSError as error:
            raise ConfigError(f"cannot write traces to {path}: {error.strerror}; name another file") from error

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Append; called by the SDK as each span ends."""
        try:
            for span in spans:
                os.write(self._file, self._line(span))
        except OSError as error:
            if not self._is_told:
                structlog.get_logger(component="tracing").warning(
                    "traces are lost", file=str(self._path), why=str(error)
                )
            self._is_told = True
            return SpanExportResult.FAILURE
        return SpanExportResult.SUCCESS

    def shutdown(self) -> None:
        """Close the file; spans that end later are lost."""
        if self._file >= 0:
            os.close(self._file)
        self._file = -1  # The number may soon be somebody else's file.

    def _line(self, span: ReadableSpan) -> bytes:
        own = span.get_span_context()
        assert own is not None
        line = {
            **_ids(own),
            "parent_id": f"{span.parent.span_id:016x}" if span.parent is not None else "",
            "name": span.name,
            "start_ns": span.start_time,
            "end_ns": span.end_time,
            "attributes": dict(span.attributes or {}),
            "links": [_ids(link.context) for link in span.links],
            "service": self._service,
        }
        return (json.dumps(line, separators=(",", ":")) + "\n").encode()


def _ids(context: SpanContext) -> dict[str, Any]:
    return {"trace_id": f"{context.trace_id:032x}", "span_id": f"{context.span_id:016x}"}
