"""The plain way of a global transaction: round, votes, COMMITS, fold, answer, push."""

from grit.core.errors import Code
from grit.core.ids import Csn
from grit.core.messages import Decision, Vote
from grit.core.outcome import Conflict, Outcome, State
from tests.unit.gtm.rig import START, A, B, C, Rig, txn


def test_a_transaction_commits_with_one_append_and_is_answered_from_the_fold() -> None:
    rig = Rig()
    rig.serve(A, B)
    request = rig.submit(txn(1), A, B)
    assert [part[:2] for part in rig.asked(A)[-1].parts] == [(txn(1), f"{txn(1)} in a".encode())]
    rig.vote(A)
    assert not rig.commits()
    rig.vote(B)
    rig.land()
    assert rig.outcomes(request) == []
    rig.fold()
    assert rig.outcome(request) == Outcome(txn(1), State.COMMITTED, csn=Csn(1))
    assert rig.decisions(A) == rig.decisions(B) == [Decision(txn(1), True, Csn(1), Csn(0))]


def test_an_entry_holds_the_parts_of_all_realms_with_the_epochs_of_their_votes() -> None:
    rig = Rig()
    rig.serve(A, B)
    rig.submit(txn(1), A, B)
    rig.vote(A, B)
    (record,) = rig.commits()
    (entry,) = record.entries
    assert [(part.realm, part.dbtm_epoch, part.gtm_epoch) for part in entry.parts] == [("a", 1, 1), ("b", 1, 1)]
    assert [part.part for part in entry.parts] == [f"{txn(1)} in a".encode(), f"{txn(1)} in b".encode()]


def test_a_round_takes_what_arrived_while_the_one_before_it_voted_oldest_first() -> None:
    rig = Rig()
    rig.serve(A)
    rig.submit(txn(1), A)
    rig.submit(txn(2), A)
    rig.submit(txn(4), A, age=START - 5)
    rig.submit(txn(3), A, age=START - 5)
    assert [part[0] for part in rig.asked(A)[-1].parts] == [txn(1)]
    rig.vote(A)
    assert [part[0] for part in rig.asked(A)[-1].parts] == [txn(3), txn(4), txn(2)]
    assert [asked.round for asked in rig.asked(A)] == [1, 2]


def test_the_previous_csn_chain_runs_through_records_and_within_one() -> None:
    rig = Rig()
    rig.serve(A, B)
    rig.submit(txn(1), A)
    rig.vote(A)
    rig.settle()
    rig.submit(txn(2), B)
    rig.submit(txn(3), A, B)
    rig.submit(txn(4), A)
    rig.vote(B)
    rig.vote(A, B)
    rig.settle()
    chain = [(part.realm, part.prev_csn) for commits in rig.commits() for e in commits.entries for part in e.parts]
    assert chain == [("a", 0), ("b", 0), ("a", 1), ("b", 2), ("a", 3)]
    assert [decision.prev_csn for decision in rig.decisions(A)] == [0, 1, 3]


def test_what_is_evaluated_while_a_record_is_in_flight_goes_into_the_next_one() -> None:
    rig = Rig()
    rig.serve(A)
    for number in range(1, 4):
        rig.submit(txn(number), A)
        rig.vote(A)
    assert [len(commits.entries) for commits in rig.commits()] == [1]
    rig.settle()
    assert [(commits.first_csn, len(commits.entries)) for commits in rig.commits()] == [(1, 1), (2, 2)]


def test_a_transaction_with_a_no_aborts_with_its_reason_and_every_asked_realm_hears_of_it() -> None:
    rig = Rig()
    rig.serve(A, B, C)
    request = rig.submit(txn(1), A, B)
    conflict = Conflict(A, winner=txn(9))
    rig.hear(A, rig.votes(A, v0=Vote(txn(1), Code.READ_CONFLICT.value, "changed", conflict)))
    rig.vote(B)
    outcome = rig.assert_aborted(request, Code.READ_CONFLICT)
    assert (outcome.message, outcome.conflict, outcome.age) == ("changed", conflict, START)
    assert rig.decisions(A) == rig.decisions(B) == [Decision(txn(1), False)]
    assert rig.decisions(C) == []
    assert not rig.commits()
