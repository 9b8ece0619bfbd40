"""Transaction ids."""

import pytest

from grit.core.ids import Millis, TxnId, began_at, is_txn_id, make_txn_id


def test_an_id_tells_when_its_transaction_began() -> None:
    assert began_at(make_txn_id(Millis(1_700_000_000_123), 7)) == 1_700_000_000_123


def test_ids_sort_by_begin() -> None:
    ids = [make_txn_id(Millis(at), 0) for at in (0, 1, 255, 256, (1 << 44) - 1)]
    assert sorted(ids) == ids


def test_chance_beyond_64_bits_is_cut() -> None:
    assert make_txn_id(Millis(1), 1 << 64) == make_txn_id(Millis(1), 0)


@pytest.mark.parametrize("time", [-1, 1 << 44])
def test_a_time_that_an_id_cannot_carry_is_our_bug(time: int) -> None:
    with pytest.raises(AssertionError, match="no time"):
        make_txn_id(Millis(time), 0)


@pytest.mark.parametrize("time", [0, 1, (1 << 44) - 1])
def test_every_id_made_has_the_shape_of_one(time: int) -> None:
    assert is_txn_id(make_txn_id(Millis(time), 2**64 - 1))


GOOD = TxnId("t-018bcfe568b-0000000000000007")


@pytest.mark.parametrize(
    "text", ["", "t-", GOOD.upper(), f"{GOOD}\n", f" {GOOD}", GOOD[:-1], f"{GOOD}0", "x" + GOOD[1:]]
)
def test_anything_else_is_no_id(text: str) -> None:
    assert is_txn_id(GOOD)
    assert not is_txn_id(text)
