"""Votes on global transactions, and how their outcomes reach a realm."""

import msgspec
import pytest

from grit.core.ids import Csn, Epoch, LeaderId, LinkId
from grit.core.keys import encode_key
from grit.core.limits import Limits
from grit.core.messages import DbtmHello, GtmHello, VoteAsked, Votes
from grit.core.parts import Act, Expect, KeyRead, PredicateRead, Read, Write, encode_changes, encode_part
from grit.core.predicate import Where
from grit.core.records import Fence, GtmEpoch, Refused
from grit.core.steps import DBTL, GTL, AppendUnknown, CatchUp, CloseLink
from tests.unit.dbtm.rig import ITEM, SHOP, Rig, add, both, delete, insert, key, part, patch, put, txn


@pytest.fixture
def rig() -> Rig:
    rig = Rig()
    rig.serve()
    rig.coordinate()
    return rig


def reads_item(number: int, *fields: str) -> Read:
    """Return the read of an item."""
    return KeyRead(ITEM, key(number), fields or None)


def closed(rig: Rig) -> list[LinkId]:
    """Return the links that the machine closed."""
    return [effect.link for effect in rig.effects if isinstance(effect, CloseLink)]


# --- yes and no -------------------------------------------------------------------------------------------


def test_a_part_that_nothing_contradicts_gets_a_yes_under_both_epochs(rig: Rig) -> None:
    votes = rig.voted(1, (1, part(put(1))))
    assert [(vote.code, vote.conditions) for vote in votes.votes] == [("", ())]
    assert (votes.gtm_epoch, votes.dbtm_epoch) == (1, 1)


def test_a_stale_read_gets_a_no_that_names_the_winner(rig: Rig) -> None:
    rig.committed(1, put(1))
    vote = rig.vote_of(2, part(reads=[reads_item(1)]))
    assert vote.code == "READ_CONFLICT"
    assert vote.conflict is not None
    assert (vote.conflict.winner, vote.conflict.lsn) == (txn(1), 1)


def test_a_stale_read_of_a_predicate_is_a_phantom(rig: Rig) -> None:
    rig.committed(1, put(1, a=1))
    assert rig.vote_of(2, part(reads=[PredicateRead(ITEM, Where(both(a=1)))])).code == "PHANTOM"


def test_a_vote_that_counts_on_a_write_in_flight_is_a_conflict(rig: Rig) -> None:
    rig.admit(1, put(1))
    rig.vote(1, (2, part(patch(1, a=1))))
    rig.answer()
    assert rig.votes(1).votes[0].code == "READ_CONFLICT"


def test_a_vote_may_not_report_a_data_error_that_rests_on_a_write_in_flight(rig: Rig) -> None:
    rig.admit(1, put(1))
    rig.vote(1, (2, part(insert(1))))
    assert rig.votes(1).votes[0].code == "READ_CONFLICT"


def test_an_increment_may_count_on_an_increment_in_flight_only_in_the_worst_case(rig: Rig) -> None:
    rig.committed(1, put(1, n=5))
    rig.admit(2, add(1, 3))
    rig.vote(1, (3, part(add(1, -6))), (4, part(add(1, -5))))
    assert [vote.code for vote in rig.votes(1).votes] == ["CONTENTION", ""]


def test_undecided_increments_may_or_may_not_happen(rig: Rig) -> None:
    rig.committed(1, put(1, n=5))
    votes = rig.voted(1, (2, part(add(1, -3))), (3, part(add(1, -3))), (4, part(add(1, -9))))
    assert [vote.code for vote in votes.votes] == ["", "CONTENTION", "BOUND_VIOLATION"]


def test_two_increments_of_one_round_that_both_fit_need_no_order(rig: Rig) -> None:
    rig.committed(1, put(1, n=5))
    votes = rig.voted(1, (2, part(add(1, -2))), (3, part(add(1, -3))))
    assert ([vote.code for vote in votes.votes], votes.edges) == (["", ""], ())


