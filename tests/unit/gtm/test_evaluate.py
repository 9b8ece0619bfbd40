"""What becomes of a round, case by case; test_evaluate_property.py holds what is true of all of them."""

from collections.abc import Sequence

from grit.core.errors import Code
from grit.core.ids import Epoch, Realm, TxnId
from grit.core.messages import Vote, Votes
from grit.core.outcome import Conflict
from gtm.evaluate import Candidate, Dropped, Evaluation, evaluate
from tests.unit.gtm.rig import A, B, txn

T1, T2, T3, T4 = (txn(number) for number in range(1, 5))
FENCES = {A: Epoch(1), B: Epoch(1)}


def candidate(txid: TxnId, age: int, *realms: Realm) -> Candidate:
    return Candidate(txid, age, realms or (A,), f"origin of {age}")


def ballot(*votes: Vote, edges: Sequence[tuple[TxnId, TxnId]] = (), epoch: int = 1) -> Votes:
    return Votes(Epoch(1), Epoch(epoch), 1, votes, tuple(edges))


def codes(result: Evaluation) -> dict[TxnId, str]:
    return {drop.txid: drop.code for drop in result.dropped}


def test_without_edges_the_admitted_are_in_order_of_age_ties_by_txid() -> None:
    votes = {A: ballot(Vote(T1), Vote(T2), Vote(T3))}
    result = evaluate([candidate(T3, 5), candidate(T1, 9), candidate(T2, 5)], votes, fences=FENCES, dead=())
    assert result == Evaluation((T2, T3, T1), ())


def test_a_reader_goes_before_the_writer_of_what_it_read_though_it_is_younger() -> None:
    votes = {A: ballot(Vote(T1), Vote(T2), edges=[(T2, T1)])}
    result = evaluate([candidate(T1, 1), candidate(T2, 2)], votes, fences=FENCES, dead=())
    assert result == Evaluation((T2, T1), ())


def test_of_a_cycle_over_two_realms_the_oldest_wins_and_the_loser_is_told_against_whom() -> None:
    votes = {
        A: ballot(Vote(T1), Vote(T2), edges=[(T1, T2)]),
        B: ballot(Vote(T1), Vote(T2), edges=[(T2, T1)]),
    }
    result = evaluate([candidate(T1, 1, A, B), candidate(T2, 2, A, B)], votes, fences=FENCES, dead=())
    assert result.admitted == (T1,)
    (drop,) = result.dropped
    assert (drop.txid, drop.code) == (T2, Code.CONTENTION)
    assert drop.conflict == Conflict(B, winner=T1, origin="origin of 1")
    assert T1 in drop.message


def test_a_cycle_of_three_drops_only_the_youngest() -> None:
    votes = {A: ballot(Vote(T1), Vote(T2), Vote(T3), edges=[(T1, T2), (T2, T3), (T3, T1)])}
    candidates = [candidate(T1, 1), candidate(T2, 2), candidate(T3, 3)]
    result = evaluate(candidates, votes, fences=FENCES, dead=())
    assert (result.admitted, codes(result)) == ((T1, T2), {T3: Code.CONTENTION})


def test_who_was_dropped_blocks_nobody() -> None:
    votes = {A: ballot(Vote(T1, Code.PHANTOM.value, "x"), Vote(T2), edges=[(T1, T2), (T2, T1)])}
    result = evaluate([candidate(T1, 1), candidate(T2, 2)], votes, fences=FENCES, dead=())
    assert (result.admitted, codes(result)) == ((T2,), {T1: Code.PHANTOM})


def test_an_edge_from_a_transaction_to_itself_is_nothing() -> None:
    votes = {A: ballot(Vote(T1), edges=[(T1, T1)])}
    assert evaluate([candidate(T1, 1)], votes, fences=FENCES, dead=()).admitted == (T1,)


def test_a_no_is_answered_with_its_reason_or_the_conflicts_sentence() -> None:
    conflict = Conflict(A, winner=T4)
    votes = {A: ballot(Vote(T1, Code.READ_CONFLICT.value, "", conflict))}
    result = evaluate([candidate(T1, 1)], votes, fences=FENCES, dead=())
    assert result.dropped == (Dropped(T1, Code.READ_CONFLICT, conflict.sentence(), conflict),)


