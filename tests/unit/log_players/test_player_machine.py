"""The player's machine: identity of cursor and log, batches, and when it stops."""

from collections.abc import Sequence

import pytest

from grit.core.catalog import CollectionDef, Shape
from grit.core.errors import LogError, StoreRefused
from grit.core.ids import Collection, Csn, Epoch, LeaderId, Lsn, Millis, Offset, Realm, make_txn_id
from grit.core.keys import encode_key
from grit.core.queries import Cursor
from grit.core.records import DbtlRecord, DbtmEpoch, Entries, Entry, Genesis, Image, Through
from grit.core.steps import DBTL, CatchUp, Halt, LogCaughtUp, LogFolded, Tick, Trace
from grit.core.values import encode_record
from log_players.cursor import (
    Applied,
    ApplyBatch,
    ApplyUnknown,
    CursorRead,
    PlayerEffect,
    PlayerLimits,
    PlayerMachine,
    PlayerState,
    ReadCursor,
    StartOver,
    StoreAway,
    StoreRefusedEntry,
    Wait,
)

SHOP, ITEMS = Realm("shop"), Collection("items")
COLLECTIONS = {ITEMS: CollectionDef(ITEMS, Shape.TABLE, ("id",), {})}
NOW = Millis(1_700_000_000_000)
START: list[DbtlRecord] = [Genesis("log-1", SHOP, 1), DbtmEpoch(Epoch(1), LeaderId("a"), "", NOW, "gtl-1")]


def entries(first: int, *numbers: int, epoch: int = 1, trace: str = "") -> Entries:
    made = tuple(
        Entry(
            make_txn_id(NOW, n), Csn(0), b"", (Image(ITEMS, encode_key((n,)), encode_record({"id": n}), None),), trace
        )
        for n in numbers
    )
    return Entries(Epoch(epoch), Lsn(first), NOW, Through(Csn(0), Offset(0)), made)


def renewal(next_lsn: int) -> Entries:
    return entries(next_lsn)


def folded(records: Sequence[DbtlRecord], start: int = 0) -> LogFolded:
    return LogFolded(DBTL, tuple((Offset(start + i), record) for i, record in enumerate(records)))


def cursor(offset: int, lsn: int, *, epoch: int = 1, log_id: str = "log-1") -> Cursor:
    return Cursor(log_id, Offset(offset), Epoch(epoch), Lsn(lsn))


def machine(limits: PlayerLimits | None = None) -> PlayerMachine:
    return PlayerMachine(SHOP, COLLECTIONS, limits=limits)


def started(stored: Cursor | None, limits: PlayerLimits | None = None) -> PlayerMachine:
    player = machine(limits)
    assert player.step(NOW, Tick()) == [ReadCursor()]
    player.step(NOW, CursorRead(stored))
    return player


def only(effects: list[PlayerEffect]) -> PlayerEffect:
    (effect,) = effects
    return effect


def batch_of(effects: list[PlayerEffect]) -> ApplyBatch:
    effect = only(effects)
    assert isinstance(effect, ApplyBatch)
    return effect


def halt_of(effects: list[PlayerEffect]) -> str:
    effect = only(effects)
    assert isinstance(effect, Halt)
    return str(effect.error)


# Identity of cursor and log.


def test_a_cursor_of_another_log_halts() -> None:
    player = started(cursor(2, 0, log_id="log-0"))
    message = halt_of(player.step(NOW, folded(START)))
    assert "filled from log log-0, this is log log-1" in message
    assert player.state == PlayerState.HALTED


def test_a_cursor_beyond_the_end_of_the_log_halts_when_the_end_is_known() -> None:
    player = machine()
    player.step(NOW, Tick())
    assert player.step(NOW, CursorRead(cursor(7, 3))) == [CatchUp(DBTL, Offset(7))]
    assert player.step(NOW, folded(START)) == []
    message = halt_of(player.step(NOW, LogCaughtUp(DBTL)))
    assert "dbtl.shop: ends at offset 2" in message
    assert "up to offset 7 (Lsn 3)" in message


@pytest.mark.parametrize("wrong", [cursor(3, 2), cursor(3, 1, epoch=2)], ids=["lsn", "epoch"])
def test_a_cursor_that_differs_from_the_fold_at_its_offset_halts(wrong: Cursor) -> None:
    player = started(wrong)
    assert "this log at epoch 1, Lsn 1" in halt_of(player.step(NOW, folded([*START, entries(1, 1), renewal(2)])))


def test_a_log_of_another_realm_halts() -> None:
    player = started(None)
    assert "belongs to realm other" in halt_of(player.step(NOW, folded([Genesis("log-1", Realm("other"), 1)])))


def test_a_halted_machine_does_nothing_more() -> None:
    player = started(cursor(2, 0, log_id="log-0"))
    player.step(NOW, folded(START))
    assert player.step(NOW, folded([entries(1, 1)], 2)) == []
    assert not player.has_room
    assert isinstance(player.halted, LogError)


