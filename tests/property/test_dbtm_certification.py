"""Whatever becomes of what is undecided, what a DBTM let through is serialisable and breaks no constraint.

Two rounds of globals are put to the vote, with locals before, between and after them. Then every outcome that the GTM may
still bring about is tried on a model: the locals at their place, after them any part of those that `gtm.evaluate` admits. In
each of these orders every read must see what it saw, and every write must find what it counts on.
"""

from collections.abc import Iterator, Sequence
from itertools import chain, combinations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from grit.core.ids import Collection, Epoch, Key, TxnId
from grit.core.messages import Votes
from grit.core.parts import Expect, KeyRead, Part, PredicateRead, Read, Write, after_image
from grit.core.predicate import And, Compare, Where, encode_expr, matches
from grit.core.values import Row, decode_record
from gtm.evaluate import Candidate, evaluate
from tests.unit.dbtm.rig import CATALOGUE, ITEM, SHELF, SHOP, Rig, add, delete, insert, key, part, patch, put, txn

State = dict[tuple[Collection, Key], Row]
Seen = tuple[object, ...]


def _where(**values: int) -> Where:
    return encode_expr(And(tuple(Compare(field, "=", value) for field, value in sorted(values.items()))))


_bits, _ids = st.integers(0, 1), st.integers(1, 2)
_looked_at = st.sampled_from([None, (), ("a",), ("b",), ("n",)])
_key_reads = st.builds(lambda i, f: KeyRead(ITEM, key(i), f), _ids, _looked_at)
_predicate_reads = st.builds(
    lambda values, f: PredicateRead(ITEM, _where(**values), f),
    st.sampled_from([{"a": 1, "b": 1}, {"a": 1}, {"a": 0, "b": 0}, {"n": 2}, {}]),
    _looked_at,
)
_reads = st.one_of(_key_reads, _predicate_reads)

_patches = st.builds(lambda i, f, v: patch(i, **{f: v}), _ids, st.sampled_from("ab"), _bits)
_increments = st.builds(add, _ids, st.sampled_from([-3, -2, -1, 1]))
_whole = st.fixed_dictionaries({"a": _bits, "b": _bits}, optional={"n": st.integers(0, 4)})
_records = st.one_of(
    st.builds(lambda i, f: put(i, **f), _ids, _whole), st.builds(lambda i, f: insert(i, **f), _ids, _whole)
)
_deletes = st.builds(delete, _ids)
_unique = st.sampled_from([patch(1, sku="z"), patch(2, sku="z"), patch(1, left=2), patch(1, right=2)])
_checked = st.sampled_from([patch(1, low=15), patch(1, high=5), patch(1, low=5), put(1, a=0, b=0)])
_related = st.sampled_from([patch(1, shelf=2), patch(2, shelf=2), delete(2, SHELF), put(2, SHELF), delete(1)])


def _asked(writes: st.SearchStrategy[Write], reads: st.SearchStrategy[Read] = _reads) -> "st.SearchStrategy[Asked]":
    parts = st.tuples(st.lists(writes, max_size=2), st.lists(reads, max_size=1)).map(
        lambda both: (tuple({(w.collection, w.key): w for w in both[0]}.values()), tuple(both[1]))
    )
    return parts.filter(lambda asked: bool(asked[0] or asked[1]))


THEMES = {
    "fields": _asked(st.one_of(_patches, _patches, _records, _deletes)),
    "two fields": _asked(
        st.sampled_from([patch(1, a=1), patch(1, b=1)]), st.just(PredicateRead(ITEM, _where(a=1, b=1), ()))
    ),
    "increments": _asked(st.one_of(_increments, _increments, _increments, _patches, _records)),
    "unique": _asked(_unique),
    "checks": _asked(_checked),
    "parents": _asked(_related),
    "everything": _asked(st.one_of(_patches, _increments, _records, _deletes, _unique, _checked, _related)),
}
START_ROWS = [
    put(1, a=0, b=0, n=3, sku="x", left=1, right=1, low=5, high=15, shelf=1),
    put(2, a=0, b=0, n=4, sku="y", left=2, right=2, low=5, high=15),
]
Asked = tuple[tuple[Write, ...], tuple[Read, ...]]


def seen(read: Read, state: State) -> Seen:
    """Return what a read sees in a state."""
    rows = {k: row for (c, k), row in state.items() if c == read.collection}
    if isinstance(read, KeyRead):
        rows = {k: row for k, row in rows.items() if k == read.key}
    else:
        rows = {k: row for k, row in rows.items() if matches(read.where, row)}
    return tuple((k, sorted(_looked(row, read.fields).items())) for k, row in sorted(rows.items()))


def _looked(row: Row, fields: tuple[str, ...] | None) -> dict[str, object]:
    return dict(row) if fields is None else {field: row.get(field) for field in fields}


def applied(whole: Part, state: State) -> State:
    """Return the state after a part; every write must find what it counts on, every constraint must hold."""
    after = dict(state)
    for write in whole.writes:
        record = (write.collection, write.key)
        before = state.get(record)
        assert write.expect != Expect.ABSENT or before is None, "an insert of what is there"
        assert write.expect != Expect.PRESENT or before is not None, "a change of what is not there"
        image = after_image(write, before)
        after.pop(record, None)
        if image is not None:
            after[record] = {field: value for field, value in image.items() if value is not None}
    check_constraints(after)
    return after


