"""What is true of every round, whatever the votes."""

import random
from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from grit.core.errors import DATA_CODES, Code
from grit.core.ids import Epoch, Realm, TxnId
from grit.core.messages import Vote, Votes
from gtm.evaluate import Candidate, Evaluation, evaluate
from tests.unit.gtm.rig import A, B, C, txn

FENCES = {A: Epoch(1), B: Epoch(1), C: Epoch(1)}
EARLIER = [txn(100 + number) for number in range(3)]
VOTE_CODES = ["", "", "", "", Code.READ_CONFLICT.value, Code.NOT_FOUND.value]


@dataclass(frozen=True)
class Case:
    """One round. `dead`: of the earlier transactions."""

    candidates: list[Candidate]
    ballots: dict[Realm, Votes]
    dead: frozenset[TxnId]

    def evaluate(self) -> Evaluation:
        return evaluate(self.candidates, self.ballots, fences=FENCES, dead=self.dead)

    def votes_on(self, candidate: Candidate) -> list[Vote | None]:
        """Return its votes that count; None for one that is missing or fenced."""
        found: list[Vote | None] = []
        for realm in candidate.realms:
            ballot = self.ballots.get(realm)
            vote = None
            if ballot is not None and ballot.dbtm_epoch == FENCES[realm]:
                vote = next((vote for vote in ballot.votes if vote.txid == candidate.txid), None)
            found.append(vote)
        return found

    def is_eligible(self, candidate: Candidate) -> bool:
        """Tell whether nothing but a cycle could drop it, or turn its answer about the data away."""
        return all(
            vote is not None and (not vote.code or Code(vote.code) in DATA_CODES) and set(vote.conditions) <= self.dead
            for vote in self.votes_on(candidate)
        )

    def edges(self) -> set[tuple[TxnId, TxnId]]:
        return {edge for ballot in self.ballots.values() for edge in ballot.edges if edge[0] != edge[1]}


@st.composite
def cases(draw: st.DrawFn) -> Case:
    count = draw(st.integers(0, 7))
    realms = st.lists(st.sampled_from([A, B, C]), min_size=1, max_size=3, unique=True)
    candidates = [Candidate(txn(i), draw(st.integers(1, 4)), tuple(draw(realms))) for i in range(count)]
    ballots = {}
    for realm in (A, B, C):
        members = [candidate.txid for candidate in candidates if realm in candidate.realms]
        if not draw(st.booleans()) and draw(st.booleans()):
            continue
        conditions = st.lists(st.sampled_from(EARLIER), max_size=1).map(tuple)
        votes = tuple(
            Vote(member, draw(st.sampled_from(VOTE_CODES)), "m", None, draw(conditions))
            for member in members
            if draw(st.integers(0, 9))
        )
        pairs = [(reader, writer) for reader in members for writer in members]
        edges = tuple(draw(st.lists(st.sampled_from(pairs), max_size=8))) if pairs else ()
        ballots[realm] = Votes(Epoch(1), Epoch(draw(st.sampled_from([1, 1, 1, 2]))), 1, votes, edges)
    return Case(candidates, ballots, frozenset(draw(st.lists(st.sampled_from(EARLIER), max_size=3))))


@given(cases())
def test_every_transaction_is_admitted_or_dropped_once(case: Case) -> None:
    result = case.evaluate()
    decided = [*result.admitted, *(drop.txid for drop in result.dropped)]
    assert sorted(decided) == sorted(candidate.txid for candidate in case.candidates)


@given(cases())
def test_every_admitted_reader_stands_before_the_writer_of_what_it_read(case: Case) -> None:
    place = {txid: i for i, txid in enumerate(case.evaluate().admitted)}
    for reader, writer in case.edges():
        if reader in place and writer in place:
            assert place[reader] < place[writer]


@given(cases())
def test_the_oldest_that_nothing_but_a_cycle_could_drop_always_wins(case: Case) -> None:
    eligible = [candidate for candidate in case.candidates if case.is_eligible(candidate)]
    winners = [c for c in eligible if not any(vote and vote.code for vote in case.votes_on(c))]
    if winners:
        assert min(winners, key=lambda winner: winner.rank).txid in case.evaluate().admitted


@given(cases())
def test_nobody_is_admitted_without_all_votes_or_on_a_true_condition(case: Case) -> None:
    by_txid = {candidate.txid: candidate for candidate in case.candidates}
    for txid in case.evaluate().admitted:
        assert case.is_eligible(by_txid[txid])
        assert not any(vote and vote.code for vote in case.votes_on(by_txid[txid]))


@given(cases())
def test_an_answer_about_the_data_is_only_given_when_all_else_holds(case: Case) -> None:
    by_txid = {candidate.txid: candidate for candidate in case.candidates}
    for drop in case.evaluate().dropped:
        if drop.code in DATA_CODES:
            assert case.is_eligible(by_txid[drop.txid])


@given(cases())
def test_nobody_is_dropped_for_nothing(case: Case) -> None:
    result = case.evaluate()
    by_txid = {candidate.txid: candidate for candidate in case.candidates}
    for drop in result.dropped:
        if case.is_eligible(by_txid[drop.txid]) and drop.code not in DATA_CODES:
            assert drop.conflict is not None
            assert drop.conflict.winner in result.admitted


@given(cases(), st.randoms(use_true_random=False))
def test_the_result_does_not_depend_on_the_order_of_its_arguments(case: Case, chance: random.Random) -> None:
    candidates, realms = list(case.candidates), list(case.ballots)
    chance.shuffle(candidates)
    chance.shuffle(realms)
    shuffled = {}
    for realm in realms:
        ballot = case.ballots[realm]
        votes, edges = list(ballot.votes), list(ballot.edges)
        chance.shuffle(votes)
        chance.shuffle(edges)
        shuffled[realm] = Votes(ballot.gtm_epoch, ballot.dbtm_epoch, ballot.round, tuple(votes), tuple(edges))
    assert Case(candidates, shuffled, case.dead).evaluate() == case.evaluate()
