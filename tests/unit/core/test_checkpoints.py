"""When a checkpoint is due in a machine, and what it does with others' (docs/adr/0013)."""

import pytest

from grit.core import checkpoints
from grit.core.checkpoints import Checkpoints
from grit.core.errors import LogError
from grit.core.fold import GtlFold
from grit.core.ids import Epoch, Offset, Realm
from grit.core.records import FORMAT, Fence, Genesis, GtlRecord
from grit.core.states import PART_BYTES, Parts, split_state

EVERY = 4


class Stage:
    """A global log that grows, its fold, and the checkpoints of it."""

    def __init__(self) -> None:
        self.fold = GtlFold()
        self.checkpoints = Checkpoints(self.fold, EVERY)
        self.epoch = 0
        self.fences(0)

    def take(self, record: GtlRecord, *, is_live: bool = True) -> None:
        offset = self.fold.offset
        self.checkpoints.meet(offset, record, is_live=is_live)
        self.fold.apply(offset, record)

    def fences(self, count: int, *, is_live: bool = True) -> None:
        if self.fold.offset == 0:
            self.take(Genesis("g", Realm(""), FORMAT))
        for _ in range(count):
            self.epoch += 1
            self.take(Fence(Realm("a"), Epoch(self.epoch)), is_live=is_live)


def test_a_checkpoint_of_each_multiple_is_due_once_it_is_past() -> None:
    stage = Stage()
    stage.fences(EVERY - 1)
    assert stage.checkpoints.take_due() == ()
    dumped = stage.fold.dump()
    stage.fences(2)
    (record,) = stage.checkpoints.take_due()
    assert (record.at, Parts().take(record)) == (EVERY, dumped)
    assert stage.checkpoints.take_due() == ()


def test_what_is_folded_at_the_start_is_not_dumped() -> None:
    stage = Stage()
    stage.fences(3 * EVERY, is_live=False)
    assert stage.checkpoints.take_due() == ()


def test_only_the_newest_is_due() -> None:
    stage = Stage()
    stage.fences(3 * EVERY)
    assert [record.at for record in stage.checkpoints.take_due()] == [3 * EVERY]


def test_what_another_has_written_is_not_due_any_more() -> None:
    stage = Stage()
    stage.fences(EVERY)
    known = Stage()
    known.fences(EVERY)
    for record in known.checkpoints.take_due():
        stage.take(record)
    assert stage.checkpoints.take_due() == ()


def test_a_checkpoint_that_is_true_changes_nothing_and_a_false_one_stops_with_both_digests() -> None:
    stage = Stage()
    dumped = b""
    for _ in range(EVERY):
        dumped = stage.fold.dump()
        stage.fences(1)
    for record in split_state(Offset(EVERY), dumped):
        stage.take(record)
    false = split_state(Offset(EVERY), b"false")[0]
    with pytest.raises(LogError, match=rf"log gtl, offset 6: the checkpoint of offset 4 is {false.digest.hex()}, .*"):
        stage.take(false)


def test_one_of_an_offset_that_is_not_known_is_believed_by_nobody_and_stops_nobody() -> None:
    stage = Stage()
    stage.fences(EVERY + 1)
    stage.take(split_state(Offset(2), b"whatever")[0])


def test_a_large_state_is_not_the_reason_for_the_next_checkpoint() -> None:
    stage = Stage()
    stage.fences(EVERY)
    stage.checkpoints.take_due()
    for record in split_state(Offset(3), b"x" * (2 * EVERY * PART_BYTES)):
        stage.take(record)
    assert stage.checkpoints.take_due() == ()
    stage.fences(EVERY)
    assert stage.checkpoints.take_due()


def test_a_state_of_many_parts_is_written_more_seldom(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoints, "RECORDS_A_PART", 3 * EVERY)
    stage = Stage()
    stage.fold.address = "a" * (PART_BYTES + 1)
    stage.fences(EVERY)
    assert len(stage.checkpoints.take_due()) == 2
    stage.fences(2 * EVERY)
    assert stage.checkpoints.take_due() == ()
    stage.fences(EVERY)
    assert stage.checkpoints.take_due()[0].at == 4 * EVERY
