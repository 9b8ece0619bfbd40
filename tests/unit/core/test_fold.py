"""Which records of a log count (protocol.md sections 2 and 3): one rule a test, for the GTL and for a DBTL.

Times are counted from `T`; a transaction is named by a number and by when it began.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import pytest

from grit.core.errors import LogError
from grit.core.fold import KEY_HORIZON_MS, LIFE_MS, DbtlFold, DbtlFolded, GtlFold, GtlFolded, Holder
from grit.core.ids import Csn, Epoch, LeaderId, Lsn, Millis, Offset, Realm, TxnId, make_txn_id
from grit.core.records import (
    FORMAT,
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
)

T = 1_700_000_000_000
A, B, SHOP = Realm("a"), Realm("b"), Realm("shop")
GTL_GENESIS = Genesis("gtl-id", Realm(""), FORMAT)
DBTL_GENESIS = Genesis("dbtl-id", SHOP, FORMAT)


def txn(number: int, began: int = T) -> TxnId:
    return make_txn_id(Millis(began), number)


def gtm(epoch: int, *, time: int = T, leader: str = "g") -> GtmEpoch:
    return GtmEpoch(Epoch(epoch), LeaderId(leader), f"{leader}:1", Millis(time))


def dbtm(epoch: int, *, time: int = T, leader: str = "d", gtl: str = "gtl-id") -> DbtmEpoch:
    return DbtmEpoch(Epoch(epoch), LeaderId(leader), f"{leader}:1", Millis(time), gtl)


def fence(realm: Realm, epoch: int) -> Fence:
    return Fence(realm, Epoch(epoch))


def refused(*txids: TxnId, epoch: int = 0, keys: tuple[str, ...] = ()) -> Refused:
    return Refused(Epoch(epoch), txids, keys)


def vote(realm: Realm, dbtm_epoch: int = 1, gtm_epoch: int = 1) -> PartEntry:
    return PartEntry(realm, Epoch(dbtm_epoch), Epoch(gtm_epoch), Csn(0), b"")


def commit(txid: TxnId, *votes: PartEntry, key: str = "", result: bytes = b"") -> CommitEntry:
    return CommitEntry(txid, votes or (vote(A), vote(B)), key, result)


def commits(first: int, *entries: CommitEntry, epoch: int = 1, time: int = T) -> Commits:
    return Commits(Epoch(epoch), Csn(first), Millis(time), entries)


def entries(first: int, *txids: TxnId, epoch: int = 1, time: int = T, through: tuple[int, int] = (0, 0)) -> Entries:
    reached = Through(Csn(through[0]), Offset(through[1]))
    return Entries(
        Epoch(epoch), Lsn(first), Millis(time), reached, tuple(Entry(txid, Csn(0), b"", ()) for txid in txids)
    )


class Gtl:
    """A global log as it grows, and its fold: by default one leader of epoch 1, realms a and b fenced at 1."""

    def __init__(self, *records: GtlRecord) -> None:
        self.fold = GtlFold()
        for record in records or (GTL_GENESIS, gtm(1), fence(A, 1), fence(B, 1)):
            self.add(record)

    def add(self, record: GtlRecord) -> GtlFolded:
        return self.fold.apply(self.fold.offset, record)

    def decided(self, record: Commits) -> list[bool]:
        """Fold a valid record; tell of each of its entries whether it is committed."""
        folded = self.add(record)
        assert folded.valid
        return [decree.committed for decree in folded.decrees]

    def is_void(self, record: GtlRecord) -> bool:
        """Fold the record; tell whether it is void, and then changed nothing at all but the offset."""
        before = state(self.fold)
        folded = self.add(record)
        if folded.valid:
            return False
        assert folded == GtlFolded(valid=False)
        assert state(self.fold) == before
        return True


class Dbtl:
    """The log of realm shop as it grows, and its fold: by default one leader of epoch 1."""

    def __init__(self, *records: DbtlRecord) -> None:
        self.fold = DbtlFold("dbtl.shop", SHOP)
        for record in records or (DBTL_GENESIS, dbtm(1)):
            self.add(record)

    def add(self, record: DbtlRecord) -> DbtlFolded:
        return self.fold.apply(self.fold.offset, record)

    def is_void(self, record: DbtlRecord) -> bool:
        """As `Gtl.is_void`."""
        before = state(self.fold)
        folded = self.add(record)
        if folded.valid:
            return False
        assert folded == DbtlFolded(valid=False)
        assert state(self.fold) == before
        return True


def state(fold: GtlFold | DbtlFold, *, without: Sequence[str] = ("offset",)) -> dict[str, Any]:
    """All that a fold holds, copied; `without` those attributes."""
    held = {name: value for name, value in vars(fold).items() if name not in without}
    return {name: type(value)(value) if isinstance(value, dict | set | list) else value for name, value in held.items()}


# --- identity ------------------------------------------------------------------------------------------------


def test_genesis_gives_the_log_its_identity() -> None:
    assert Gtl(GTL_GENESIS).fold.log_id == "gtl-id"
    assert Dbtl(DBTL_GENESIS).fold.log_id == "dbtl-id"


def test_genesis_is_valid_only_as_the_first_record_ever() -> None:
    assert Gtl().is_void(Genesis("other", Realm(""), FORMAT))
    assert Gtl(GTL_GENESIS).is_void(GTL_GENESIS)
    assert Dbtl().is_void(Genesis("other", SHOP, FORMAT))
    assert Dbtl().is_void(Genesis("other", Realm("elsewhere"), FORMAT + 1))


def test_a_log_whose_first_record_is_no_genesis_is_refused_with_log_offset_and_remedy() -> None:
    for add in (Gtl(GTL_GENESIS).fold, Dbtl(DBTL_GENESIS).fold):
        fresh = GtlFold() if isinstance(add, GtlFold) else DbtlFold("dbtl.shop", SHOP)
        with pytest.raises(
            LogError, match=r"^log \S+, offset 0: the first record is no GENESIS.*restore the whole log$"
        ):
            fresh.apply(Offset(0), Resign(Epoch(1)))


def test_a_log_of_an_unknown_format_is_refused_with_log_offset_and_remedy() -> None:
    text = rf"offset 0: written in format {FORMAT + 1}, this program reads format {FORMAT}: run the version of grit"
    with pytest.raises(LogError, match="^log gtl, " + text):
        Gtl(Genesis("gtl-id", Realm(""), FORMAT + 1))
    with pytest.raises(LogError, match=r"^log dbtl\.shop, " + text):
        Dbtl(Genesis("dbtl-id", SHOP, FORMAT + 1))


def test_the_log_of_another_realm_is_refused_with_log_offset_and_remedy() -> None:
    text = r"^log dbtl\.shop, offset 0: this log belongs to realm cart, not to realm shop: check the configured path$"
    with pytest.raises(LogError, match=text):
        Dbtl(Genesis("id", Realm("cart"), FORMAT))


def test_the_gtl_and_a_dbtl_are_not_taken_for_each_other() -> None:
    with pytest.raises(LogError, match="^log gtl, offset 0: this log belongs to realm shop, not to the GTL: check"):
        Gtl(DBTL_GENESIS)
    with pytest.raises(
        LogError, match=r"^log dbtl\.shop, offset 0: this log belongs to the GTL, not to realm shop: check"
    ):
        Dbtl(GTL_GENESIS)


def test_an_epoch_under_another_gtl_is_void_for_everybody() -> None:
    log = Dbtl()
    assert log.fold.gtl_log_id == "gtl-id"
    assert log.is_void(dbtm(2, gtl="other"))
    assert log.add(dbtm(2)).valid


def test_offsets_are_folded_in_order_without_gaps() -> None:
    with pytest.raises(AssertionError, match="folded offset 5, expected 4"):
        Gtl().fold.apply(Offset(5), gtm(2))
    with pytest.raises(AssertionError, match="folded offset 1, expected 2"):
        Dbtl().fold.apply(Offset(1), dbtm(2))


# --- epochs ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("epoch", [0, 3, 4])
def test_an_epoch_that_is_not_greater_is_void(epoch: int) -> None:
    assert Gtl(GTL_GENESIS, gtm(4, leader="first")).is_void(gtm(epoch, time=T + 99, leader="second"))
    assert Dbtl(DBTL_GENESIS, dbtm(4, leader="first")).is_void(dbtm(epoch, time=T + 99, leader="second"))


def test_a_greater_epoch_is_valid_also_when_it_skips_some() -> None:
    for fold in (
        Gtl(GTL_GENESIS, gtm(1), gtm(7, leader="new")).fold,
        Dbtl(DBTL_GENESIS, dbtm(1), dbtm(7, leader="new")).fold,
    ):
        assert (fold.epoch, fold.leader_id, fold.address) == (7, "new", "new:1")


def test_of_two_who_claim_the_same_epoch_the_first_has_it() -> None:
    fold = Dbtl(DBTL_GENESIS, dbtm(1, leader="one"), dbtm(1, leader="two")).fold
    assert fold.leader_id == "one"


@pytest.mark.parametrize("epoch", [1, 3])
def test_a_leaders_record_of_another_epoch_is_void_and_uses_no_numbers(epoch: int) -> None:
    gtl, dbtl = Gtl(GTL_GENESIS, gtm(2), fence(A, 1), fence(B, 1)), Dbtl(DBTL_GENESIS, dbtm(2))
    assert gtl.is_void(commits(1, commit(txn(1), vote(A, gtm_epoch=epoch)), epoch=epoch, time=T + 9))
    assert gtl.is_void(Resign(Epoch(epoch)))
    assert dbtl.is_void(entries(1, txn(1), epoch=epoch, time=T + 9, through=(5, 5)))
    assert dbtl.is_void(refused(txn(1), epoch=epoch))
    assert dbtl.is_void(Resign(Epoch(epoch)))


def test_before_the_first_epoch_no_record_is_of_a_leader() -> None:
    gtl, dbtl = Gtl(GTL_GENESIS), Dbtl(DBTL_GENESIS)
    assert gtl.is_void(commits(1, commit(txn(1), vote(A, 0, 0)), epoch=0))
    assert gtl.is_void(Resign(Epoch(0)))
    assert dbtl.is_void(entries(1, txn(1), epoch=0))
    assert dbtl.is_void(refused(txn(1), epoch=0))
    assert dbtl.is_void(Resign(Epoch(0)))


@pytest.mark.parametrize("first", [1, 2, 4])
def test_a_record_whose_first_is_not_the_next_number_is_void_and_uses_no_numbers(first: int) -> None:
    gtl, dbtl = Gtl(), Dbtl()
    gtl.add(commits(1, commit(txn(1)), commit(txn(2))))
    dbtl.add(entries(1, txn(1), txn(2)))
    assert gtl.is_void(commits(first, commit(txn(3)), time=T + 9))
    assert gtl.is_void(commits(first, time=T + 9))
    assert dbtl.is_void(entries(first, txn(3), time=T + 9, through=(5, 5)))
    assert dbtl.is_void(entries(first, time=T + 9, through=(5, 5)))
    assert gtl.decided(commits(3, commit(txn(3)))) == [True]
    assert dbtl.add(entries(3, txn(3))).entries[0][0] == 3


def test_after_a_lost_record_everything_of_its_leader_is_void() -> None:
    gtl, dbtl = Gtl(), Dbtl()
    for first in (2, 3, 4):  # the record with number 1 was lost
        assert gtl.is_void(commits(first, commit(txn(first))))
        assert dbtl.is_void(entries(first, txn(first)))


def test_numbers_go_on_under_the_next_epoch() -> None:
    gtl, dbtl = Gtl(), Dbtl()
    gtl.add(commits(1, commit(txn(1))))
    gtl.add(gtm(2))
    dbtl.add(entries(1, txn(1)))
    dbtl.add(dbtm(2))
    assert gtl.decided(commits(2, commit(txn(2), vote(A, gtm_epoch=2)), epoch=2)) == [True]
    assert dbtl.add(entries(2, txn(2), epoch=2)).valid
    assert (gtl.fold.next_csn, dbtl.fold.tail) == (3, 2)


def test_a_renewal_is_a_valid_record_that_uses_no_numbers() -> None:
    gtl, dbtl = Gtl(), Dbtl()
    assert gtl.add(commits(1, time=T + 500)) == GtlFolded(valid=True)
    assert dbtl.add(entries(1, time=T + 500)) == DbtlFolded(valid=True)
    assert (gtl.fold.next_csn, dbtl.fold.next_lsn, gtl.fold.now, dbtl.fold.now) == (1, 1, T + 500, T + 500)


def test_numbers_are_dense_in_the_order_of_the_entries() -> None:
    gtl, dbtl = Gtl(), Dbtl()
    folded = [gtl.add(commits(1, commit(txn(1)), commit(txn(2)))), gtl.add(commits(3, commit(txn(3))))]
    assert [(decree.csn, decree.entry.txid) for one in folded for decree in one.decrees] == [
        (1, txn(1)),
        (2, txn(2)),
        (3, txn(3)),
    ]
    numbered = [*dbtl.add(entries(1, txn(1), txn(2))).entries, *dbtl.add(entries(3, txn(3))).entries]
    assert [(lsn, entry.txid) for lsn, entry in numbered] == [(1, txn(1)), (2, txn(2)), (3, txn(3))]
    assert dbtl.fold.committed == {txn(1): 1, txn(2): 2, txn(3): 3}
    assert dbtl.fold.tail == 3


# --- time --------------------------------------------------------------------------------------------------------


def test_now_is_the_largest_time_of_valid_records() -> None:
    gtl, dbtl = Gtl(GTL_GENESIS), Dbtl(DBTL_GENESIS)
    seen = []
    for epoch, time in ((1, T + 5), (2, T + 3), (3, T + 8)):
        gtl.add(gtm(epoch, time=time))
        dbtl.add(dbtm(epoch, time=time))
        gtl.add(commits(1, epoch=epoch, time=time + 1))
        dbtl.add(entries(1, epoch=epoch, time=time + 1))
        seen.append((gtl.fold.now, dbtl.fold.now))
    assert seen == [(T + 6, T + 6), (T + 6, T + 6), (T + 9, T + 9)]


# --- resigning -----------------------------------------------------------------------------------------------------


def test_a_leader_has_resigned_until_somebody_claims() -> None:
    for log, claim in ((Gtl(), gtm(2)), (Dbtl(), dbtm(2))):
        assert not log.fold.resigned
        assert log.add(Resign(Epoch(1))).valid
        assert log.fold.resigned
        assert log.add(claim).valid
        assert not log.fold.resigned


# --- fences and votes ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("epoch", [0, 2, 3])
def test_a_fence_that_is_not_greater_is_void(epoch: int) -> None:
    assert Gtl(GTL_GENESIS, fence(A, 3)).is_void(fence(A, epoch))


def test_a_fence_is_valid_whoever_leads_and_of_its_realm_only() -> None:
    gtl = Gtl(GTL_GENESIS, fence(A, 5), gtm(1), fence(B, 2), fence(A, 9))
    assert gtl.fold.fences == {A: 9, B: 2}


def test_a_vote_counts_only_with_this_records_gtm_epoch() -> None:
    gtl = Gtl(GTL_GENESIS, gtm(1), fence(A, 1), fence(B, 1), gtm(2))
    asked = [vote(A, gtm_epoch=2), vote(B, gtm_epoch=2)]
    stale = commit(txn(1), asked[0], vote(B, gtm_epoch=1))
    ahead = commit(txn(2), vote(A, gtm_epoch=3), asked[1])
    assert gtl.decided(commits(1, stale, ahead, commit(txn(3), *asked), epoch=2)) == [False, False, True]


def test_a_vote_counts_only_with_the_newest_fence_of_its_realm() -> None:
    gtl = Gtl(GTL_GENESIS, gtm(1), fence(A, 3), fence(B, 1))
    made = [commit(txn(epoch), vote(A, epoch), vote(B)) for epoch in (2, 3, 4)]
    assert gtl.decided(commits(1, *made)) == [False, True, False]


def test_a_vote_counts_by_the_fence_at_that_point_of_the_log() -> None:
    gtl = Gtl()
    assert gtl.decided(commits(1, commit(txn(1)))) == [True]
    gtl.add(fence(B, 2))
    assert gtl.decided(commits(2, commit(txn(2)), commit(txn(3), vote(A), vote(B, 2)))) == [False, True]
    assert gtl.fold.committed == {txn(1): 1, txn(3): 3}


def test_a_vote_of_a_realm_without_a_fence_counts_never() -> None:
    gtl = Gtl(GTL_GENESIS, gtm(1))
    assert gtl.decided(commits(1, commit(txn(1), vote(A, 0)), commit(txn(2), vote(A, 1)))) == [False, False]


# --- voided entries ----------------------------------------------------------------------------------------------------


def test_a_voided_entry_keeps_its_csn_and_has_no_effect() -> None:
    gtl = Gtl()
    voided = commit(txn(1), vote(A, 9), key="pay", result=b"no")
    folded = gtl.add(commits(1, voided, commit(txn(2), key="pay", result=b"yes")))
    assert [(decree.csn, decree.committed) for decree in folded.decrees] == [(1, False), (2, True)]
    assert gtl.fold.committed == {txn(2): 2}
    assert gtl.fold.keys == {"pay": Holder(txn(2), Csn(2), b"yes")}


def test_the_txid_of_a_voided_entry_can_still_commit() -> None:
    gtl = Gtl()
    assert gtl.decided(commits(1, commit(txn(1), vote(A, 9)), commit(txn(1)))) == [False, True]


def test_the_last_csn_of_a_realm_counts_voided_entries_too() -> None:
    gtl = Gtl()
    gtl.add(commits(1, commit(txn(1)), commit(txn(2), vote(B)), commit(txn(3), vote(A, 9)), commit(txn(4), vote(B))))
    assert gtl.fold.last_csn == {A: 3, B: 4}


def test_a_void_record_is_in_no_realms_chain() -> None:
    gtl = Gtl()
    assert gtl.is_void(commits(2, commit(txn(1))))
    assert gtl.fold.last_csn == {}


def test_a_txid_commits_once() -> None:
    gtl = Gtl()
    assert gtl.decided(commits(1, commit(txn(1)), commit(txn(1)))) == [True, False]
    assert gtl.decided(commits(3, commit(txn(1)))) == [False]
    assert gtl.fold.committed == {txn(1): 1}


# --- refusals ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("epoch", [0, 1, 7])
def test_a_refusal_in_the_gtl_counts_from_anybody_for_ever(epoch: int) -> None:
    gtl = Gtl()
    assert gtl.add(refused(txn(1), epoch=epoch)) == GtlFolded(valid=True, refused=(txn(1),))
    assert gtl.decided(commits(1, commit(txn(1)), commit(txn(2)))) == [False, True]
    gtl.add(gtm(2))
    assert gtl.decided(commits(3, commit(txn(1), vote(A, gtm_epoch=2)), epoch=2)) == [False]


def test_a_refusal_in_the_gtl_counts_before_anybody_leads() -> None:
    assert Gtl(GTL_GENESIS).add(refused(txn(1))).refused == (txn(1),)


def test_what_is_committed_is_not_refused() -> None:
    gtl, dbtl = Gtl(), Dbtl()
    gtl.add(commits(1, commit(txn(1))))
    dbtl.add(entries(1, txn(1)))
    assert gtl.add(refused(txn(1), txn(2))).refused == (txn(2),)
    assert dbtl.add(refused(txn(1), txn(2), epoch=1)).refused == (txn(2),)
    assert gtl.fold.refused == dbtl.fold.refused == {txn(2)}


def test_what_began_before_now_minus_2l_is_not_refused() -> None:
    old, young = txn(1, T - 2 * LIFE_MS - 1), txn(2, T - 2 * LIFE_MS)
    assert Gtl().add(refused(old, young)).refused == (young,)
    assert Dbtl().add(refused(old, young, epoch=1)).refused == (young,)


def test_a_refusal_in_a_dbtl_counts_from_its_leader_only() -> None:
    dbtl = Dbtl()
    assert dbtl.add(refused(txn(1), epoch=1)) == DbtlFolded(valid=True, refused=(txn(1),))
    assert dbtl.is_void(refused(txn(2), epoch=0))
    dbtl.add(dbtm(2))
    assert dbtl.is_void(refused(txn(2), epoch=1))
    assert dbtl.fold.refused == {txn(1)}


def test_a_refusal_that_is_repeated_takes_no_more_memory() -> None:
    gtl, dbtl = Gtl(), Dbtl()
    for _ in range(3):
        assert gtl.add(refused(txn(1), keys=("pay",))).refused == (txn(1),)
        assert dbtl.add(refused(txn(1), epoch=1)).refused == (txn(1),)
    for log, once in ((gtl, Gtl()), (dbtl, Dbtl())):
        once.add(refused(txn(1), epoch=1, keys=("pay",)))
        assert state(log.fold) == state(once.fold)


# --- keys ------------------------------------------------------------------------------------------------------------------


def test_a_key_commits_once_and_keeps_its_result() -> None:
    gtl = Gtl()
    first = commit(txn(1), key="pay", result=b"order 7")
    assert gtl.decided(commits(1, first, commit(txn(2), key="pay", result=b"order 8"))) == [True, False]
    assert gtl.decided(commits(3, commit(txn(3), key="pay"), commit(txn(4), key="else"))) == [False, True]
    assert gtl.fold.keys["pay"] == Holder(txn(1), Csn(1), b"order 7")


def test_transactions_without_a_key_share_none() -> None:
    gtl = Gtl()
    gtl.add(refused(keys=()))
    assert gtl.decided(commits(1, commit(txn(1)), commit(txn(2)))) == [True, True]
    assert gtl.fold.keys == {}


def test_a_cancelled_key_never_commits() -> None:
    gtl = Gtl()
    assert gtl.add(refused(keys=("pay",))).valid
    assert gtl.decided(commits(1, commit(txn(1), key="pay"), commit(txn(2)))) == [False, True]
    assert gtl.fold.cancelled == {"pay"}


def test_a_key_that_committed_cannot_be_cancelled() -> None:
    gtl = Gtl()
    gtl.add(commits(1, commit(txn(1), key="pay")))
    gtl.add(refused(keys=("pay",)))
    assert "pay" in gtl.fold.keys
    assert gtl.fold.cancelled == set()


# --- forgetting --------------------------------------------------------------------------------------------------------------


def test_a_txid_is_remembered_until_now_has_passed_its_begin_by_2l() -> None:
    gtl, dbtl = Gtl(), Dbtl()
    gtl.add(commits(1, commit(txn(1))))
    gtl.add(refused(txn(2)))
    dbtl.add(entries(1, txn(1)))
    dbtl.add(refused(txn(2), epoch=1))
    gtl.add(commits(2, time=T + 2 * LIFE_MS))
    dbtl.add(entries(2, time=T + 2 * LIFE_MS))
    for fold in (gtl.fold, dbtl.fold):
        assert (list(fold.committed), fold.refused, fold.is_expired(txn(1))) == ([txn(1)], {txn(2)}, False)
    gtl.add(commits(2, time=T + 2 * LIFE_MS + 1))
    dbtl.add(entries(2, time=T + 2 * LIFE_MS + 1))
    for fold in (gtl.fold, dbtl.fold):
        assert (fold.committed, fold.refused, fold.is_expired(txn(1))) == ({}, set(), True)


def test_what_is_forgotten_leaves_nothing_behind() -> None:
    gtl = Gtl()
    gtl.add(commits(1, commit(txn(1), key="pay"), commit(txn(2))))
    gtl.add(refused(txn(3), keys=("no",)))
    gtl.add(commits(3, time=T + KEY_HORIZON_MS + 1))
    fresh = Gtl()
    fresh.add(commits(1, time=T + KEY_HORIZON_MS + 1))
    assert state(gtl.fold, without=("offset", "next_csn", "last_csn")) == state(
        fresh.fold, without=("offset", "next_csn", "last_csn")
    )


def test_an_entry_that_began_before_now_minus_2l_is_voided() -> None:
    old, young = commit(txn(1, T - 2 * LIFE_MS - 1)), commit(txn(2, T - 2 * LIFE_MS))
    assert Gtl().decided(commits(1, old, young)) == [False, True]


def test_the_time_of_a_record_holds_for_its_own_entries() -> None:
    assert Gtl().decided(commits(1, commit(txn(1)), time=T + 2 * LIFE_MS + 1)) == [False]


def test_a_refused_txid_does_not_come_back_when_its_refusal_is_forgotten() -> None:
    gtl = Gtl()
    gtl.add(refused(txn(1)))
    gtl.add(commits(1, time=T + 2 * LIFE_MS + 1))
    assert txn(1) not in gtl.fold.refused
    assert gtl.decided(commits(1, commit(txn(1)), time=T)) == [False]


def test_a_transaction_too_old_to_remember_is_in_a_dbtl_all_the_same() -> None:
    dbtl = Dbtl()
    folded = dbtl.add(entries(1, txn(1, T - 2 * LIFE_MS - 1)))
    assert [lsn for lsn, _ in folded.entries] == [1]
    assert dbtl.fold.committed == {}


def test_a_key_is_remembered_until_its_horizon_by_now() -> None:
    gtl = Gtl()
    gtl.add(commits(1, commit(txn(1), key="pay")))
    gtl.add(refused(keys=("no",)))
    at, later = T + KEY_HORIZON_MS, T + KEY_HORIZON_MS + 1
    made = [commit(txn(2, at), key="pay"), commit(txn(3, at), key="no")]
    assert gtl.decided(commits(2, *made, time=at)) == [False, False]
    assert gtl.decided(commits(4, *made, time=later)) == [True, True]  # by the time of this very record
    assert gtl.fold.keys["pay"] == Holder(txn(2, at), Csn(4), b"")
    assert gtl.fold.cancelled == set()


def test_a_claim_forgets_as_other_records_do() -> None:
    gtl, dbtl = Gtl(), Dbtl()
    gtl.add(commits(1, commit(txn(1), key="pay")))
    dbtl.add(entries(1, txn(1)))
    gtl.add(gtm(2, time=T + KEY_HORIZON_MS + 1))
    dbtl.add(dbtm(2, time=T + KEY_HORIZON_MS + 1))
    assert (gtl.fold.committed, gtl.fold.keys, dbtl.fold.committed) == ({}, {}, {})


def test_nothing_is_forgotten_by_a_record_that_is_void() -> None:
    gtl, dbtl = Gtl(), Dbtl()
    gtl.add(commits(1, commit(txn(1), key="pay")))
    dbtl.add(entries(1, txn(1)))
    assert gtl.is_void(commits(2, epoch=9, time=T + KEY_HORIZON_MS + 1))
    assert dbtl.is_void(entries(2, epoch=9, time=T + KEY_HORIZON_MS + 1))
    assert (list(gtl.fold.committed), list(gtl.fold.keys), list(dbtl.fold.committed)) == ([txn(1)], ["pay"], [txn(1)])


# --- gtl_through -----------------------------------------------------------------------------------------------------------------


def test_gtl_through_comes_with_every_entries_record_and_never_goes_back() -> None:
    dbtl = Dbtl()
    seen = []
    for through in ((2, 7), (1, 9), (2, 5), (2, 8), (3, 9), (0, 0)):
        dbtl.add(entries(1, through=through))
        seen.append((dbtl.fold.through.csn, dbtl.fold.through.offset))
    assert seen == [(2, 7), (2, 7), (2, 7), (2, 8), (3, 9), (3, 9)]


def test_every_record_folds_whatever_came_before_it() -> None:
    records: Iterable[GtlRecord] = (gtm(1), fence(A, 1), commits(1), refused(txn(1)), Resign(Epoch(1)), GTL_GENESIS)
    gtl = Gtl(GTL_GENESIS)
    for record in records:
        gtl.add(record)
    assert gtl.fold.offset == 7
