"""A snapshot is one cut of the logs, whoever answered it, however far behind, and whatever befell the leaders meanwhile."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import msgspec
import pytest

from grit.core.catalog import RealmDef
from grit.core.fold import DbtlFold
from grit.core.ids import Csn, Lsn, Millis, Offset, Realm, make_txn_id
from grit.core.operations import Operation, Result, SessionToken
from grit.core.records import Entry, decode_dbtl_record
from grit.core.values import decode_record
from grit.sidecar import events
from grit.sidecar.session import Options, Session
from tests.sim.client import ClientNode, _Running
from tests.sim.oracle import Model, State
from tests.sim.plan import draw
from tests.sim.programs import Programs
from tests.sim.script import Program, program
from tests.sim.swarm import Swarm
from tests.sim.world import World


class Seen(msgspec.Struct, frozen=True):
    """What a snapshot transaction was answered."""

    operations: tuple[Operation, ...]
    results: tuple[Result | None, ...]
    token: SessionToken


class SnapshotReader(ClientNode):
    """Reads snapshots, each question at any replica; all of one session."""

    def __init__(
        self, world: World, name: str, programs: Sequence[Program], catalogue: Mapping[Realm, RealmDef]
    ) -> None:
        super().__init__(world, name, programs, catalogue)
        self.seen: list[Seen] = []
        self.past = SessionToken()

    def _begin(self) -> None:
        txid = make_txn_id(self._clock.now(), self.world.chance.getrandbits(64))
        deadline = Millis(self.own_time + 30_000)
        options = Options(deadline=deadline, read_only=True, snapshot=True, past=self.past)
        self._session = Session(txid, self._catalogue, options, self._ids)
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
            running.results[answer.request] = answer.reply.results
            (operations, results), token = running.history(), answer.reply.token
            assert all(lsn >= self.past.lsns.get(realm, 0) for realm, lsn in token.lsns.items())
            before, self.past = self.past.csn, self.past.merged(token)
            # A token says what was read; the cut shows the past too, though none of it need lie in these realms.
            csn = max(token.csn, before)
            self.seen.append(Seen(operations, results, msgspec.structs.replace(token, csn=csn)))
            self._ended()
        else:
            super()._answered(answer)


class Logs:
    """What the logs of a run hold, by a fold of their own."""

    def __init__(self, world: World, realms: Iterable[Realm]) -> None:
        self._entries = {realm: list(_entries(world, realm)) for realm in realms}

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


def _three_and_three(programs: Programs) -> Program:
    first, last = ("; ".join(programs._read() for _ in range(3)) for _ in range(2))
    return program(["begin", first, f"commit {last}"])


def run(seed: int) -> list[Seen]:
    """Let snapshots be read while others write, leaders change and replicas and players lag; check each."""
    cluster = Swarm(draw(seed, clients=3, transactions=4))
    programs = Programs(cluster.world.chance, sorted(cluster.catalogue))
    readers = [
        SnapshotReader(cluster.world, f"reader{i}", [_three_and_three(programs) for _ in range(6)], cluster.catalogue)
        for i in range(2)
    ]
    cluster.clients.extend(readers)
    cluster.run()
    logs, model = Logs(cluster.world, cluster.catalogue), Model(cluster.catalogue)
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
