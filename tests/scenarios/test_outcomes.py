"""One outcome for each transaction, for ever: keys, copies, questions, restarts (protocol.md sections 5 to 7)."""

import pytest

from grit.core.ids import Collection, Realm, make_txn_id
from grit.core.messages import CommitAsked, OutcomeAnswered, StatusAsked
from grit.core.steps import Received
from tests.scenarios.conftest import Stage
from tests.scenarios.hand import Hand
from tests.sim.client import ATTEMPTS_MAX, ClientNode
from tests.sim.nodes import Node
from tests.sim.programs import DOCS, DOCUMENT, ITEMS, TABLE
from tests.sim.script import program


class Wire(Node):
    """Sends bare messages to a DBTM, and keeps what comes back."""

    def __init__(self, stage: Stage, realm: Realm) -> None:
        super().__init__(stage.world, "wire", {})
        self.answers: list[OutcomeAnswered] = []
        self._link = self.connect(stage.cluster.dbtms[realm], ("sidecar", "wire"), ("dbtm", realm))

    def step(self, event: object) -> list[object]:
        if isinstance(event, Received):
            assert isinstance(event.message, OutcomeAnswered)
            self.answers.append(event.message)
        return []

    def send(self, message: CommitAsked | StatusAsked) -> None:
        """Send one message."""
        self._send(self._link, message)


def _bought(stage: Stage, name: str, key: str) -> Hand:
    txn = stage.begin(name, key=key)
    txn.add(TABLE, ITEMS, 1, "n", -1)
    return txn


def test_of_two_commits_with_one_key_at_once_one_is_applied_and_both_are_told_so(stage: Stage) -> None:
    one, other = _bought(stage, "one", "order-7"), _bought(stage, "other", "order-7")
    one.send_commit()
    other.send_commit()
    answers = [one.committed(), other.committed()]
    assert answers[0].outcome.txid == answers[1].outcome.txid
    assert sorted(answer.repeated for answer in answers) == [False, True]
    assert stage.begin("later").get(TABLE, ITEMS, 1, ("n",)) == {"n": 2}


def test_a_key_is_remembered_after_a_restart(stage: Stage) -> None:
    one = _bought(stage, "one", "order-7")
    assert one.commit() == "COMMITTED"
    stage.cluster.settle()
    stage.cluster.restart_gtm()
    for realm in stage.cluster.dbtms:
        stage.cluster.restart_dbtm(realm)
    again = _bought(stage, "again", "order-7")
    again.send_commit()
    assert again.committed().outcome.txid == one.txid
    assert stage.begin("later").get(TABLE, ITEMS, 1, ("n",)) == {"n": 2}


def test_the_same_local_sent_twice_is_applied_once(stage: Stage) -> None:
    wire, txn = Wire(stage, TABLE), stage.begin("one")
    txn.add(TABLE, ITEMS, 1, "n", -1)
    txn.send_commit()
    copy = next(message for message in txn.sent if isinstance(message, CommitAsked))
    wire.send(copy)
    assert txn.outcome() == "COMMITTED"
    wire.send(copy)
    stage.world.run_until(lambda: len(wire.answers) == 2)
    assert [answer.outcome.state for answer in wire.answers] == ["COMMITTED", "COMMITTED"]
    assert stage.begin("later").get(TABLE, ITEMS, 1, ("n",)) == {"n": 2}


def test_a_copy_of_an_aborted_local_does_not_commit(stage: Stage) -> None:
    wire, reader, writer = Wire(stage, TABLE), stage.begin("reader"), stage.begin("writer")
    reader.get(TABLE, ITEMS, 1)
    reader.patch(TABLE, ITEMS, 2, a=1)
    writer.patch(TABLE, ITEMS, 1, a=5)
    assert writer.commit() == "COMMITTED"
    assert reader.commit() == "READ_CONFLICT"
    wire.send(next(message for message in reader.sent if isinstance(message, CommitAsked)))
    stage.world.run_until(lambda: len(wire.answers) == 1)
    assert wire.answers[0].outcome.state == "ABORTED"


