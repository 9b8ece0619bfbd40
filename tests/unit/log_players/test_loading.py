"""Rows from a checkpoint into an empty database."""

import pytest

from grit.core.errors import StoreRefused
from grit.core.ids import Collection, Epoch, Lsn, Offset
from grit.core.queries import Cursor, GetRows, RowWrite
from grit.store.memory import MemoryStore
from log_players import loading
from log_players.loading import load_rows
from tests.unit.checker.recorded import ITEMS, ORDERS, catalogue, key

REALM = catalogue()[ORDERS]
CURSOR = Cursor("log-1", Offset(7), Epoch(2), Lsn(5))


@pytest.mark.parametrize("count", [0, 1, 2, 3, 7])
async def test_all_rows_and_the_position_are_there_in_however_many_batches(
    count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loading, "BATCH_ROWS", 2)
    store = MemoryStore(REALM)
    await load_rows(REALM, store, CURSOR, [RowWrite(ITEMS, key(number), {"id": number}) for number in range(count)])
    assert store.cursor_now() == CURSOR
    (found,) = store.read_now([GetRows(ITEMS, tuple(key(number) for number in range(9)))]).rows
    assert [row["id"] for _, row in found] == list(range(count))


async def test_a_collection_that_the_catalogue_does_not_have_is_refused() -> None:
    with pytest.raises(StoreRefused, match="writes the collection gone, which the catalogue"):
        await load_rows(REALM, MemoryStore(REALM), CURSOR, [RowWrite(Collection("gone"), key(1), {"id": 1})])