def test_a_database_that_went_back_starts_over() -> None:
    player = started(None)
    player.step(NOW, folded([*START, entries(1, 1)]))
    player.step(NOW, Applied(True))
    player.step(NOW, folded([entries(2, 2)], 3))
    assert player.step(NOW, Applied(False)) == [ReadCursor()]
    assert isinstance(only(player.step(NOW, CursorRead(cursor(2, 0)))), StartOver)


# Batches.


def test_rows_come_from_the_stored_cursor_on_only() -> None:
    player = started(cursor(3, 1))
    batch = batch_of(player.step(NOW, folded([*START, entries(1, 1), entries(2, 2)])))
    assert [write.row for write in batch.writes] == [{"id": 2}]
    assert (batch.expected, batch.reached, batch.lsns) == (cursor(3, 1), cursor(4, 2), (2,))


def test_a_database_without_cursor_is_tied_to_its_log_at_once() -> None:
    batch = batch_of(started(None).step(NOW, folded(START[:1])))
    assert (batch.expected, batch.writes, batch.reached) == (None, (), cursor(1, 0, epoch=0))


def test_what_arrives_while_a_batch_is_applied_makes_one_next_batch() -> None:
    player = started(cursor(2, 0))
    player.step(NOW, folded([*START, entries(1, 1)]))
    assert player.step(NOW, folded([entries(2, 2)], 3)) == []
    assert player.step(NOW, folded([renewal(3), entries(3, 3)], 4)) == []
    batch = batch_of(player.step(NOW, Applied(True)))
    assert (batch.expected, batch.reached, batch.lsns) == (cursor(3, 1), cursor(6, 3), (2, 3))


@pytest.mark.parametrize(
    "limits", [PlayerLimits(batch_entries_max=2), PlayerLimits(batch_bytes_max=9)], ids=["count", "bytes"]
)
def test_a_batch_ends_with_the_record_that_reaches_a_limit(limits: PlayerLimits) -> None:
    player = started(cursor(2, 0), limits)
    batch = batch_of(player.step(NOW, folded([*START, entries(1, 1), entries(2, 2), entries(3, 3)])))
    assert batch.lsns == (1, 2)


def test_void_records_write_nothing_and_the_cursor_passes_them() -> None:
    player = started(cursor(2, 0))
    batch = batch_of(player.step(NOW, folded([*START, entries(5, 5), entries(1, 9, epoch=7), entries(1, 1)])))
    assert (batch.lsns, batch.reached) == ((1,), cursor(5, 1))


def test_a_participant_that_only_read_moves_the_cursor() -> None:
    read_only = Entry(make_txn_id(NOW, 1), Csn(4), b"", ())
    record = Entries(Epoch(1), Lsn(1), NOW, Through(Csn(4), Offset(9)), (read_only,))
    batch = batch_of(started(cursor(2, 0)).step(NOW, folded([*START, record])))
    assert (batch.writes, batch.reached.lsn) == ((), 1)


def test_renewals_move_the_cursor_rarely_and_cost_no_lag() -> None:
    player = started(cursor(2, 0), PlayerLimits(quiet_ms=1_000))
    player.step(NOW, folded([*START, entries(1, 1)]))
    player.step(NOW, Applied(True))
    assert player.step(NOW, folded([renewal(2)], 3)) == []
    assert player.step(Millis(NOW + 999), Tick()) == []
    assert player.lag == 0
    assert batch_of(player.step(Millis(NOW + 1_000), Tick())).reached == cursor(4, 1)


def test_an_idle_player_looks_at_the_cursor_now_and_then() -> None:
    player = started(cursor(2, 0), PlayerLimits(look_ms=100))
    player.step(NOW, folded(START))
    assert player.step(Millis(NOW + 99), Tick()) == []
    assert player.step(Millis(NOW + 100), Tick()) == [ReadCursor()]
    assert player.step(Millis(NOW + 100), CursorRead(cursor(2, 0))) == []
    assert player.step(Millis(NOW + 199), Tick()) == []


def test_lag_counts_the_transactions_that_are_not_yet_applied() -> None:
    player = started(cursor(2, 0))
    player.step(NOW, folded([*START, entries(1, 1, 2)]))
    assert (player.lag, player.applied_lsn) == (2, 0)
    player.step(NOW, Applied(True))
    assert (player.lag, player.applied_lsn) == (0, 2)


def test_the_log_waits_until_the_cursor_is_known_and_while_the_backlog_is_full() -> None:
    player = machine(PlayerLimits(backlog_records_max=2))
    assert not player.has_room
    player.step(NOW, Tick())
    assert not player.has_room
    player.step(NOW, CursorRead(cursor(2, 0)))
    assert player.has_room
    player.step(NOW, folded([*START, entries(1, 1), entries(2, 2)]))
    assert not player.has_room
    player.step(NOW, Applied(True))
    assert player.has_room


def test_a_database_without_cursor_has_room_once_that_is_known() -> None:
    assert started(None).has_room


def test_time_alone_starts_no_second_call_while_a_batch_is_applied() -> None:
    player = started(cursor(2, 0), PlayerLimits(look_ms=10))
    player.step(NOW, folded([*START, entries(1, 1)]))
    assert player.step(Millis(NOW + 1_000), Tick()) == []