def test_a_data_error_keeps_its_reads_pending_and_not_its_writes(rig: Rig) -> None:
    assert rig.vote_of(1, part(patch(7, a=1), put(8))).code == "NOT_FOUND"
    rig.commit(2, put(8))
    rig.settle()
    assert rig.outcome(2).state == "COMMITTED"
    rig.commit(3, insert(7))
    rig.settle()
    assert rig.describe()["parked"] == 1


def test_a_part_that_was_refused_gets_a_no(rig: Rig) -> None:
    rig.status(1)
    rig.vote(1, (1, part(put(1))))
    rig.answer()
    assert rig.votes(1).votes[0].code == "REFUSED"
    rig.settle()
    assert rig.vote_of(2, part(put(1))).code == ""
    rig.logs[GTL].append(Refused(Epoch(0), (txn(3),)))
    rig.settle()
    assert rig.vote_of(3, part(put(3))).code == "REFUSED"


def test_a_part_that_began_too_long_ago_or_after_now_gets_a_no(rig: Rig) -> None:
    old, young = txn(1, began=rig.now - 60_001), txn(2, began=rig.now + 60_001)
    encoded = encode_part(part(put(1)))
    rig.receive(VoteAsked(Epoch(1), 1, ((old, encoded, "", ""), (young, encoded, "", ""))), rig.gtm_link)
    rig.settle()
    assert [vote.code for vote in rig.votes(1).votes] == ["TIMED_OUT", "CLOCK_SKEW"]


def test_a_database_that_is_away_makes_the_round_abort(rig: Rig) -> None:
    rig.vote(1, (1, part(add(1, 1))))
    rig.fail_looks()
    assert rig.votes(1).votes[0].code == "REALM_DOWN"
    assert rig.describe()["pending"] == 0


# --- what is no part --------------------------------------------------------------------------------------

MALFORMED = {
    "no part at all": b"\xff\x00",
    "an unknown collection": encode_part(
        part(Write(msgspec.convert("nowhere", type(ITEM)), key(1), Expect(0), Act(0)))
    ),
    "a read of an unknown collection": encode_part(
        part(reads=[KeyRead(msgspec.convert("nowhere", type(ITEM)), key(1))])
    ),
    "no canonical key": encode_part(part(Write(ITEM, msgspec.convert(b"\x09", type(key(1))), Expect(1), Act(2)))),
    "a record that is none": encode_part(part(Write(ITEM, key(1), Expect.ANYTHING, Act.REPLACE, b"\xc1"))),
    "changes that are no map": encode_part(part(Write(ITEM, key(1), Expect.PRESENT, Act.CHANGE, b"\x01"))),
    "a predicate that is none": encode_part(part(reads=[PredicateRead(ITEM, Where(b"\xc1"))])),
    "a record written twice": encode_part(part(put(1), patch(1, a=1))),
}


@pytest.mark.parametrize("encoded", MALFORMED.values(), ids=MALFORMED.keys())
def test_a_part_that_cannot_be_understood_is_a_bad_request(rig: Rig, encoded: bytes) -> None:
    good = encode_part(part(put(2)))
    rig.receive(VoteAsked(Epoch(1), 1, ((txn(1), encoded, "", ""), (txn(2), good, "", ""))), rig.gtm_link)
    rig.settle()
    assert [vote.code for vote in rig.votes(1).votes] == ["BAD_REQUEST", ""]


def test_an_increment_of_what_is_no_int_field_is_a_bad_request(rig: Rig) -> None:
    rig.committed(1, put(1, sku="x"))
    changes = Write(ITEM, encode_key((1,)), Expect.PRESENT, Act.CHANGE, encode_changes({}), (("sku", 1),))
    assert rig.vote_of(2, part(changes)).code == "BAD_REQUEST"


# --- conditions and edges ---------------------------------------------------------------------------------


def test_an_undecided_writer_of_an_earlier_round_is_a_condition(rig: Rig) -> None:
    rig.voted(1, (1, part(put(1, a=1))))
    votes = rig.voted(2, (2, part(reads=[reads_item(1)])))
    assert (votes.votes[0].conditions, votes.edges) == ((txn(1),), ())


