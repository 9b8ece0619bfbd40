"""A new file takes the place of an embedded database; at every moment there is a whole one, also for who is killed.

    seal the new file, seal the old one      each is whole by itself: a `-wal` of one must never lie beside the other
    old: one more name, kept aside           a hard link: the database in use goes on to be the old one
    new: renamed over the old name           at once, by the operating system

A database that is damaged does not serve, and cannot be sealed: it is moved aside with what lies beside it, that first.
"""

import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from grit.core.errors import ConfigError
from grit.core.ids import Realm
from grit.runtime.failpoints import failpoint
from grit.store.durable import sync_folder
from grit.store.sql.sqlite import seal

_BESIDE = ("-wal", "-shm", "-journal")
_ASIDE = "before-rebuild"


def swap_in(realm: Realm, new: Path, live: Path, *, time: str) -> Path | None:
    """Put `new` in the place of `live`; return where the old one is kept, None where there was none.

    Args:
        realm: For messages.
        new: A database that nobody has open, in the folder of `live`.
        live: The caller owns it (`grit.store.hold.owned`); there need not be one.
        time: Makes the name under which the old one is kept.

    Raises:
        ConfigError: Another program has the old one open, or the folder cannot be changed. The old one is in place.
    """
    aside = live.with_name(f"{live.name}.{_ASIDE}-{time}")
    try:
        _sealed(new)
        failpoint("rebuild.sealed_new")
        is_there = live.exists()
        if is_there and seal(live):
            failpoint("rebuild.sealed_old")
            aside.hardlink_to(live)
        elif is_there:
            _move_aside(live, aside)
        sync_folder(live.parent)
        failpoint("rebuild.kept_aside")
        new.replace(live)
        failpoint("rebuild.swapped")
        sync_folder(live.parent)
    except (OSError, sqlite3.Error) as error:
        raise ConfigError(
            f"realm {realm}: {live} cannot be replaced: {error}: end other programs that have it open, and see that this user "
            "may write there; it is as it was"
        ) from error
    return aside if is_there else None


def remove_database(path: Path) -> None:
    """Remove a database that nobody has open, if there is one."""
    for file in (*_beside(path), path):
        file.unlink(missing_ok=True)


def remove_second_names(live: Path) -> None:
    """Remove the names that a swap which was broken off gave to a database that is still in use."""
    if live.exists():
        for other in live.parent.iterdir():
            if other.name.startswith(f"{live.name}.{_ASIDE}-") and other.samefile(live):
                other.unlink()


def _sealed(new: Path) -> None:
    if not seal(new):
        raise OSError(f"{new} is damaged")
    with new.open("rb") as file:
        os.fsync(file)


def _move_aside(live: Path, aside: Path) -> None:
    for file in _beside(live):
        if file.exists():
            file.replace(aside.with_name(aside.name + file.name.removeprefix(live.name)))
    live.replace(aside)


def _beside(path: Path) -> Iterator[Path]:
    return (path.with_name(path.name + end) for end in _BESIDE)