def test_a_transaction_that_is_not_known_is_refused_for_ever(stage: Stage) -> None:
    """The home lost its link before the commit came through: whoever asks first closes the door."""
    wire, txn = Wire(stage, TABLE), stage.begin("one")
    txn.add(TABLE, ITEMS, 1, "n", -1)
    stage.world.hold("one>")
    txn.send_commit()
    wire.send(StatusAsked(1, txn.txid))
    stage.world.run_until(lambda: len(wire.answers) == 1)
    assert wire.answers[0].outcome.code == "REFUSED"
    stage.cluster.restart_dbtm(TABLE)
    stage.world.run_until(lambda: stage.cluster.dbtms[TABLE].machine.phase == "serving")
    late = Wire(stage, TABLE)
    late.send(next(message for message in txn.sent if isinstance(message, CommitAsked)))
    stage.world.run_until(lambda: len(late.answers) == 1)
    assert late.answers[0].outcome.code == "REFUSED"


def test_what_began_too_long_ago_is_not_told_as_aborted(stage: Stage) -> None:
    wire = Wire(stage, TABLE)
    old = make_txn_id(stage.world.now, 1)
    stage.world.advance(130_000)
    txn = stage.begin("one")
    txn.add(TABLE, ITEMS, 1, "n", -1)
    assert txn.commit() == "COMMITTED"
    wire.send(StatusAsked(1, old))
    stage.world.run_until(lambda: len(wire.answers) == 1)
    assert (wire.answers[0].outcome.state, wire.answers[0].outcome.code) == ("UNKNOWN", "EXPIRED")


def _raise_a(stage: Stage, name: str, *, age: int = 0) -> Hand:
    """Begin a transaction that reads one record and, because of it, writes two."""
    txn = stage.begin(name, age=age)
    row = txn.get(DOCUMENT, DOCS, 1)
    assert row is not None
    txn.patch(DOCUMENT, DOCS, 1, a=row["a"] + 1)
    txn.patch(TABLE, ITEMS, 1, a=row["a"] + 1)
    return txn


def test_of_sixteen_at_once_the_one_that_lost_before_wins(stage: Stage) -> None:
    """It keeps the age of its first attempt, so it wins however late it comes; nobody can be beaten for ever."""
    loser, winner = _raise_a(stage, "loser"), _raise_a(stage, "winner")
    assert winner.commit() == "COMMITTED"
    loser.send_commit()
    age = loser.error().age
    stage.cluster.settle()
    votes = f"dbtm.{TABLE}#2>"
    stage.world.hold(votes)
    gate = stage.begin("gate")
    gate.patch(TABLE, ITEMS, 2, n=1)
    gate.patch(DOCUMENT, DOCS, 2, n=1)
    gate.send_commit()
    gtm = stage.cluster.gtm.machine
    stage.world.run_until(lambda: gtm.describe()["voting"] == 1)
    rivals = [_raise_a(stage, f"rival{i}") for i in range(15)]
    retry = _raise_a(stage, "retry", age=age)
    for txn in rivals:
        txn.send_commit()
    stage.world.run_until(lambda: gtm.describe()["waiting"] == len(rivals))
    retry.send_commit()
    stage.world.run_until(lambda: gtm.describe()["waiting"] == len(rivals) + 1)
    stage.world.release(votes)
    assert retry.outcome() == "COMMITTED"
    assert [rival.outcome() for rival in rivals] == ["CONTENTION"] * len(rivals)


@pytest.mark.parametrize("place", [(TABLE, ITEMS), (DOCUMENT, DOCS)], ids=["local", "global"])
def test_nobody_starves_when_sixteen_clients_change_one_record(stage: Stage, place: tuple[Realm, Collection]) -> None:
    here = ".".join(place)
    patches = [f'patch {here} 1 {{"a":1}}', *(['patch table.items 1 {"a":2}'] if place[0] == DOCUMENT else [])]
    programs = [program(["begin", f"get {here} 1", "commit " + "; ".join(patches)])]
    clients = [ClientNode(stage.world, f"client{i}", programs) for i in range(16)]
    for client in clients:
        stage.cluster.reach(client)
    stage.world.run_until(lambda: all(client.is_done for client in clients))
    assert [len(client.attempts) for client in clients] == [1] * 16, f"somebody gave up after {ATTEMPTS_MAX} attempts"