def test_an_undecided_writer_of_the_same_round_is_an_edge_reader_first(rig: Rig) -> None:
    votes = rig.voted(1, (1, part(put(1, a=1))), (2, part(reads=[reads_item(1)])))
    assert (votes.votes[1].conditions, votes.edges) == ((), ((txn(2), txn(1)),))


def test_a_later_writer_of_what_was_read_in_the_same_round_is_an_edge_too(rig: Rig) -> None:
    votes = rig.voted(1, (1, part(reads=[reads_item(1)])), (2, part(put(1, a=1))))
    assert votes.edges == ((txn(1), txn(2)),)


def test_a_later_writer_of_what_an_earlier_round_read_reports_nothing(rig: Rig) -> None:
    rig.voted(1, (1, part(reads=[reads_item(1)])))
    votes = rig.voted(2, (2, part(put(1, a=1))))
    assert (votes.votes[0].conditions, votes.edges) == ((), ())


def test_two_blind_writers_report_nothing(rig: Rig) -> None:
    votes = rig.voted(1, (1, part(put(1, a=1))), (2, part(put(1, a=2))))
    assert votes.edges == ()


def test_two_inserts_of_one_record_read_each_other(rig: Rig) -> None:
    votes = rig.voted(1, (1, part(insert(1))), (2, part(insert(1))))
    assert set(votes.edges) == {(txn(1), txn(2)), (txn(2), txn(1))}


def test_two_inserts_of_one_unique_value_read_each_other(rig: Rig) -> None:
    votes = rig.voted(1, (1, part(insert(1, sku="x"))), (2, part(insert(2, sku="x"))))
    assert set(votes.edges) == {(txn(1), txn(2)), (txn(2), txn(1))}


def test_a_patch_goes_before_the_delete_of_its_record(rig: Rig) -> None:
    rig.committed(9, put(1))
    votes = rig.voted(1, (1, part(delete(1))), (2, part(patch(1, a=1))))
    assert votes.edges == ((txn(2), txn(1)),)


# --- decisions --------------------------------------------------------------------------------------------


def test_a_pushed_commit_gets_an_lsn_and_one_entry_with_its_csn(rig: Rig) -> None:
    rig.voted(1, (1, part(put(1, a=1))))
    rig.push((1, True, 1, 0))
    rig.settle()
    ((lsn, entry),) = rig.entries()
    assert (lsn, entry.csn, entry.txid) == (1, 1, txn(1))
    assert rig.get(1) == {"id": 1, "a": 1}


def test_a_participant_that_only_read_gets_an_empty_entry(rig: Rig) -> None:
    rig.voted(1, (1, part(reads=[reads_item(1)])))
    rig.push((1, True, 1, 0))
    rig.settle()
    assert [(entry.txid, entry.images) for _, entry in rig.entries()] == [(txn(1), ())]


def test_a_lost_push_is_resolved_by_the_fold_and_a_late_one_changes_nothing(rig: Rig) -> None:
    rig.voted(1, (1, part(put(1, a=1))))
    rig.decree(1, (1, part(put(1, a=1))))
    rig.settle()
    assert rig.txids() == [txn(1)]
    rig.push((1, True, 1, 0))
    rig.settle()
    assert rig.txids() == [txn(1)]


def test_a_push_before_the_fold_is_not_done_again_by_the_fold(rig: Rig) -> None:
    rig.voted(1, (1, part(put(1, a=1))))
    rig.push((1, True, 1, 0))
    rig.decree(1, (1, part(put(1, a=1))))
    rig.settle()
    assert rig.txids() == [txn(1)]


def test_a_push_that_leaves_a_hole_makes_the_dbtm_read_the_gtl(rig: Rig) -> None:
    rig.voted(1, (1, part(put(1))), (2, part(put(2))))
    rig.decree(1, (1, part(put(1))), (2, part(put(2))))
    rig.push((2, True, 2, 1))
    assert any(isinstance(effect, CatchUp) and effect.log == GTL for effect in rig.effects[-1:])
    assert rig.describe()["in_flight"] == 0
    rig.settle()
    assert rig.txids() == [txn(1), txn(2)]