def test_a_realm_without_votes_and_a_fenced_vote_are_a_no() -> None:
    votes = {A: ballot(Vote(T1), Vote(T2), epoch=2)}
    candidates = [candidate(T1, 1, A), candidate(T2, 2, B)]
    assert codes(evaluate(candidates, votes, fences=FENCES, dead=())) == {T1: Code.FENCED, T2: Code.REALM_DOWN}


def test_a_condition_is_true_unless_the_other_is_dead() -> None:
    votes = {A: ballot(Vote(T1, conditions=(T3, T4)))}
    candidates = [candidate(T1, 1)]
    assert evaluate(candidates, votes, fences=FENCES, dead={T3, T4}).admitted == (T1,)
    (drop,) = evaluate(candidates, votes, fences=FENCES, dead={T3}).dropped
    assert (drop.code, drop.conflict) == (Code.CONTENTION, Conflict(A, winner=T4))


def test_an_answer_about_the_data_is_given_when_all_reads_hold() -> None:
    votes = {A: ballot(Vote(T1, Code.NOT_FOUND.value, "no such order")), B: ballot(Vote(T1))}
    result = evaluate([candidate(T1, 1, A, B)], votes, fences=FENCES, dead=())
    assert result == Evaluation((), (Dropped(T1, Code.NOT_FOUND, "no such order"),))


def test_an_answer_about_the_data_on_reads_that_do_not_hold_is_a_retry() -> None:
    data_error = Vote(T2, Code.BOUND_VIOLATION.value, "below 0")
    candidates = [candidate(T1, 1, A, B), candidate(T2, 2, A, B)]
    stale = {A: ballot(Vote(T1), data_error), B: ballot(Vote(T1), Vote(T2, Code.READ_CONFLICT.value, "x"))}
    assert codes(evaluate(candidates, stale, fences=FENCES, dead=())) == {T2: Code.READ_CONFLICT}
    conditional = {A: ballot(Vote(T1), data_error), B: ballot(Vote(T1), Vote(T2, conditions=(T4,)))}
    assert codes(evaluate(candidates, conditional, fences=FENCES, dead=())) == {T2: Code.CONTENTION}
    cyclic = {A: ballot(Vote(T1), data_error, edges=[(T1, T2)]), B: ballot(Vote(T1), Vote(T2), edges=[(T2, T1)])}
    assert codes(evaluate(candidates, cyclic, fences=FENCES, dead=())) == {T2: Code.CONTENTION}


def test_who_gets_an_answer_about_the_data_blocks_nobody() -> None:
    votes = {A: ballot(Vote(T1, Code.NOT_FOUND.value, "x"), Vote(T2), edges=[(T1, T2), (T2, T1)])}
    result = evaluate([candidate(T1, 1), candidate(T2, 2)], votes, fences=FENCES, dead=())
    assert (result.admitted, codes(result)) == ((T2,), {T1: Code.NOT_FOUND})


def test_a_way_through_a_dropped_transaction_is_no_cycle() -> None:
    votes = {A: ballot(Vote(T1), Vote(T2, Code.PHANTOM.value, "x"), Vote(T3), edges=[(T3, T1), (T1, T2), (T2, T3)])}
    candidates = [candidate(T1, 1), candidate(T2, 2), candidate(T3, 3)]
    assert evaluate(candidates, votes, fences=FENCES, dead=()).admitted == (T3, T1)


def test_writers_that_one_reader_held_back_are_in_order_of_age() -> None:
    edges = [(T4, T3), (T4, T2), (T4, T1)]
    votes = {A: ballot(Vote(T1), Vote(T2), Vote(T3), Vote(T4), edges=edges)}
    candidates = [candidate(T1, 2), candidate(T2, 1), candidate(T3, 3), candidate(T4, 4)]
    assert evaluate(candidates, votes, fences=FENCES, dead=()).admitted == (T4, T2, T1, T3)


def test_an_edge_that_two_realms_report_is_named_after_the_first() -> None:
    both = [(T1, T2), (T2, T1)]
    votes = {B: ballot(Vote(T1), Vote(T2), edges=both), A: ballot(Vote(T1), Vote(T2), edges=both)}
    (drop,) = evaluate([candidate(T1, 1, A, B), candidate(T2, 2, A, B)], votes, fences=FENCES, dead=()).dropped
    assert drop.conflict == Conflict(A, winner=T1, origin="origin of 1")
