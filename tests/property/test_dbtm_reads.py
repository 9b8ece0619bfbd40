"""Reads are exact, wherever the player is and however a look is torn; and a log is learnt as it was written."""

from collections.abc import Callable
from decimal import Decimal

from hypothesis import example, given, settings
from hypothesis import strategies as st

from dbtm.effects import ReadStore, StoreRead
from dbtm.ledger import Ledger
from grit.core.ids import Key, Lsn, Offset
from grit.core.limits import Limits
from grit.core.messages import ReadAnswered
from grit.core.ordering import ordered
from grit.core.parts import Act, Expect, Write, encode_changes
from grit.core.predicate import EVERYTHING, Compare, encode_expr, matches
from grit.core.queries import FindRows, GetRows, OrderBy, Query, StoreAnswer
from grit.core.steps import DBTL
from grit.core.values import Row, decode_record
from tests.unit.dbtm.rig import ITEM, SHOP, Rig, add, delete, key, patch, put

_ids = st.integers(1, 5)
_a = st.integers(0, 3)
_writes = st.one_of(
    st.builds(lambda i, a: put(i, a=a), _ids, _a),
    st.builds(lambda i, a: put(i, a=a), _ids, _a),
    st.builds(lambda i, a: patch(i, a=a), _ids, _a),
    st.builds(delete, _ids),
)
_batches = st.lists(_writes, min_size=1, max_size=3).map(lambda writes: list({w.key: w for w in writes}.values()))
_queries = st.one_of(
    st.builds(
        lambda ids: GetRows(ITEM, tuple(key(i) for i in ids)), st.lists(_ids, min_size=1, max_size=3, unique=True)
    ),
    st.builds(
        lambda where, order, limit: FindRows(ITEM, where, order, limit),
        st.sampled_from([EVERYTHING, encode_expr(Compare("a", ">=", 2)), encode_expr(Compare("a", "=", 1))]),
        st.sampled_from([(), (OrderBy("a"),), (OrderBy("a", descending=True),)]),
        st.sampled_from([None, 1, 2, 3]),
    ),
)


def replayed(rig: Rig, upto: int) -> dict[Key, Row]:
    """Return the items at an Lsn, by replay of the log."""
    rows: dict[Key, Row] = {}
    for lsn, entry in rig.entries():
        for image in entry.images if lsn <= upto else ():
            rows.pop(image.key, None)
            if image.after is not None:
                rows[image.key] = decode_record(image.after)
    return rows


def expected(query: Query, rows: dict[Key, Row]) -> list[tuple[Key, Row]]:
    """Return the answer of a single database to a query."""
    if isinstance(query, GetRows):
        return [(k, rows[k]) for k in dict.fromkeys(query.keys) if k in rows]
    found = [(k, row) for k, row in rows.items() if matches(query.where, row)]
    return ordered(found, query.order_by)[: query.limit]


class Torn:
    """A machine whose log, tail and player move on while it looks into the database."""

    def __init__(self, data: st.DataObject) -> None:
        self.data = data
        self.rig = Rig()
        self.rig.serve()
        self.number = 0

    def move(self) -> None:
        """Write, fold, apply: some of it."""
        for _ in range(self.data.draw(st.integers(0, 4))):
            what = self.data.draw(st.sampled_from(["write", "land", "play", "ahead", "fold", "learn"]))
            if what == "write":
                self.write()
            elif what == "land":
                self.rig.land()
            elif what == "ahead":
                self.rig.land()
                self.rig.play()
            elif what == "fold":
                self.rig.land()
                self.rig.fold(DBTL)
            elif what == "play":
                self.rig.play(self.data.draw(st.integers(0, self.number)))
            else:
                self.rig.pass_time(300)
                self.answer_positions()

    def write(self) -> None:
        """Commit a batch; where images are missing they come at once."""
        self.number += 1
        self.rig.commit(self.number, *self.data.draw(_batches))
        self.answer_images()

    def answer_images(self) -> None:
        """Answer what commits ask of the database."""
        self._answer(lambda look: all(isinstance(query, GetRows) for query in look.queries))

    def answer_positions(self) -> None:
        """Answer who asks how far the player is."""
        self._answer(lambda look: not look.queries)

    def _answer(self, is_wanted: Callable[[ReadStore], bool]) -> None:
        wanted = [look for look in self.rig.looks if is_wanted(look)]
        self.rig.looks = [look for look in self.rig.looks if look not in wanted]
        for look in wanted:
            self.rig.step(StoreRead(look.id, self.rig.store.read_now(look.queries)))

    def look(self, asked: ReadStore) -> None:
        """Answer a look, torn apart."""
        before = self.rig.store.cursor_now()
        rows = []
        for query in asked.queries:
            self.move()
            rows.append(self.rig.store.read_now((query,)).rows[0])
        self.move()
        self.rig.step(StoreRead(asked.id, StoreAnswer(before, tuple(rows), self.rig.store.cursor_now())))


