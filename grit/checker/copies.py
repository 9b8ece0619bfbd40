"""Copies of logs: what a check reads once and then looks at as often as it likes."""

from typing import Generic, TypeVar

import msgspec

from grit.core.ids import Offset

Record = TypeVar("Record")


class Placed(msgspec.Struct, Generic[Record], frozen=True):
    """A record, where it lies, and its bytes."""

    offset: Offset
    record: Record
    payload: bytes


class LogCopy(msgspec.Struct, Generic[Record], frozen=True):
    """A log as far as it can be read; `damage` says why no further, "" = read to its end. `first`: what lies below was cut."""

    name: str
    records: tuple[Placed[Record], ...]
    damage: str = ""
    first: Offset = Offset(0)
