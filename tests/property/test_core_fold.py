"""The fold of random logs: the same for everybody, whatever zombies add, and one outcome per transaction."""

import copy
from collections.abc import Sequence
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from grit.checker.copies import LogCopy, Placed
from grit.checker.dbtl import read_dbtl
from grit.checker.gtl import read_gtl
from grit.core.fold import KEY_HORIZON_MS, LIFE_MS, DbtlFold, DbtlFolded, GtlFold, GtlFolded
from grit.core.ids import Csn, Epoch, LeaderId, Lsn, Millis, Offset, Realm, TxnId, make_txn_id
from grit.core.records import (
    CommitEntry,
    Commits,
    DbtlRecord,
    DbtmEpoch,
    Entries,
    Entry,
    Fence,
    Genesis,
    GtlRecord,
    GtmEpoch,
    PartEntry,
    Refused,
    Resign,
    Through,
    encode_log_record,
)

T = 1_700_000_000_000
REALMS = (Realm("a"), Realm("b"))
STEPS_MS = (0, 0, 0, 700, LIFE_MS, 3 * LIFE_MS, KEY_HORIZON_MS)


class Writer:
    """Draws a log as leaders, zombies and participants would write it; keeps just enough of its state to be right often."""

    def __init__(self, draw: st.DrawFn) -> None:
        self.draw = draw
        self.epoch = 0
        self.next = 1
        self.now = T
        self.fences = dict.fromkeys(REALMS, 0)

    def number(self, right: int) -> int:
        """Return mostly the right number."""
        return max(0, right + self.draw(st.sampled_from([0, 0, 0, 0, 0, 0, 0, 0, -1, 1])))

    def time(self) -> Millis:
        self.now += self.draw(st.sampled_from(STEPS_MS))
        return Millis(self.now - self.draw(st.sampled_from([0, 0, 0, LIFE_MS])))

    def txid(self) -> TxnId:
        ago = self.draw(st.sampled_from([0, 0, 0, LIFE_MS, 2 * LIFE_MS, 3 * LIFE_MS]))
        return make_txn_id(Millis((self.now - ago) // LIFE_MS * LIFE_MS), self.draw(st.integers(1, 4)))

    def txids(self) -> tuple[TxnId, ...]:
        return tuple(self.txid() for _ in range(self.draw(st.integers(0, 3))))

    def keys(self) -> tuple[str, ...]:
        return tuple(self.draw(st.lists(st.sampled_from(["k", "l"]), max_size=2)))

    def resign(self) -> Resign:
        return Resign(Epoch(self.number(self.epoch)))

    def claim(self) -> Epoch:
        claimed = self.number(self.epoch + 1)
        self.epoch = max(self.epoch, claimed)
        return Epoch(claimed)

    def first(self, epoch: int, count: int) -> int:
        first = self.number(self.next)
        self.next += count if (epoch, first) == (self.epoch, self.next) and epoch else 0
        return first

    def gtl_record(self) -> GtlRecord:
        kind = self.draw(st.sampled_from("CCCCCCEFFRG") if self.epoch else st.sampled_from("EF"))
        if kind == "C":
            epoch, time = self.number(self.epoch), self.time()
            entries = tuple(self.entry() for _ in range(self.draw(st.integers(0, 3))))
            return Commits(Epoch(epoch), Csn(self.first(epoch, len(entries))), time, entries)
        if kind == "E":
            return GtmEpoch(self.claim(), LeaderId("g"), "", self.time())
        if kind == "F":
            realm = self.draw(st.sampled_from(REALMS))
            fence = self.number(self.fences[realm] + 1)
            self.fences[realm] = max(self.fences[realm], fence)
            return Fence(realm, Epoch(fence))
        if kind == "R":
            return Refused(Epoch(0), self.txids(), self.keys())
        return self.draw(st.sampled_from([Genesis("other", Realm(""), 1)]) | st.just(self.resign()))

    def entry(self) -> CommitEntry:
        votes = tuple(
            PartEntry(realm, Epoch(self.number(self.fences[realm])), Epoch(self.number(self.epoch)), Csn(0), b"")
            for realm in self.draw(st.sets(st.sampled_from(REALMS), min_size=1).map(sorted))
        )
        return CommitEntry(self.txid(), votes, self.draw(st.sampled_from(["", "", "k", "l"])))

    def dbtl_record(self) -> DbtlRecord:
        kind = self.draw(st.sampled_from("NNNNNNERG") if self.epoch else st.just("E"))
        if kind == "N":
            epoch, time, txids = self.number(self.epoch), self.time(), self.txids()
            through = Through(Csn(self.draw(st.integers(0, 9))), Offset(self.draw(st.integers(0, 9))))
            entries = tuple(Entry(txid, Csn(0), b"", ()) for txid in txids)
            return Entries(Epoch(epoch), Lsn(self.first(epoch, len(entries))), time, through, entries)
        if kind == "E":
            return DbtmEpoch(self.claim(), LeaderId("d"), "", self.time(), "gtl")
        if kind == "R":
            return Refused(Epoch(self.number(self.epoch)), self.txids())
        return self.draw(st.sampled_from([Genesis("other", REALMS[1], 1)]) | st.just(self.resign()))


@st.composite
def gtl_logs(draw: st.DrawFn) -> list[GtlRecord]:
    writer = Writer(draw)
    return [Genesis("gtl", Realm(""), 1), *(writer.gtl_record() for _ in range(draw(st.integers(0, 25))))]


@st.composite
def dbtl_logs(draw: st.DrawFn) -> list[DbtlRecord]:
    writer = Writer(draw)
    return [Genesis("dbtl", REALMS[0], 1), *(writer.dbtl_record() for _ in range(draw(st.integers(0, 25))))]


def new_dbtl() -> DbtlFold:
    return DbtlFold("dbtl.a", REALMS[0])


def feed_gtl(fold: GtlFold, records: Sequence[GtlRecord]) -> list[GtlFolded]:
    return [fold.apply(fold.offset, record) for record in records]


def feed_dbtl(fold: DbtlFold, records: Sequence[DbtlRecord]) -> list[DbtlFolded]:
    return [fold.apply(fold.offset, record) for record in records]


def without_offset(fold: GtlFold | DbtlFold) -> dict[str, Any]:
    return {name: value for name, value in vars(fold).items() if name != "offset"}


@given(gtl_logs(), st.data())
def test_a_gtl_folded_in_any_split_is_the_same(records: list[GtlRecord], data: st.DataObject) -> None:
    split = data.draw(st.integers(0, len(records)))
    whole, first = GtlFold(), GtlFold()
    folded = feed_gtl(whole, records)
    before = feed_gtl(first, records[:split])
    second = copy.deepcopy(first)
    assert before + feed_gtl(second, records[split:]) == folded
    assert vars(second) == vars(whole)


@given(dbtl_logs(), st.data())
def test_a_dbtl_folded_in_any_split_is_the_same(records: list[DbtlRecord], data: st.DataObject) -> None:
    split = data.draw(st.integers(0, len(records)))
    whole, first = new_dbtl(), new_dbtl()
    folded = feed_dbtl(whole, records)
    before = feed_dbtl(first, records[:split])
    second = copy.deepcopy(first)
    assert before + feed_dbtl(second, records[split:]) == folded
    assert vars(second) == vars(whole)


@given(gtl_logs(), st.data())
def test_a_gtm_record_of_an_older_epoch_changes_nothing_wherever_it_lies(
    records: list[GtlRecord], data: st.DataObject
) -> None:
    at = data.draw(st.integers(1, len(records)))
    before = GtlFold()
    feed_gtl(before, records[:at])
    epoch, time = Epoch(data.draw(st.integers(0, max(0, before.epoch - 1)))), Millis(T + 10 * KEY_HORIZON_MS)
    entry = CommitEntry(make_txn_id(time, 9), (PartEntry(REALMS[0], Epoch(1), epoch, Csn(0), b""),), "k")
    zombies: list[GtlRecord] = [
        Commits(epoch, before.next_csn, time, (entry,)),
        Commits(epoch, before.next_csn, time, ()),
        GtmEpoch(epoch, LeaderId("zombie"), "", time),
        Resign(epoch),
    ]
    zombie = data.draw(st.sampled_from(zombies))
    alone, haunted = GtlFold(), GtlFold()
    folded = feed_gtl(alone, records)
    assert feed_gtl(haunted, [*records[:at], zombie, *records[at:]]) == [
        *folded[:at],
        GtlFolded(valid=False),
        *folded[at:],
    ]
    assert without_offset(haunted) == without_offset(alone)


@given(dbtl_logs(), st.data())
def test_a_dbtm_record_of_an_older_epoch_changes_nothing_wherever_it_lies(
    records: list[DbtlRecord], data: st.DataObject
) -> None:
    at = data.draw(st.integers(1, len(records)))
    before = new_dbtl()
    feed_dbtl(before, records[:at])
    epoch, time = Epoch(data.draw(st.integers(0, max(0, before.epoch - 1)))), Millis(T + 10 * KEY_HORIZON_MS)
    txid = make_txn_id(time, 9)
    zombies: list[DbtlRecord] = [
        Entries(epoch, before.next_lsn, time, Through(Csn(99), Offset(99)), (Entry(txid, Csn(0), b"", ()),)),
        Entries(epoch, before.next_lsn, time, Through(Csn(99), Offset(99)), ()),
        DbtmEpoch(epoch, LeaderId("zombie"), "", time, "gtl"),
        Refused(epoch, (txid,)),
        Resign(epoch),
    ]
    zombie = data.draw(st.sampled_from(zombies))
    alone, haunted = new_dbtl(), new_dbtl()
    folded = feed_dbtl(alone, records)
    assert feed_dbtl(haunted, [*records[:at], zombie, *records[at:]]) == [
        *folded[:at],
        DbtlFolded(valid=False),
        *folded[at:],
    ]
    assert without_offset(haunted) == without_offset(alone)


@given(gtl_logs())
def test_a_transaction_has_one_outcome_for_ever(records: list[GtlRecord]) -> None:
    committed: set[TxnId] = set()
    refused: set[TxnId] = set()
    csn = 0
    for folded in feed_gtl(GtlFold(), records):
        for decree in folded.decrees:
            csn += 1
            assert decree.csn == csn
            if decree.committed:
                assert decree.entry.txid not in committed | refused
                committed.add(decree.entry.txid)
        assert not committed.intersection(folded.refused)
        refused.update(folded.refused)


@given(gtl_logs())
def test_what_is_remembered_of_transactions_began_within_2l(records: list[GtlRecord]) -> None:
    fold = GtlFold()
    feed_gtl(fold, records)
    assert not [txid for txid in (*fold.committed, *fold.refused) if fold.is_expired(txid)]
    assert len(fold._ages) == len(fold.committed) + len(fold.refused)
    assert len(fold._key_ages) == len(fold.keys) + len(fold.cancelled)


@given(gtl_logs())
def test_the_checker_with_code_of_its_own_says_the_same_of_every_entry(records: list[GtlRecord]) -> None:
    placed = [Placed(Offset(at), record, encode_log_record(record)) for at, record in enumerate(records)]
    folded = feed_gtl(GtlFold(), records)
    assert [(one.csn, one.entry, one.is_committed) for one in read_gtl(LogCopy("gtl", tuple(placed))).decisions] == [
        (decree.csn, decree.entry, decree.committed) for one in folded for decree in one.decrees
    ]


@given(dbtl_logs())
def test_the_checker_with_code_of_its_own_numbers_a_dbtl_the_same(records: list[DbtlRecord]) -> None:
    placed = [Placed(Offset(at), record, encode_log_record(record)) for at, record in enumerate(records)]
    folded = feed_dbtl(new_dbtl(), records)
    history = read_dbtl(LogCopy("dbtl.a", tuple(placed)), REALMS[0])
    assert [(one.lsn, one.entry) for one in history.transactions] == [
        numbered for one in folded for numbered in one.entries
    ]