@settings(max_examples=150)
@given(data=st.data())
def test_an_answer_is_the_replay_of_the_log_up_to_its_position(data: st.DataObject) -> None:
    torn = Torn(data)
    for _ in range(data.draw(st.integers(0, 4))):
        torn.write()
        torn.move()
    torn.rig.settle()
    torn.rig.pass_time(300)
    torn.rig.settle()
    queries = data.draw(st.lists(_queries, min_size=1, max_size=2))
    request = torn.rig.ask(*queries)
    for _ in range(3):
        looks, torn.rig.looks = torn.rig.looks, []
        for look in looks:
            torn.look(look)
    torn.rig.settle()
    torn.rig.pass_time(200)
    torn.rig.settle()
    answer = torn.rig.read(request)
    rows = replayed(torn.rig, answer.position)
    got = [[(k, decode_record(row)) for k, row in found] for found in answer.rows]
    assert got == [expected(query, rows) for query in queries]
    assert len(torn.rig.answers(ReadAnswered)) == 1


# --- the log, learnt by another ---------------------------------------------------------------------------

_values = st.one_of(
    st.none(), st.booleans(), st.integers(-5, 5), st.text(max_size=3), st.binary(max_size=3), st.just(Decimal("1.50")),
    st.floats(allow_nan=False), st.lists(st.integers(0, 3), max_size=2), st.dictionaries(st.text(max_size=2), st.none()),
)  # fmt: skip
_any_fields = st.dictionaries(st.sampled_from(["a", "b", "c"]), _values, max_size=3)
_any_writes = st.one_of(
    st.builds(lambda i, fields: put(i, **fields), _ids, _any_fields),
    st.builds(lambda i, fields: Write(ITEM, key(i), Expect.PRESENT, Act.CHANGE, encode_changes(fields)), _ids, _any_fields),
    st.builds(add, _ids, st.integers(-2, 2)),
    st.builds(delete, _ids),
)  # fmt: skip


@settings(max_examples=100)
@example(writes=[put(1, c=False), put(1, c=0)], settled=[True] * 12)
@example(writes=[put(1, c=[1]), put(1, c=[1.0])], settled=[True] * 12)
@given(writes=st.lists(_any_writes, max_size=12), settled=st.lists(st.booleans(), min_size=12, max_size=12))
def test_a_log_is_learnt_as_it_was_written(writes: list[Write], settled: list[bool]) -> None:
    rig = Rig()
    rig.serve()
    for number, (write, now) in enumerate(zip(writes, settled, strict=False), start=1):
        rig.admit(number, write)
        if now:
            rig.settle()
    rig.settle()
    learnt = Ledger(SHOP, Limits())
    for offset, record in enumerate(rig.logs[DBTL]):
        learnt.fold_record(Offset(offset), record)
    own = rig.machine._ledger
    assert (learnt.tail, learnt.newest) == (own.tail, own.newest)
    for i in range(1, 6):
        mine, theirs = own.history.changes_of(ITEM, key(i)), learnt.history.changes_of(ITEM, key(i))
        assert [(c.lsn, c.txid, c.before, c.after, c.fields) for c in mine] == [
            (c.lsn, c.txid, c.before, c.after, c.fields) for c in theirs
        ]
        assert own.overlay.get(ITEM, key(i)) == learnt.overlay.get(ITEM, key(i))
        if mine:
            assert own.images.newest(ITEM, key(i)) == learnt.images.newest(ITEM, key(i))
            assert own.images.durable(ITEM, key(i), Lsn(0)) == learnt.images.durable(ITEM, key(i), Lsn(0))