def test_decisions_out_of_order_and_twice_are_each_taken_once_in_csn_order(rig: Rig) -> None:
    parts = [(n, part(put(n))) for n in (1, 2, 3)]
    rig.voted(1, *parts)
    rig.decree(1, *parts)
    rig.push((3, True, 3, 2))
    rig.push((1, True, 1, 0))
    rig.push((1, True, 1, 0), (2, True, 2, 1))
    rig.push((2, True, 2, 1))
    rig.settle()
    assert rig.txids() == [txn(1), txn(2), txn(3)]


def test_a_last_csn_that_was_never_pushed_makes_the_dbtm_read_the_gtl(rig: Rig) -> None:
    rig.voted(1, (1, part(put(1))))
    rig.decree(1, (1, part(put(1))))
    rig.push(through=1, last=1)
    assert rig.txids() == []
    rig.settle()
    assert rig.txids() == [txn(1)]


def test_a_voided_entry_frees_what_it_held_and_leaves_no_hole(rig: Rig) -> None:
    rig.voted(1, (1, part(put(1))), (2, part(put(2))))
    rig.push((1, False, 1, 0), (2, True, 2, 1))
    rig.settle()
    assert rig.txids() == [txn(2)]
    assert rig.describe()["pending"] == 0


def test_an_abort_before_the_log_frees_what_it_held(rig: Rig) -> None:
    rig.voted(1, (1, part(put(1, a=1))))
    rig.commit(2, put(1, a=2))
    rig.answer()
    assert rig.describe()["parked"] == 1
    rig.push((1, False, 0, 0))
    rig.settle()
    assert rig.outcome(2).state == "COMMITTED"


def test_an_outcome_for_a_ballot_that_waits_for_images_is_a_no(rig: Rig) -> None:
    rig.vote(1, (1, part(add(1, 1))), (2, part(put(2))))
    rig.push((1, False, 0, 0))
    rig.answer()
    assert [vote.code for vote in rig.votes(1).votes] == ["REFUSED", ""]


def test_a_refusal_in_the_gtl_frees_a_pending_part(rig: Rig) -> None:
    rig.voted(1, (1, part(put(1))))
    rig.logs[GTL].append(Refused(Epoch(0), (txn(1),)))
    rig.settle()
    assert rig.describe()["pending"] == 0


def test_a_part_pending_for_long_makes_the_dbtm_read_the_gtl(rig: Rig) -> None:
    rig.voted(1, (1, part(put(1))))
    rig.decree(1, (1, part(put(1))))
    rig.pass_time(1_000)
    assert any(isinstance(effect, CatchUp) and effect.log == GTL for effect in rig.effects[-1:])
    rig.settle()
    assert rig.txids() == [txn(1)]


def test_after_images_are_made_when_the_lsn_is_given(rig: Rig) -> None:
    rig.committed(9, put(1, a=1, b=1))
    rig.voted(1, (1, part(patch(1, a=2))))
    rig.committed(8, patch(1, b=7))
    rig.push((1, True, 1, 0))
    rig.settle()
    assert rig.get(1) == {"id": 1, "a": 2, "b": 7}


# --- rounds and links -------------------------------------------------------------------------------------


def test_a_round_that_is_asked_again_is_answered_again_and_certified_once(rig: Rig) -> None:
    first = rig.voted(1, (1, part(put(1))))
    again = rig.voted(1, (1, part(put(1))))
    assert first == again
    assert len(rig.answers(Votes)) == 2
    assert rig.describe()["pending"] == 1


def test_a_round_that_is_asked_again_while_it_waits_is_answered_once(rig: Rig) -> None:
    rig.vote(1, (1, part(add(1, 1))))
    rig.vote(1, (1, part(add(1, 1))))
    rig.settle()
    assert len(rig.answers(Votes)) == 1


