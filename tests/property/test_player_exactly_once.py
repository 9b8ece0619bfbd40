"""Whatever happens between two steps of two players, the database at its cursor is the replay of the log to it.

A seed drives the real machines and a memory store: log records arrive in any chunks, store calls succeed,
get lost, land late or land unanswered, players crash and start again, the database goes back to an older copy.
"""

import copy
from collections.abc import Sequence
from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from grit.core.catalog import CollectionDef, RealmDef, Shape
from grit.core.fold import DbtlFold
from grit.core.ids import Collection, Csn, Epoch, Key, LeaderId, Lsn, Millis, Offset, Realm, make_txn_id
from grit.core.keys import encode_key
from grit.core.predicate import EVERYTHING
from grit.core.queries import FindRows
from grit.core.records import DbtlRecord, DbtmEpoch, Entries, Entry, Genesis, Image, Refused, Resign, Through
from grit.core.steps import DBTL, CatchUp, Halt, LogBegan, LogCaughtUp, LogFolded, Tick
from grit.core.values import Row, decode_record, encode_record
from grit.store.memory import MemoryStore
from log_players.cursor import (
    Applied,
    ApplyBatch,
    ApplyUnknown,
    CursorRead,
    PlayerEffect,
    PlayerEvent,
    PlayerLimits,
    PlayerMachine,
    ReadCursor,
    StartOver,
    StoreAway,
    Wait,
)

ITEMS, TAGS = Collection("items"), Collection("tags")
COLLECTIONS = {name: CollectionDef(name, Shape.TABLE, ("id",), {}) for name in (ITEMS, TAGS)}
REALM = RealmDef(Realm("shop"), "memory", "", COLLECTIONS)
BEGIN = 1_700_000_000_000

Rows = dict[tuple[Collection, Key], Row]


@st.composite
def logs(draw: st.DrawFn) -> list[DbtlRecord]:
    """A log with valid and void records, renewals, refusals and changes of leader."""
    records: list[DbtlRecord] = [Genesis("log-1", REALM.name, 1)]
    epoch, lsn, serial = 0, 1, 0
    for kind in draw(st.lists(st.sampled_from("EEEEERVvCRrQ"), min_size=4, max_size=25)):
        if kind == "C":
            epoch += 1
            records.append(DbtmEpoch(Epoch(epoch), LeaderId(f"l{epoch}"), "", Millis(BEGIN), "gtl-1"))
        elif kind == "r":
            records.append(Resign(Epoch(epoch)))
        elif kind == "Q":
            records.append(Refused(Epoch(epoch), (make_txn_id(Millis(BEGIN), 10**6 + serial),)))
        else:
            count = 0 if kind == "R" else draw(st.integers(1, 4))
            entries = tuple(_entry(draw, serial + i) for i in range(count))
            serial += count
            wrong_epoch, wrong_first = kind == "V", kind == "v"
            first = Lsn(lsn + 1 if wrong_first else lsn)
            through = Through(Csn(0), Offset(0))
            records.append(Entries(Epoch(epoch + wrong_epoch), first, Millis(BEGIN), through, entries))
            lsn += 0 if wrong_epoch or wrong_first or not epoch else count
    return records


def _entry(draw: st.DrawFn, serial: int) -> Entry:
    images = []
    for collection, number in draw(st.sets(st.tuples(st.sampled_from([ITEMS, TAGS]), st.integers(0, 3)), max_size=3)):
        row = {"id": number, "serial": serial}
        after = encode_record(row) if draw(st.booleans()) else None
        images.append(Image(collection, encode_key((number,)), after, None))
    return Entry(make_txn_id(Millis(BEGIN), serial), Csn(0), b"", tuple(images))


def naive_replay(records: Sequence[DbtlRecord], end: int) -> tuple[Rows, int]:
    """Return rows and last Lsn of a replay that applies one image after another."""
    rows: Rows = {}
    epoch = lsn = 0
    for record in records[:end]:
        if isinstance(record, DbtmEpoch):
            epoch = max(epoch, record.epoch)
        if isinstance(record, Entries) and record.epoch == epoch > 0 and record.first_lsn == lsn + 1:
            lsn += len(record.entries)
            for image in (image for entry in record.entries for image in entry.images):
                rows.pop((image.collection, image.key), None)
                if image.after is not None:
                    rows[image.collection, image.key] = decode_record(image.after)
    return rows, lsn


