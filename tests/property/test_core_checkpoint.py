"""Checkpoints of random logs: who begins at one sees what everybody sees, and nobody else notices that it is there."""

from collections.abc import Callable, Sequence
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from grit.core.fold import DbtlFold, GtlFold
from grit.core.ids import Offset
from grit.core.records import (
    Checkpoint,
    DbtlRecord,
    GtlRecord,
    decode_dbtl_record,
    decode_gtl_record,
    encode_log_record,
)
from grit.core.states import Parts, split_state
from tests.property.test_core_fold import dbtl_logs, gtl_logs, new_dbtl

Fold = GtlFold | DbtlFold


def facts(fold: Fold) -> dict[str, Any]:
    """Return all that a fold knows; what is a heap, as a sorted list."""
    return {name: sorted(value) if name.endswith("_ages") else value for name, value in vars(fold).items()}


def feed(fold: Any, records: Sequence[Any]) -> list[Any]:
    return [fold.apply(fold.offset, record) for record in records]


def check_every_offset(new: Callable[[], Any], records: Sequence[Any]) -> None:
    """At every offset: dump, load, go on; all that is folded from there, and the end, are those of the whole log."""
    whole, dumps, folded = new(), [], []
    for record in records:
        dumps.append(whole.dump())
        folded.append(whole.apply(whole.offset, record))
    dumps.append(whole.dump())
    for at, dumped in enumerate(dumps[1:], 1):
        begun = new()
        begun.load(dumped)
        assert begun.offset == at
        assert begun.dump() == dumped
        assert feed(begun, records[at:]) == folded[at:]
        assert facts(begun) == facts(whole)
        assert begun.dump() == whole.dump()


@given(gtl_logs())
def test_a_gtl_folded_from_any_checkpoint_is_the_gtl_folded_from_its_start(records: list[GtlRecord]) -> None:
    check_every_offset(GtlFold, records)


@given(dbtl_logs())
def test_a_dbtl_folded_from_any_checkpoint_is_the_dbtl_folded_from_its_start(records: list[DbtlRecord]) -> None:
    check_every_offset(new_dbtl, records)


def with_checkpoints(fold: Any, records: Sequence[Any], data: st.DataObject) -> list[Any]:
    """Return the log with checkpoints of true and of false states, as they come from anybody, anywhere behind the first."""
    log = [records[0]]
    for record in records[1:]:
        if data.draw(st.booleans()):
            state = data.draw(st.sampled_from([fold.dump(), b"false"]))
            log.extend(split_state(Offset(data.draw(st.integers(0, len(log)))), state))
        log.append(record)
    return log


def check_no_effect(new: Callable[[], Any], records: Sequence[Any], data: st.DataObject) -> None:
    with_them, without = new(), new()
    log = with_checkpoints(new(), records, data)
    folded = feed(with_them, log)
    assert [one for one, record in zip(folded, log, strict=True) if not isinstance(record, Checkpoint)] == feed(
        without, records
    )
    assert not any(one.valid for one, record in zip(folded, log, strict=True) if isinstance(record, Checkpoint))
    assert {**facts(with_them), "offset": 0} == {**facts(without), "offset": 0}


@given(gtl_logs(), st.data())
def test_a_checkpoint_has_no_effect_on_a_gtl_wherever_it_lies(records: list[GtlRecord], data: st.DataObject) -> None:
    check_no_effect(GtlFold, records, data)


@given(dbtl_logs(), st.data())
def test_a_checkpoint_has_no_effect_on_a_dbtl_wherever_it_lies(records: list[DbtlRecord], data: st.DataObject) -> None:
    check_no_effect(new_dbtl, records, data)


@given(dbtl_logs(), st.integers(1, 7), st.randoms(use_true_random=False))
def test_parts_make_the_state_in_any_order_and_only_whole(records: list[DbtlRecord], count: int, chance: Any) -> None:
    fold = new_dbtl()
    feed(fold, records)
    (whole,) = split_state(fold.offset, fold.dump())
    size = len(whole.state) // count + 1
    shares = [whole.state[first : first + size] for first in range(0, len(whole.state), size)]
    parts = [Checkpoint(whole.at, part, len(shares), share, whole.digest) for part, share in enumerate(shares)]
    chance.shuffle(parts)
    gathering = Parts()
    for part in parts:
        assert (decode_gtl_record(encode_log_record(part), log="gtl", offset=Offset(9))) == part
        assert (decode_dbtl_record(encode_log_record(part), log="dbtl.a", offset=Offset(9))) == part
    assert [gathering.take(part) for part in parts] == [None] * (len(parts) - 1) + [whole.state]