def test_each_traced_transaction_gets_a_span_when_it_is_applied() -> None:
    player = started(cursor(2, 0))
    player.step(NOW, folded([*START, entries(1, 1, trace="00-aa-bb-01"), entries(2, 2)]))
    span = only(player.step(Millis(NOW + 5), Applied(True)))
    assert isinstance(span, Trace)
    assert (span.name, span.parent, span.began, span.ended) == ("apply", "00-aa-bb-01", NOW, NOW + 5)
    assert span.facts["lsn"] == 1


# Trouble.


def test_another_player_makes_it_read_the_cursor_and_go_on_from_there() -> None:
    player = started(cursor(2, 0))
    player.step(NOW, folded([*START, entries(1, 1), entries(2, 2)]))
    assert player.step(NOW, Applied(False)) == [ReadCursor()]
    batch = batch_of(player.step(NOW, CursorRead(cursor(3, 1))))
    assert (batch.expected, batch.lsns) == (cursor(3, 1), (2,))


def test_an_unknown_commit_is_resolved_by_the_cursor() -> None:
    player = started(cursor(2, 0))
    player.step(NOW, folded([*START, entries(1, 1)]))
    assert player.step(NOW, ApplyUnknown()) == [ReadCursor()]
    assert player.step(NOW, CursorRead(cursor(3, 1))) == []
    assert player.lag == 0


def test_a_database_that_is_away_is_asked_again_after_doubling_waits() -> None:
    player = started(cursor(2, 0), PlayerLimits(retry_ms_min=10, retry_ms_max=30))
    player.step(NOW, folded([*START, entries(1, 1)]))
    now = NOW
    for delay_ms in (10, 20, 30, 30):
        assert player.step(now, StoreAway("down")) == [Wait(delay_ms, "down")]
        assert player.step(Millis(now + delay_ms - 1), Tick()) == []
        now = Millis(now + delay_ms)
        assert player.step(now, Tick()) == [ReadCursor()]
    assert batch_of(player.step(now, CursorRead(cursor(2, 0)))).lsns == (1,)


def test_a_refused_batch_is_narrowed_to_the_record_and_halts_there() -> None:
    player = started(cursor(2, 0))
    player.step(NOW, folded([*START, entries(1, 1), entries(2, 2), entries(3, 3)]))
    refusal = StoreRefusedEntry(StoreRefused("items/(2): trigger says no"))
    assert player.step(NOW, refusal) == [ReadCursor()]
    assert batch_of(player.step(NOW, CursorRead(cursor(2, 0)))).lsns == (1,)
    assert batch_of(player.step(NOW, Applied(True))).lsns == (2,)
    message = halt_of(player.step(NOW, refusal))
    assert f"offset 3, Lsn 2 ({make_txn_id(NOW, 2)})" in message
    assert "items/(2): trigger says no" in message
    assert "nothing is skipped" in message


def test_a_refused_record_of_many_transactions_names_the_first_three() -> None:
    player = started(cursor(2, 0))
    player.step(NOW, folded([*START, entries(1, 1, 2, 3, 4, 5)]))
    message = halt_of(player.step(NOW, StoreRefusedEntry(StoreRefused("no"))))
    assert f"Lsn 1 ({make_txn_id(NOW, 1)})" in message
    assert f"3 ({make_txn_id(NOW, 3)}) and 2 more: no" in message


def test_a_database_that_refuses_to_tell_the_cursor_halts() -> None:
    player = machine()
    player.step(NOW, Tick())
    assert "no right" in halt_of(player.step(NOW, StoreRefusedEntry(StoreRefused("no right"))))


# Lingering.

LINGER = PlayerLimits(linger_ms=10, batch_entries_max=3)


def busy() -> PlayerMachine:
    """Return a player that has just applied the first entry: after a long quiet one goes at once."""
    player = started(cursor(2, 0), LINGER)
    assert batch_of(player.step(NOW, folded([*START, entries(1, 1)]))).lsns == (1,)
    assert player.step(NOW, Applied(True)) == []
    return player


def test_an_entry_waits_for_others_to_go_with_it() -> None:
    player = busy()
    assert player.step(NOW, folded([entries(2, 2)], 3)) == []
    assert player.is_lingering
    assert player.step(Millis(NOW + 9), folded([entries(3, 3)], 4)) == []
    assert batch_of(player.step(Millis(NOW + 10), Tick())).lsns == (2, 3)
    assert not player.is_lingering


def test_a_full_batch_does_not_wait() -> None:
    assert batch_of(busy().step(NOW, folded([entries(2, 2, 3, 4)], 3))).lsns == (2, 3, 4)


def test_what_came_while_a_batch_was_applied_waits_anew() -> None:
    player = busy()
    player.step(NOW, folded([entries(2, 2)], 3))
    player.step(Millis(NOW + 10), Tick())
    player.step(Millis(NOW + 11), folded([entries(3, 3)], 4))
    assert player.step(Millis(NOW + 12), Applied(True)) == []
    assert batch_of(player.step(Millis(NOW + 22), Tick())).lsns == (3,)
