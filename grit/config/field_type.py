"""Field types as they are written: `string(40)`, `decimal(12,2)`, `int`, `timestamp?` (nullable)."""

import re

from grit.config.document import Piece
from grit.core.catalog import FieldKind, FieldType
from grit.core.fields import DECIMAL_DIGITS_MAX
from grit.core.spelling import unknown_name

_TYPE = re.compile(
    r"(?P<kind>[A-Za-z0-9_]+)\s*(?:\(\s*(?P<size>\d{1,9})\s*(?:,\s*(?P<scale>\d{1,9})\s*)?\))?\s*(?P<null>\?)?"
)
_SIZED = (FieldKind.STRING, FieldKind.BYTES, FieldKind.DECIMAL)


def parse_field_type(piece: Piece) -> FieldType:
    """Return the type that a text spells.

    Raises:
        ConfigError: It spells none.
    """
    text = piece.text()
    found = _TYPE.fullmatch(text.strip())
    if found is None and "(" in text and ")" not in text:
        # YAML ends a text at the comma: what follows became a field of its own.
        piece.refuse(
            f'{piece.path} is no type: {text!r}; in {{braces}} a type with a comma stands in quotes: "decimal(12,2)"'
        )
    if found is None:
        piece.refuse(f"{piece.path} is no type: {text!r}; write int, string(40), decimal(12,2)?, ...")
    if found["kind"] not in list(FieldKind):
        piece.refuse(f'{piece.path} has the unknown type "{found["kind"]}"{unknown_name(found["kind"], FieldKind)}')
    kind = FieldKind(found["kind"])
    size, scale = (None if found[part] is None else int(found[part]) for part in ("size", "scale"))
    if size is not None and kind not in _SIZED:
        piece.refuse(f"{piece.path}: {kind} has no size; write {kind}")
    if scale is not None and kind != FieldKind.DECIMAL:
        piece.refuse(f"{piece.path}: {kind} has no scale; write {kind}({size})")
    if kind == FieldKind.DECIMAL:
        size, scale = _decimal(piece, size, scale)
    if size == 0:
        piece.refuse(f"{piece.path}: a {kind} of size 0 holds nothing; give a size of at least 1")
    return FieldType(kind, size, scale, nullable=found["null"] is not None)


def _decimal(piece: Piece, size: int | None, scale: int | None) -> tuple[int, int]:
    if size is None or not 1 <= size <= DECIMAL_DIGITS_MAX or (scale or 0) > size:
        piece.refuse(
            f"{piece.path}: write decimal(digits, places), 1 to {DECIMAL_DIGITS_MAX} digits, such as decimal(12,2)"
        )
    return size, scale or 0
