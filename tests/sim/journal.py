"""The journal of a run: who did what, when and why, in lines that a person can follow.

Noting costs next to nothing, because every run notes everything and almost none is read: what was seen is kept as it is,
and spelt only when somebody reads.
"""

import re
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import msgspec

from grit.core.ids import Millis, TxnId
from grit.core.keys import decode_key
from grit.core.parts import Act, Write, decode_changes, decode_part
from grit.core.predicate import decode_expr
from grit.core.values import decode_record

_TXID = re.compile(r"t-[0-9a-f]{11}-[0-9a-f]{16}")
_KEYS = frozenset({"key", "start", "end"})
"""Fields that hold an encoded key."""
_SILENT = frozenset({"id", "now", "time", "trace", "origin"})
"""Fields that say nothing about what goes on."""


class Line(NamedTuple):
    """One thing that happened. `detail` is spelt when it is read; `why`: the event that made the process do it."""

    at: Millis
    who: str
    what: str
    detail: object
    why: object


class Journal:
    """The lines of one run. `names`: what to call transactions by."""

    def __init__(self) -> None:
        self.names: dict[TxnId, str] = {}
        self._lines: list[Line] = []

    def note(self, at: Millis, who: str, what: str, detail: object, why: object) -> None:
        """Add a line."""
        self._lines.append(Line(at, who, what, detail, why))

    def read(self, last: int | None = None) -> Iterator[str]:
        """Yield the lines, or the last ones: milliseconds, who, what, and why in brackets."""
        for line in self._lines if last is None else self._lines[-last:]:
            why = f"  [{_event(line.why)}]" if line.why is not None else ""
            yield self.named(f"{line.at:>7} {line.who:<18} {line.what} {spell(line.detail)}".rstrip() + why)

    def named(self, text: str) -> str:
        """Return a text in which transactions have their names."""
        return _TXID.sub(lambda found: self.names.get(TxnId(found[0]), found[0]), text)


def _event(event: object) -> str:
    """Name what a process reacted to."""
    message = getattr(event, "message", None)
    if message is not None:
        return f"{type(message).__name__} over link {getattr(event, 'link', '?')}"
    offsets = [str(offset) for offset, _ in getattr(event, "records", ())]
    log = getattr(event, "log", "")
    return " ".join(filter(None, [type(event).__name__, log, ",".join(offsets)]))


def spell(value: Any, field: str = "") -> str:
    """Return a value as text: encoded parts, keys, predicates and records are opened."""
    if isinstance(value, Write):
        return _write(value)
    if isinstance(value, msgspec.Struct):
        return _struct(value)
    if isinstance(value, bytes):
        return _opened(value, field)
    if isinstance(value, tuple | list):
        return "[" + ", ".join(spell(one, field) for one in value) + "]"
    return str(value)


def _struct(value: msgspec.Struct) -> str:
    shown = [
        f"{name}={spell(one, name)}"
        for name in value.__struct_fields__
        if name not in _SILENT and (one := getattr(value, name)) not in ("", 0, (), None, b"")
    ]
    return f"{type(value).__name__}({' '.join(shown)})"


def _write(write: Write) -> str:
    changes: Sequence[str] = ()
    if write.act == Act.REPLACE:
        changes = (str(decode_record(write.fields)),)
    elif write.act == Act.CHANGE:
        changes = (str(decode_changes(write.fields)), *(f"{field} {delta:+}" for field, delta in write.deltas))
    names = [write.expect.name.lower(), write.act.name.lower(), f"{write.collection}/{_key(write.key)}"]
    return " ".join([*names, *changes])


def _opened(data: bytes, field: str) -> str:
    if field in ("part", "parts"):
        return spell(decode_part(data)) if field == "part" else _any(data)
    if field in _KEYS or field == "keys":
        return _key(data)
    if field == "where":
        return str(decode_expr(data))
    return _any(data)


def _any(data: bytes) -> str:
    """Open what may be a key, a record or a part."""
    for open_it in (_key, lambda one: str(decode_record(one)), lambda one: spell(decode_part(one))):
        try:
            return open_it(data)
        except Exception:  # noqa: BLE001 - whatever does not open it, the next one may
            continue
    return data.hex()


def _key(data: bytes) -> str:
    return ",".join(str(component) for component in decode_key(data))
