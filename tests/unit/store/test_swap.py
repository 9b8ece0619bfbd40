"""A new database takes the place of the old one whole, and the old one is kept whole."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from grit.core.errors import ConfigError
from grit.core.ids import Realm
from grit.store.swap import remove_database, remove_second_names, swap_in

REALM = Realm("orders")


def make(path: Path, number: int) -> Path:
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("PRAGMA journal_mode=WAL")
        database.execute("CREATE TABLE numbers (number INTEGER)")
        database.execute("INSERT INTO numbers VALUES (?)", (number,))
    return path


def killed(path: Path, number: int, folder: Path) -> Path:
    """Return a database as a killed process leaves it: its last transactions lie in the `-wal` beside it."""
    path = make(path, number)
    with closing(sqlite3.connect(path)) as database:
        database.execute("UPDATE numbers SET number = number + 1")
        database.commit()
        images = {file.name: file.read_bytes() for file in folder.iterdir() if file.name.startswith(path.name)}
    assert f"{path.name}-wal" in images
    for name, image in images.items():
        (folder / name).write_bytes(image)
    return path


def number_in(path: Path) -> int:
    with closing(sqlite3.connect(path)) as database:
        return int(database.execute("SELECT number FROM numbers").fetchone()[0])


@pytest.fixture
def live(tmp_path: Path) -> Path:
    return tmp_path / "orders [1].db"


@pytest.fixture
def new(tmp_path: Path) -> Path:
    return make(tmp_path / "orders [1].db.rebuild", 7)


def test_the_new_one_is_in_place_and_the_old_one_is_kept_with_all_that_lay_beside_it(
    tmp_path: Path, live: Path, new: Path
) -> None:
    killed(live, 1, tmp_path)
    aside = swap_in(REALM, new, live, time="now")
    assert aside == tmp_path / "orders [1].db.before-rebuild-now"
    assert (number_in(live), number_in(aside)) == (7, 2)
    assert not new.exists()


def test_where_there_is_no_old_one_nothing_is_kept(tmp_path: Path, live: Path, new: Path) -> None:
    assert swap_in(REALM, new, live, time="now") is None
    assert [path.name for path in tmp_path.iterdir()] == ["orders [1].db"]
    assert number_in(live) == 7


def test_a_damaged_one_is_moved_aside_with_what_lies_beside_it(tmp_path: Path, live: Path, new: Path) -> None:
    killed(live, 1, tmp_path)
    live.write_bytes(b"not a database" * 1_000)
    aside = swap_in(REALM, new, live, time="now")
    assert aside is not None
    assert aside.read_bytes().startswith(b"not a database")
    assert aside.with_name(f"{aside.name}-wal").exists()
    assert number_in(live) == 7


def test_another_program_that_has_it_open_is_noticed_and_nothing_changes(live: Path, new: Path) -> None:
    make(live, 1)
    with closing(sqlite3.connect(live)) as foreigner:
        foreigner.execute("SELECT * FROM numbers").fetchall()
        with pytest.raises(ConfigError, match="cannot be replaced.*other programs") as refused:
            swap_in(REALM, new, live, time="now")
    assert "\n" not in str(refused.value)
    assert (number_in(live), number_in(new)) == (1, 7)


def test_a_new_one_that_is_damaged_is_not_put_in_place(live: Path, tmp_path: Path) -> None:
    make(live, 1)
    bad = tmp_path / "orders [1].db.rebuild"
    bad.write_bytes(b"not a database" * 1_000)
    with pytest.raises(ConfigError, match="is damaged"):
        swap_in(REALM, bad, live, time="now")
    assert number_in(live) == 1


def test_the_second_name_of_a_database_in_use_is_removed_and_no_other_is(tmp_path: Path, live: Path) -> None:
    make(live, 1)
    kept = make(tmp_path / "orders [1].db.before-rebuild-earlier", 3)
    (tmp_path / "orders [1].db.before-rebuild-broken-off").hardlink_to(live)
    remove_second_names(live)
    assert sorted(path.name for path in tmp_path.iterdir()) == [live.name, kept.name]


def test_a_database_is_removed_with_what_lies_beside_it(tmp_path: Path, new: Path) -> None:
    killed(new.with_name("other.rebuild"), 1, tmp_path)
    remove_database(tmp_path / "other.rebuild")
    assert [path.name for path in tmp_path.iterdir()] == [new.name]
