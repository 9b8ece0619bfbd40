"""The lock file: the SHA-256 of everything that is downloaded, in `lock.json` beside this module.

Fixed versions must be what was locked. Debian's unstable suite moves by itself: there a difference is said aloud, and
apt's own check of the signed index stands for what is new.
"""

import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path

import msgspec

from tests.stack.errors import StackError

LOCK_FILE = Path(__file__).with_name("lock.json")


class Locked(msgspec.Struct, frozen=True):
    """What was downloaded for an engine: SHA-256 by file name."""

    version: str
    files: dict[str, str]


Lock = dict[str, Locked]


def read_lock(path: Path = LOCK_FILE) -> Lock:
    """Return the lock."""
    return msgspec.json.decode(path.read_bytes(), type=Lock) if path.exists() else {}


def write_lock(lock: Lock, path: Path = LOCK_FILE) -> None:
    """Write the lock, sorted."""
    ordered = {name: Locked(entry.version, dict(sorted(entry.files.items()))) for name, entry in sorted(lock.items())}
    path.write_bytes(msgspec.json.format(msgspec.json.encode(ordered), indent=1) + b"\n")


def hashes_of(files: Iterable[Path]) -> dict[str, str]:
    """Return the SHA-256 of files by their name."""
    hashes: dict[str, str] = {}
    for path in sorted(files):
        with path.open("rb") as file:
            hashes[path.name] = hashlib.file_digest(file, "sha256").hexdigest()
    return hashes


def differences(locked: Mapping[str, str], found: Mapping[str, str]) -> list[str]:
    """Return what is not as locked: a line for every file that is other, new or missing, by name."""
    lines: list[str] = []
    for name in sorted(locked.keys() | found.keys()):
        if name not in found:
            lines.append(f"{name} is missing")
        elif name not in locked:
            lines.append(f"{name} is not in the lock")
        elif locked[name] != found[name]:
            lines.append(f"{name} has another content")
    return lines


def verify(engine: str, locked: Locked | None, found: Mapping[str, str], *, is_moving: bool) -> str:
    """Hold what was downloaded to the lock; return what is to be said aloud, or "".

    Raises:
        StackError: A fixed version is not what was locked.
    """
    lines = differences(locked.files if locked else {}, found)
    if not lines:
        return ""
    what = f"{engine}: {len(lines)} of {len(found)} downloaded files are not as locked, first: {lines[0]}"
    if is_moving:
        return f"{what}; the suite has moved on, its signature was checked"
    raise StackError(f"{what}; if the change is meant, run `python -m tests.stack lock {engine}` and commit lock.json")
