"""What becomes of a round when its votes are in: a pure function (protocol.md section 6, step 4).

    candidates --(a NO, a fenced or missing vote, a true condition)--> dropped
        |
        +-- oldest first --(would close a cycle of reader -> writer edges)--> dropped
        |
        +-- admitted, in an order in which every reader goes before the writer of what it read

Why it is right: a vote says that the reads of a part hold at its realm's durable tail, and names every undecided
write of them: one of an earlier round as a condition, one of this round as an edge. So if no condition is true and
the edges of the admitted have no cycle, that order is a serial one. Reordering inside a round is Aria's (VLDB 2020).
"""

import heapq
from collections.abc import Container, Mapping, Sequence

import msgspec

from grit.core.errors import DATA_CODES, Code
from grit.core.ids import Epoch, Realm, TxnId
from grit.core.messages import Vote, Votes
from grit.core.outcome import Conflict


class Candidate(msgspec.Struct, frozen=True, gc=False):
    """A transaction of the round. `realms`: its participants, in the order of its parts."""

    txid: TxnId
    age: int
    realms: tuple[Realm, ...]
    origin: str = ""

    @property
    def rank(self) -> tuple[int, TxnId]:
        """The order of age: the lower one is the older, and wins."""
        return (self.age, self.txid)


class Dropped(msgspec.Struct, frozen=True, gc=False):
    """Why a transaction of the round aborts."""

    txid: TxnId
    code: Code
    message: str
    conflict: Conflict | None = None


class Evaluation(msgspec.Struct, frozen=True, gc=False):
    """`admitted`: in the order in which they go into the log; `dropped`: in the order of age."""

    admitted: tuple[TxnId, ...]
    dropped: tuple[Dropped, ...]


def evaluate(
    candidates: Sequence[Candidate],
    ballots: Mapping[Realm, Votes],
    *,
    fences: Mapping[Realm, Epoch],
    dead: Container[TxnId],
) -> Evaluation:
    """Decide a round. The same arguments give the same result, in whatever order they come.

    Args:
        candidates: The transactions that were put to the vote.
        ballots: realm -> its votes; a realm that did not answer in time is missing.
        fences: realm -> the newest DBTM epoch in the fold; votes of another count no more.
        dead: Of the transactions named in conditions, those that certainly never commit: aborted before the log,
            refused, or voided in the fold. A condition on anything else is true.
    """
    votes = {realm: {vote.txid: vote for vote in ballot.votes} for realm, ballot in ballots.items()}
    edges = _Edges(ballots)
    by_rank = sorted(candidates, key=lambda candidate: candidate.rank)
    admitted: dict[TxnId, Candidate] = {}
    dropped: list[Dropped] = []
    for candidate in by_rank:
        reason = (
            _find_refusal(candidate, ballots, votes, fences)
            or _find_condition(candidate, votes, dead)
            or _find_cycle(candidate, edges, admitted)
            or _find_data_error(candidate, votes)
        )
        if reason is None:
            admitted[candidate.txid] = candidate
        else:
            dropped.append(reason)
    return Evaluation(_in_order(admitted, edges), tuple(dropped))


class _Edges:
    """reader -> writer -> the first realm that reported it; loops on one transaction are nothing."""

    def __init__(self, ballots: Mapping[Realm, Votes]) -> None:
        self._writers: dict[TxnId, dict[TxnId, Realm]] = {}
        for realm in sorted(ballots):
            for reader, writer in ballots[realm].edges:
                if reader != writer:
                    self._writers.setdefault(reader, {}).setdefault(writer, realm)

    def writers_of(self, reader: TxnId) -> Mapping[TxnId, Realm]:
        """Return who overwrites what `reader` read, and where."""
        return self._writers.get(reader, {})

    def leads(self, start: TxnId, goal: TxnId, through: Container[TxnId]) -> bool:
        """Tell whether a path goes from `start` to `goal` over members of `through` only."""
        seen = {start}
        todo = [start]
        while todo:
            writers = self.writers_of(todo.pop())
            if goal in writers:
                return True
            fresh = [writer for writer in writers if writer in through and writer not in seen]
            seen.update(fresh)
            todo.extend(fresh)
        return False