def check_constraints(state: State) -> None:
    """Assert what the catalogue says of a state."""
    items = [row for (collection, _), row in state.items() if collection == ITEM]
    for group in CATALOGUE.collections[ITEM].unique:
        held = [tuple(row[f] for f in group) for row in items if all(f in row for f in group)]
        assert len(held) == len(set(held)), f"two records with one {group}"
    for row in items:
        assert 0 <= row.get("n", 0) <= 100, "out of bounds"
        assert "shelf" not in row or (SHELF, key(row["shelf"])) in state, "a child without parent"
        assert row.get("low", 0) <= 10 or row.get("high", 10) >= 10, "a broken check"


def state_of(rig: Rig) -> State:
    """Return the replay of the log."""
    state: State = {}
    for _, entry in rig.entries():
        for image in entry.images:
            state.pop((image.collection, image.key), None)
            if image.after is not None:
                state[image.collection, image.key] = decode_record(image.after)
    return state


def subsets(txids: Sequence[TxnId]) -> Iterator[tuple[TxnId, ...]]:
    """Return every part of a sequence, in its order."""
    return chain.from_iterable(combinations(txids, size) for size in range(len(txids) + 1))


class Trial:
    """One machine, one log, and who was put to the vote; `saw`: what each read when it asked."""

    def __init__(self) -> None:
        self.rig = Rig()
        self.rig.serve()
        self.rig.coordinate()
        self.parts: dict[TxnId, Part] = {}
        self.saw: dict[TxnId, list[Seen]] = {}
        self.locals: list[TxnId] = []
        self._numbers = iter(range(1, 1_000))

    def start(self) -> None:
        """Begin with a few rows."""
        self.rig.committed(next(self._numbers), put(1, SHELF), put(2, SHELF), *START_ROWS)
        self.begin = state_of(self.rig)

    def local(self, asked: Asked) -> None:
        """Commit a local; note it when it was let through."""
        number, (writes, reads) = next(self._numbers), asked
        before = state_of(self.rig)
        position = self.rig.describe()["lsn"]
        self.rig.commit(number, *writes, reads=reads, position=position)
        self.rig.settle()
        if txn(number) in self.rig.txids():
            self._note(number, part(*writes, reads=reads), before)
            self.locals.append(txn(number))

    def vote(self, number: int, round_parts: Sequence[Asked]) -> tuple[list[Candidate], Votes]:
        """Put a round to the vote."""
        before = state_of(self.rig)
        position = self.rig.describe()["lsn"]
        ballots = []
        for writes, reads in round_parts:
            whole = part(*writes, reads=reads, position=position)
            ballots.append((next(self._numbers), whole))
            self._note(ballots[-1][0], whole, before)
        votes = self.rig.voted(number, *ballots)
        return [Candidate(txn(n), n, (SHOP,)) for n, _ in ballots], votes

    def replay(self, order: Sequence[TxnId]) -> None:
        """Try a serial order: every read sees what it saw, every write finds what it counts on."""
        state = self.begin
        for txid in order:
            whole = self.parts[txid]
            assert [seen(read, state) for read in whole.reads] == self.saw[txid], f"{txid} read something else"
            state = applied(whole, state)

    def _note(self, number: int, whole: Part, before: State) -> None:
        self.parts[txn(number)] = whole
        self.saw[txn(number)] = [seen(read, before) for read in whole.reads]


def admitted(candidates: Sequence[Candidate], votes: Votes, dead: frozenset[TxnId] = frozenset()) -> tuple[TxnId, ...]:
    """Return whom the GTM admits, in its order."""
    return evaluate(candidates, {SHOP: votes}, fences={SHOP: Epoch(1)}, dead=dead).admitted


@pytest.mark.parametrize("theme", THEMES)
@settings(max_examples=100)
@given(data=st.data())
def test_every_outcome_of_what_is_undecided_is_a_serial_order(theme: str, data: st.DataObject) -> None:
    asked = THEMES[theme]
    trial = Trial()
    trial.start()
    trial.local(data.draw(asked))
    first, first_votes = trial.vote(1, data.draw(st.lists(asked, min_size=1, max_size=3)))
    trial.local(data.draw(asked))
    second, second_votes = trial.vote(2, data.draw(st.lists(asked, max_size=2)))
    trial.local(data.draw(asked))
    everybody = frozenset(candidate.txid for candidate in first)
    for committed in subsets(admitted(first, first_votes)):
        for also in subsets(admitted(second, second_votes, everybody - set(committed))):
            trial.replay([*trial.locals, *committed, *also])


@settings(max_examples=100)
@given(start=st.integers(0, 100), deltas=st.lists(st.integers(-60, 60).filter(bool), min_size=1, max_size=5))
def test_an_increment_is_let_through_only_if_the_bound_holds_for_every_subset(start: int, deltas: list[int]) -> None:
    rig = Rig()
    rig.serve()
    rig.coordinate()
    rig.committed(100, put(1, n=start))
    undecided: list[int] = []
    for number, delta in enumerate(deltas, start=1):
        vote = rig.vote_of(number, part(add(1, delta)))
        ends = [start + delta + sum(some) for n in range(len(undecided) + 1) for some in combinations(undecided, n)]
        holds = [0 <= end <= 100 for end in ends]
        assert (vote.code == "") == all(holds)
        assert vote.code != "BOUND_VIOLATION" or not any(holds)
        if not vote.code:
            undecided.append(delta)