def test_rounds_are_certified_in_order(rig: Rig) -> None:
    rig.vote(1, (1, part(add(1, 1))))
    rig.vote(2, (2, part(put(2))))
    assert rig.answers(Votes) == []
    rig.settle()
    assert [votes.round for votes in rig.answers(Votes)] == [1, 2]


def test_a_new_link_of_the_gtm_is_told_the_votes_of_undecided_rounds(rig: Rig) -> None:
    rig.voted(1, (1, part(put(1))))
    rig.voted(2, (2, part(put(2))))
    rig.push((1, True, 1, 0))
    rig.receive(GtmHello(Epoch(1)), LinkId(300))
    hello = rig.answers(DbtmHello, LinkId(300))[0]
    assert (hello.gtm_epoch, hello.dbtm_epoch, hello.round) == (1, 1, 2)
    assert [votes.round for votes in hello.votes] == [2]


def test_a_newer_link_closes_the_older_one_whose_messages_are_dropped(rig: Rig) -> None:
    rig.voted(1, (1, part(put(1))))
    rig.receive(GtmHello(Epoch(1)), LinkId(300))
    assert closed(rig) == [rig.gtm_link]
    rig.push((1, True, 1, 0))
    rig.vote(2, (2, part(put(2))))
    rig.settle()
    assert rig.txids() == []
    assert [votes.round for votes in rig.answers(Votes)] == [1]


def test_a_link_replaced_in_the_middle_of_a_round_gets_its_votes(rig: Rig) -> None:
    rig.vote(1, (1, part(add(1, 1))))
    rig.close(rig.gtm_link)
    rig.receive(GtmHello(Epoch(1)), LinkId(300))
    rig.settle()
    assert [votes.round for votes in rig.answers(Votes, LinkId(300))] == [1]


def test_a_hello_of_an_epoch_that_is_over_is_closed(rig: Rig) -> None:
    rig.coordinate(2)
    rig.receive(GtmHello(Epoch(1)), LinkId(300))
    assert LinkId(300) in closed(rig)


def test_a_hello_of_a_zombie_does_not_push_out_the_hello_of_its_successor() -> None:
    rig = Rig()
    rig.logs[GTL] += [GtmEpoch(Epoch(1), LeaderId("g1"), "", rig.now), GtmEpoch(Epoch(2), LeaderId("g2"), "", rig.now)]
    rig.receive(GtmHello(Epoch(2)), LinkId(200))
    rig.receive(GtmHello(Epoch(1)), LinkId(100))
    rig.serve()
    assert [hello.gtm_epoch for hello in rig.answers(DbtmHello, LinkId(200))] == [2]
    assert LinkId(100) in closed(rig)


def test_a_gtm_is_greeted_only_once_its_epoch_is_folded(rig: Rig) -> None:
    rig.receive(GtmHello(Epoch(2)), LinkId(300))
    assert rig.answers(DbtmHello, LinkId(300)) == []
    rig.logs[GTL].append(GtmEpoch(Epoch(2), LeaderId("g2"), "", rig.now))
    rig.settle()
    assert [hello.gtm_epoch for hello in rig.answers(DbtmHello, LinkId(300))] == [2]


# --- a new GTM --------------------------------------------------------------------------------------------


def test_a_newer_gtm_epoch_drops_what_older_ones_asked(rig: Rig) -> None:
    rig.voted(1, (1, part(put(1))))
    rig.coordinate(2)
    assert rig.describe()["pending"] == 0
    assert rig.answers(DbtmHello, rig.gtm_link)[0].round == 0


def test_what_an_older_gtm_committed_before_a_newer_one_claimed_is_taken(rig: Rig) -> None:
    rig.voted(1, (1, part(put(1))))
    rig.decree(1, (1, part(put(1))))
    rig.coordinate(2)
    assert rig.txids() == [txn(1)]


def test_a_vote_of_an_epoch_below_the_newest_folded_is_not_given(rig: Rig) -> None:
    rig.logs[GTL].append(GtmEpoch(Epoch(2), LeaderId("g2"), "", rig.now))
    rig.settle()
    rig.vote(1, (1, part(put(1))))
    rig.settle()
    assert rig.describe()["pending"] == 0
    assert rig.answers(Votes) == []


