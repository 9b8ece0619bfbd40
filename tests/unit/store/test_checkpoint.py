"""Checkpoints of databases: the same bytes for the same rows, and nothing that is not whole is believed."""

from pathlib import Path

import pytest

from grit.core.errors import ConfigError
from grit.core.ids import Collection, Epoch, Key, Lsn, Offset, Realm
from grit.core.keys import encode_key
from grit.core.queries import Cursor, StoreAnswer
from grit.store.checkpoint import FORMAT, MAGIC, StoredRow, read_checkpoint, stored_rows, write_checkpoint

REALM = Realm("orders")
CURSOR = Cursor("log-1", Offset(7), Epoch(2), Lsn(5))
NAMES = [Collection("a"), Collection("b")]


def key(number: int) -> Key:
    return encode_key((number,))


ANSWER = StoreAnswer(CURSOR, (((key(2), {"id": 2}), (key(1), {"id": 1, "name": None})), ((key(1), {"id": 1}),)), CURSOR)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    written = tmp_path / "checkpoint"
    write_checkpoint(written, REALM, CURSOR, stored_rows(NAMES, ANSWER))
    return written


def test_what_was_written_is_read(path: Path) -> None:
    header, rows = read_checkpoint(path)
    assert (header.realm, header.cursor, header.rows) == (REALM, CURSOR, 3)
    assert [(row.collection, row.key) for row in rows] == [("a", key(1)), ("a", key(2)), ("b", key(1))]


def test_equal_rows_make_equal_bytes_in_whatever_order_they_were_read(path: Path, tmp_path: Path) -> None:
    turned = StoreAnswer(CURSOR, (ANSWER.rows[1], ((key(1), {"id": 1}), (key(2), {"id": 2}))), CURSOR)
    write_checkpoint(tmp_path / "other", REALM, CURSOR, stored_rows([NAMES[1], NAMES[0]], turned))
    assert (tmp_path / "other").read_bytes() == path.read_bytes()


def test_a_database_without_rows_has_a_checkpoint_too(tmp_path: Path) -> None:
    write_checkpoint(tmp_path / "empty", REALM, CURSOR, [])
    assert read_checkpoint(tmp_path / "empty")[1] == []


def test_any_flipped_bit_and_any_missing_end_is_noticed(path: Path) -> None:
    whole = path.read_bytes()
    for at in range(len(MAGIC) + 1, len(whole)):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        with pytest.raises(ConfigError, match="it is damaged"):
            read_checkpoint(path)
        path.write_bytes(whole[:at])
        with pytest.raises(ConfigError, match="it is damaged"):
            read_checkpoint(path)
    path.write_bytes(whole + b"x")
    with pytest.raises(ConfigError, match="it is damaged"):
        read_checkpoint(path)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "no checkpoint of a database"),
        (b"SQLite format 3\0" * 100, "no checkpoint of a database"),
        (MAGIC, "format 0, this version of GRIT knows format 1"),
        (MAGIC + bytes([FORMAT + 1]) + b"whatever", "format 2, this version of GRIT knows format 1"),
    ],
)
def test_what_is_no_checkpoint_or_of_another_format_is_refused(tmp_path: Path, content: bytes, words: str) -> None:
    (tmp_path / "file").write_bytes(content)
    with pytest.raises(ConfigError, match=words):
        read_checkpoint(tmp_path / "file")


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="No such file"):
        read_checkpoint(tmp_path / "file")


def test_another_file_is_not_overwritten_and_a_checkpoint_is(path: Path, tmp_path: Path) -> None:
    (tmp_path / "orders.db").write_bytes(b"a database")
    with pytest.raises(ConfigError, match="another file is there"):
        write_checkpoint(tmp_path / "orders.db", REALM, CURSOR, [])
    write_checkpoint(path, REALM, CURSOR, [StoredRow(NAMES[0], key(1), b"\x80")])
    assert read_checkpoint(path)[0].rows == 1
    assert sorted(file.name for file in tmp_path.iterdir()) == ["checkpoint", "orders.db"]
