"""A snapshot is one cut of the logs, whoever answered it, however far behind, and whatever befell the leaders meanwhile."""

from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from grit.core.fold import DbtlFold
from grit.core.ids import Csn, Lsn, Millis, Offset, Realm, make_txn_id
from grit.core.operations import Operation, Result, SessionToken
from grit.core.records import Entry, decode_dbtl_record
from grit.core.values import decode_record
from grit.sidecar import events
from grit.sidecar.session import Options, Session
from tests.sim.client import ClientNode, _Running
from tests.sim.faulty import FaultyCluster
from tests.sim.oracle import Model, State
from tests.sim.programs import CATALOGUE, Programs
from tests.sim.world import World


class Seen(msgspec.Struct, frozen=True):
    """What a snapshot transaction was answered."""

    operations: tuple[Operation, ...]
    results: tuple[Result, ...]
    token: SessionToken


class SnapshotReader(ClientNode):
    """Reads snapshots, each question at any replica; all of one session."""

    def __init__(self, world: World, name: str, programs: list[list[list[Operation]]]) -> None:
        super().__init__(world, name, programs)
        self.seen: list[Seen] = []
        self.past = SessionToken()

    def _begin(self) -> None:
        txid = make_txn_id(self.world.now, self.world.chance.getrandbits(64))
        deadline = Millis(self.world.now + 30_000)
        options = Options(deadline=deadline, read_only=True, snapshot=True, past=self.past)
        self._session = Session(txid, CATALOGUE, options, self._ids)
        self._running = _Running(txid, self._programs[0], self.world.moment())
        self._tries += 1
        self._next()

    def _ask(self, role: Realm, message: Any) -> None:
        links = [link for link in self._replicas[role] if self.is_linked(link)]
        self.world.chance.shuffle(links)
        self._replicas[role] = links + [link for link in self._replicas[role] if link not in links]
        super()._ask(role, message)

    def _answered(self, answer: events.Answer) -> None:
        running = self._running
        if isinstance(answer.reply, events.Committed) and running is not None:
            results, token = (*running.results, *answer.reply.results), answer.reply.token
            assert token.csn >= self.past.csn
            assert all(lsn >= self.past.lsns.get(realm, 0) for realm, lsn in token.lsns.items())
            self.past = self.past.merged(token)
            self.seen.append(Seen(tuple(running.operations), results, token))
            self._ended()
        else:
            super()._answered(answer)


class Logs:
    """What the logs of a run hold, by a fold of their own."""

    def __init__(self, world: World) -> None:
        self._entries = {realm: list(_entries(world, realm)) for realm in CATALOGUE}

    def expect_on_cut(self, token: SessionToken) -> None:
        """Expect every position to lie between the last global up to the Csn, and the first above it."""
        for realm, position in token.lsns.items():
            shown = [entry.csn for lsn, entry in self._entries[realm] if entry.csn and lsn <= position]
            hidden = [entry.csn for lsn, entry in self._entries[realm] if entry.csn and lsn > position]
            assert max(shown, default=Csn(0)) <= token.csn < min(hidden, default=Csn(token.csn + 1)), (realm, token)

    def state(self, token: SessionToken) -> State:
        """Return all records at the positions."""
        state: State = {}
        for realm, position in token.lsns.items():
            for lsn, entry in self._entries[realm]:
                for image in entry.images if lsn <= position else ():
                    rows = state.setdefault((realm, image.collection), {})
                    rows.pop(image.key, None)
                    if image.after is not None:
                        rows[image.key] = decode_record(image.after)
        return state


def _entries(world: World, realm: Realm) -> Iterator[tuple[Lsn, Entry]]:
    name = f"dbtl.{realm}"
    fold = DbtlFold(name, realm)
    for at, payload in enumerate(world.logs[name]):
        yield from fold.apply(Offset(at), decode_dbtl_record(payload, log=name, offset=Offset(at))).entries


def run(seed: int) -> list[Seen]:
    """Let snapshots be read while others write, leaders change and replicas and players lag; check each."""
    cluster = FaultyCluster(seed, clients=3, transactions=4)
    programs = Programs(cluster.world.chance)
    scripts = [[[[programs._read() for _ in range(3)] for _ in range(2)] for _ in range(6)] for _ in range(2)]
    readers = [SnapshotReader(cluster.world, f"reader{i}", script) for i, script in enumerate(scripts)]
    cluster.clients.extend(readers)
    cluster.run()
    logs, model = Logs(cluster.world), Model(CATALOGUE)
    seen = [one for reader in readers for one in reader.seen]
    for one in seen:
        logs.expect_on_cut(one.token)
        state = logs.state(one.token)
        expected = [model.apply(state, operation) for operation in one.operations]
        assert expected == list(one.results), f"not what the logs hold at {one.token}: seed {seed}"
    return seen


@pytest.mark.parametrize("seed", range(30))
def test_a_snapshot_is_the_replay_of_the_logs_at_one_cut_under_any_faults(seed: int) -> None:
    assert run(seed)
