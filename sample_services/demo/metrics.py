"""What the roles tell of themselves at /metrics, in the text format of Prometheus."""

import asyncio
import re
from typing import NamedTuple

ANSWER_S_MAX = 2.0
_SAMPLE = re.compile(r"(?P<name>[a-zA-Z_:][\w:]*)(?:\{(?P<labels>[^}]*)\})? (?P<value>\S+)")
_LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')


class Sample(NamedTuple):
    """One number of now."""

    name: str
    labels: dict[str, str]
    value: float


def parse_metrics(text: str) -> list[Sample]:
    """Return every sample in the order of the text; what is none is passed over."""
    found = (_SAMPLE.match(line) for line in text.splitlines() if not line.startswith("#"))
    return [Sample(one["name"], dict(_LABEL.findall(one["labels"] or "")), float(one["value"])) for one in found if one]


async def fetch_metrics(address: tuple[str, int]) -> list[Sample]:
    """Return what a process tells now; nothing when it does not answer: it may just be dead."""
    try:
        async with asyncio.timeout(ANSWER_S_MAX):
            reader, writer = await asyncio.open_connection(*address)
            try:
                writer.write(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n")
                return parse_metrics((await reader.read()).decode("utf-8", "replace").partition("\r\n\r\n")[2])
            finally:
                writer.close()
    except (OSError, TimeoutError):
        return []