class World:
    """Two players, one log, one database, and a list of choices that decides what happens next."""

    def __init__(self, records: list[DbtlRecord], limits: PlayerLimits) -> None:
        self.records = records
        self.limits = limits
        self.store = MemoryStore(REALM)
        self.copies = [copy.deepcopy(self.store)]
        self.machines = [self.machine(), self.machine()]
        self.calls: list[PlayerEffect | None] = [None, None]
        self.late: list[ApplyBatch] = []
        self.now = Millis(BEGIN)

    def machine(self) -> PlayerMachine:
        return PlayerMachine(REALM.name, COLLECTIONS, limits=self.limits)

    def post(self, who: int, event: PlayerEvent) -> None:
        for effect in self.machines[who].step(self.now, event):
            assert not isinstance(effect, Halt), effect
            if isinstance(effect, ReadCursor | ApplyBatch):
                assert self.calls[who] is None, "two store calls under way"
                self.calls[who] = effect
            elif isinstance(effect, StartOver):
                self.crash(who)
            elif isinstance(effect, CatchUp):
                self.skip(who, effect.begin_max)
                self.feed(who, len(self.records))
                self.post(who, LogCaughtUp(DBTL))
            else:
                assert isinstance(effect, Wait)

    def skip(self, who: int, begin_max: Offset | None) -> None:
        """Let the player begin at a checkpoint as it asks, in every other database; at the cursor, or below it."""
        assert begin_max is not None
        at = min(begin_max, len(self.records)) - len(self.copies) % 3
        if len(self.copies) % 2 and at > self.machines[who].offset:
            fold = DbtlFold("dbtl.shop", REALM.name)
            for record in self.records[:at]:
                fold.apply(fold.offset, record)
            self.post(who, LogBegan(DBTL, fold.dump()))

    def crash(self, who: int) -> None:
        call = self.calls[who]
        if isinstance(call, ApplyBatch):
            self.late.append(call)
        self.machines[who], self.calls[who] = self.machine(), None

    def feed(self, who: int, count: int) -> None:
        offset = self.machines[who].offset
        chunk = self.records[offset : offset + count]
        if chunk:
            self.post(who, LogFolded(DBTL, tuple((Offset(offset + i), record) for i, record in enumerate(chunk))))

    def finish_call(self, who: int, how: int) -> None:
        call, self.calls[who] = self.calls[who], None
        if isinstance(call, ReadCursor):
            self.post(who, StoreAway("away") if how == 1 else CursorRead(self.store.cursor_now()))
        elif isinstance(call, ApplyBatch):
            self.finish_apply(who, call, how)

    def finish_apply(self, who: int, batch: ApplyBatch, how: int) -> None:
        if how == 1:
            self.post(who, StoreAway("away"))
        elif how == 2:
            self.late.append(batch)
            self.post(who, ApplyUnknown())
        else:
            done = self.apply(batch)
            self.post(who, ApplyUnknown() if how == 3 else Applied(done))

    def apply(self, batch: ApplyBatch) -> bool:
        done = self.store.apply_now(batch.expected, batch.writes, batch.reached)
        self.copies.append(copy.deepcopy(self.store))
        self.check()
        return done

    def choose(self, chance: Random) -> None:
        who = chance.randrange(2)
        what = chance.choices(
            ("feed", "finish", "tick", "crash", "late", "restore"), weights=(6, 12, 6, 1, 1, 1)
        )[0]  # fmt: skip
        if what == "feed":
            self.feed(who, chance.randint(1, 4))
        elif what == "finish":
            self.finish_call(who, max(0, chance.randint(-6, 3)))
        elif what == "tick":
            self.tick(who)
        elif what == "crash":
            self.crash(who)
        elif what == "late" and self.late:
            self.apply(self.late.pop(0))
        elif what == "restore":
            self.store = copy.deepcopy(chance.choice(self.copies))

    def tick(self, who: int) -> None:
        self.now = Millis(self.now + 40)
        self.post(who, Tick())

    def heal(self) -> None:
        for _ in range(6 * len(self.records) + 60):
            for who in (0, 1):
                self.tick(who)
                self.feed(who, 3)
                self.finish_call(who, 0)

    def check(self) -> None:
        cursor = self.store.cursor_now()
        expected, lsn = naive_replay(self.records, cursor.offset if cursor else 0)
        answer = self.store.read_now([FindRows(name, where=EVERYTHING) for name in (ITEMS, TAGS)])
        found = {(name, key): row for name, rows in zip((ITEMS, TAGS), answer.rows, strict=True) for key, row in rows}
        assert found == expected
        assert (cursor.lsn if cursor else 0) == lsn


LIMITS = st.builds(
    PlayerLimits,
    batch_entries_max=st.sampled_from([1, 3, 1000]),
    batch_bytes_max=st.sampled_from([1, 40, 1 << 20]),
    backlog_records_max=st.sampled_from([1, 4, 1000]),
    quiet_ms=st.sampled_from([0, 10**9]),
    look_ms=st.just(100),
    retry_ms_max=st.just(100),
)


@settings(max_examples=200, deadline=None)
@given(logs(), LIMITS, st.integers(0, 2**32))
def test_the_database_at_its_cursor_is_the_replay_of_the_log_whatever_happens(
    records: list[DbtlRecord], limits: PlayerLimits, seed: int
) -> None:
    world = World(records, limits)
    chance = Random(seed)
    for _ in range(120):
        world.choose(chance)
        world.check()
    world.heal()
    world.check()
    cursor = world.store.cursor_now()
    assert cursor is not None
    assert cursor.lsn == naive_replay(records, len(records))[1], "not caught up"