def test_ballots_that_wait_for_images_die_with_their_gtm_epoch(rig: Rig) -> None:
    rig.vote(1, (1, part(add(1, 1))))
    rig.logs[GTL].append(GtmEpoch(Epoch(2), LeaderId("g2"), "", rig.now))
    rig.fold(GTL)
    rig.receive(GtmHello(Epoch(2)), LinkId(300))
    rig.answer()
    assert rig.describe()["pending"] == 0
    rig.receive(VoteAsked(Epoch(2), 1, ((txn(2), encode_part(part(put(2))), "", ""),)), LinkId(300))
    rig.settle()
    assert [votes.round for votes in rig.answers(Votes, LinkId(300))] == [1]


def test_a_round_of_a_new_gtm_is_certified_while_a_look_for_the_old_one_is_under_way(rig: Rig) -> None:
    rig.vote(1, (1, part(add(1, 1))))
    looks, rig.looks = rig.looks, []
    rig.logs[GTL].append(GtmEpoch(Epoch(2), LeaderId("g2"), "", rig.now))
    rig.fold(GTL)
    rig.receive(GtmHello(Epoch(2)), LinkId(300))
    rig.receive(VoteAsked(Epoch(2), 1, ((txn(2), encode_part(part(put(2))), "", ""),)), LinkId(300))
    rig.looks += looks
    rig.settle()
    assert [votes.gtm_epoch for votes in rig.answers(Votes, LinkId(300))] == [2]
    assert rig.describe()["pending"] == 1


# --- a new leadership -------------------------------------------------------------------------------------


def test_votes_of_an_older_leadership_are_forgotten_and_the_gtm_is_greeted_anew(rig: Rig) -> None:
    rig.voted(1, (1, part(put(1))))
    rig.admit(9, put(9))
    rig.lose(landed=False)
    rig.pass_time(300)
    rig.settle()
    hello = rig.answers(DbtmHello, rig.gtm_link)[-1]
    assert (hello.dbtm_epoch, hello.votes) == (2, ())
    assert rig.describe()["pending"] == 0


def test_a_round_certified_before_the_take_over_is_not_certified_again(rig: Rig) -> None:
    rig.voted(1, (1, part(put(1))))
    rig.admit(9, put(9))
    rig.lose(landed=False)
    rig.pass_time(300)
    rig.settle()
    before = len(rig.answers(Votes))
    rig.vote(1, (1, part(put(1))))
    rig.settle()
    assert len(rig.answers(Votes)) == before


def test_an_older_fence_or_one_of_another_realm_ends_nothing(rig: Rig) -> None:
    rig.logs[GTL].append(Fence(SHOP, Epoch(1)))
    rig.logs[GTL].append(Fence(msgspec.convert("other", type(SHOP)), Epoch(9)))
    rig.settle()
    assert rig.machine.phase == "serving"


def test_an_unknown_append_to_the_gtl_after_the_take_over_changes_nothing(rig: Rig) -> None:
    rig.step(AppendUnknown(GTL, 3))
    rig.pass_time(1_000)
    rig.settle()
    assert rig.machine.phase == "serving"
    assert rig.machine.epoch == 1


def test_through_never_claims_more_than_the_log_holds_when_a_record_takes_only_a_part() -> None:
    rig = Rig(limits=Limits(record_entries=2))
    rig.serve()
    rig.coordinate()
    parts = [(n, part(put(n))) for n in (1, 2, 3, 4, 5)]
    rig.voted(1, *parts)
    rig.push(*((n, True, n, n - 1) for n in (1, 2, 3, 4, 5)), through=9, last=5)
    seen: list[tuple[Csn, int]] = []
    while rig.appends:
        rig.land()
        seen.append((rig.logs[DBTL][-1].gtl_through.csn, len(rig.logs[DBTL][-1].entries)))
        rig.fold(DBTL)
    assert seen == [(2, 2), (4, 2), (9, 1)]
