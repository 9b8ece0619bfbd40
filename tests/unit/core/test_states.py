"""States of folds as bytes: their format, and their way through a log in parts."""

import pytest

from grit.core.errors import LogError
from grit.core.fold import DbtlFold, GtlFold
from grit.core.ids import Csn, Epoch, LeaderId, Lsn, Millis, Offset, Realm, make_txn_id
from grit.core.records import (
    FORMAT,
    Checkpoint,
    DbtmEpoch,
    Entries,
    Entry,
    Genesis,
    Refused,
    Resign,
    Through,
    encode_log_record,
    is_checkpoint,
)
from grit.core.states import PART_BYTES, STATE_FORMAT, Parts, digest_of, split_state

A, B = Realm("a"), Realm("b")
T = 1_700_000_000_000
VECTOR = (
    "01949aa3642d31a1610502a26d65a6686f73743a31c3cf0000018bcfe568009192be742d31386263666535363830302d"
    "303030303030303030303030303030310191be742d31386263666535363830302d303030303030303030303030303030"
    "3202920304a3672d31"
)
"""Format, shared part, next Lsn, through, GTL: other programs must read, and make, just these."""


def filled() -> DbtlFold:
    """Return the fold of a short log of realm a."""
    fold = DbtlFold("dbtl.a", A)
    one, two = make_txn_id(Millis(T), 1), make_txn_id(Millis(T), 2)
    for record in (
        Genesis("d-1", A, FORMAT),
        DbtmEpoch(Epoch(2), LeaderId("me"), "host:1", Millis(T), "g-1"),
        Entries(Epoch(2), Lsn(1), Millis(T), Through(Csn(3), Offset(4)), (Entry(one, Csn(3), b"", ()),)),
        Refused(Epoch(2), (two,)),
        Resign(Epoch(2)),
    ):
        fold.apply(fold.offset, record)
    return fold


def test_the_bytes_of_a_state_are_these() -> None:
    assert filled().dump().hex() == VECTOR


def test_a_state_of_another_format_is_refused_with_the_remedy() -> None:
    with pytest.raises(LogError, match=f"log gtl: a checkpoint has format 9, this program reads format {STATE_FORMAT}"):
        GtlFold().load(b"\x09rest")


@pytest.mark.parametrize("dumped", [bytes([STATE_FORMAT]), bytes([STATE_FORMAT]) + b"\x93abc"])
def test_what_is_no_state_is_refused(dumped: bytes) -> None:
    with pytest.raises(LogError, match="a checkpoint holds no state of such a log"):
        GtlFold().load(dumped)


def test_a_state_of_another_kind_of_log_is_refused() -> None:
    with pytest.raises(LogError, match="a checkpoint holds no state of such a log"):
        GtlFold().load(filled().dump())


def test_a_state_of_another_realm_is_refused() -> None:
    with pytest.raises(LogError, match="the checkpoint is of another log, of realm 'a': check the configured path"):
        DbtlFold("dbtl.b", B).load(filled().dump())


def large(address: str) -> bytes:
    """Return a state of offset 1 that takes four records."""
    fold = GtlFold()
    fold.apply(Offset(0), Genesis("g", Realm(""), FORMAT))
    fold.address = address * (3 * PART_BYTES)
    return fold.dump()


def test_a_large_state_goes_in_several_records_and_comes_back() -> None:
    state = large("a")
    records = split_state(Offset(1), state)
    assert [record.part for record in records] == [0, 1, 2, 3]
    parts = Parts()
    assert [parts.take(record) for record in records] == [None, None, None, state]
    assert len(parts) == 0


def test_parts_of_different_states_never_make_one() -> None:
    first, second = split_state(Offset(1), large("a")), split_state(Offset(1), large("b"))
    parts = Parts()
    assert [parts.take(record) for record in (*first[:2], *second[2:])] == [None] * 4
    assert [parts.take(record) for record in second[:2]] == [None, large("b")]


@pytest.mark.parametrize(
    "bad",
    [
        Checkpoint(Offset(1), 0, 1, b"forged", digest_of(b"true")),
        Checkpoint(Offset(1), 0, 1, b"no state", digest_of(b"no state")),
        Checkpoint(Offset(1), 0, 0, b"", digest_of(b"")),
        Checkpoint(Offset(1), 3, 2, b"", digest_of(b"")),
        Checkpoint(Offset(1), -1, 1, b"", digest_of(b"")),
        *split_state(Offset(99), filled().dump()),
    ],
    ids=["other digest", "no state", "of nothing", "part beyond", "part before", "state of another offset"],
)
def test_a_bad_record_makes_no_state_and_stops_nobody(bad: Checkpoint) -> None:
    parts = Parts()
    assert parts.take(bad) is None
    state = filled().dump()
    assert [parts.take(record) for record in split_state(Offset(5), state)] == [state]


def test_what_writers_that_died_left_behind_does_not_pile_up() -> None:
    parts = Parts(incomplete_max=3)
    for number in range(100):
        parts.take(Checkpoint(Offset(number), 0, 2, b"half", b""))
    assert len(parts) == 3


def test_only_checkpoints_look_like_checkpoints() -> None:
    assert is_checkpoint(encode_log_record(split_state(Offset(7), b"state")[0]))
    assert not is_checkpoint(encode_log_record(Resign(Epoch(1))))
    assert not is_checkpoint(b"")