def _find_refusal(
    candidate: Candidate,
    ballots: Mapping[Realm, Votes],
    votes: Mapping[Realm, Mapping[TxnId, Vote]],
    fences: Mapping[Realm, Epoch],
) -> Dropped | None:
    """Return the first NO among the realms; what is no valid vote is one."""
    for realm in candidate.realms:
        if realm not in ballots:
            return Dropped(candidate.txid, Code.REALM_DOWN, f"realm {realm} did not vote in time")
        if ballots[realm].dbtm_epoch != fences.get(realm, 0):
            message = f"realm {realm} voted in epoch {ballots[realm].dbtm_epoch}, fenced by {fences.get(realm, 0)}"
            return Dropped(candidate.txid, Code.FENCED, message)
        vote = votes[realm].get(candidate.txid)
        if vote is None:
            return Dropped(candidate.txid, Code.REALM_DOWN, f"realm {realm} lost its vote when its link broke")
        if vote.code and Code(vote.code) not in DATA_CODES:
            message = vote.message or (vote.conflict.sentence() if vote.conflict else f"refused by realm {realm}")
            return Dropped(candidate.txid, Code(vote.code), message, vote.conflict)
    return None


def _find_condition(
    candidate: Candidate, votes: Mapping[Realm, Mapping[TxnId, Vote]], dead: Container[TxnId]
) -> Dropped | None:
    """Return the first condition that is, or may be, true."""
    for realm in candidate.realms:
        for winner in votes[realm][candidate.txid].conditions:
            if winner not in dead:
                message = f"realm {realm}: txn {winner} of an earlier round writes what this one read"
                return Dropped(candidate.txid, Code.CONTENTION, message, Conflict(realm, winner=winner))
    return None


def _find_cycle(candidate: Candidate, edges: _Edges, admitted: Mapping[TxnId, Candidate]) -> Dropped | None:
    """Return the loss against the oldest admitted writer that could not go after this reader."""
    writers = edges.writers_of(candidate.txid)
    older = sorted((admitted[writer] for writer in writers if writer in admitted), key=lambda winner: winner.rank)
    for winner in older:
        if edges.leads(winner.txid, candidate.txid, admitted):
            realm = writers[winner.txid]
            who = f"txn {winner.txid}" + (f" ({winner.origin})" if winner.origin else "")
            message = f"realm {realm}: {who} is older, writes what this one read, and cannot go after it"
            conflict = Conflict(realm, winner=winner.txid, origin=winner.origin)
            return Dropped(candidate.txid, Code.CONTENTION, message, conflict)
    return None


def _find_data_error(candidate: Candidate, votes: Mapping[Realm, Mapping[TxnId, Vote]]) -> Dropped | None:
    """Return the first answer about the data; by now all reads behind it are known to hold."""
    for realm in candidate.realms:
        vote = votes[realm][candidate.txid]
        if vote.code:
            return Dropped(candidate.txid, Code(vote.code), vote.message, vote.conflict)
    return None


def _in_order(admitted: Mapping[TxnId, Candidate], edges: _Edges) -> tuple[TxnId, ...]:
    """Return the admitted, readers before writers, ties by age."""
    waits_for = dict.fromkeys(admitted, 0)
    for reader in admitted:
        for writer in edges.writers_of(reader):
            if writer in admitted:
                waits_for[writer] += 1
    ready = [candidate.rank for txid, candidate in admitted.items() if waits_for[txid] == 0]
    heapq.heapify(ready)
    order = []
    while ready:
        _, reader = heapq.heappop(ready)
        order.append(reader)
        for writer in edges.writers_of(reader):
            if writer in admitted:
                waits_for[writer] -= 1
                if waits_for[writer] == 0:
                    heapq.heappush(ready, admitted[writer].rank)
    assert len(order) == len(admitted), "the edges of the admitted have a cycle"
    return tuple(order)
