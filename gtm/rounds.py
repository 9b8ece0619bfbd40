"""Transactions on their way: waiting by age, in the round that votes, and what is known of those that aborted."""

import heapq
from collections import deque
from dataclasses import dataclass, field

import msgspec

from grit.core.ids import Epoch, LinkId, Millis, Realm, TxnId
from grit.core.messages import SubmitAsked, VoteAsked, Votes
from grit.core.outcome import Outcome
from gtm.evaluate import Candidate


class Asker(msgspec.Struct, frozen=True, gc=False):
    """Who waits for an answer: `id` is the one of the request on its link."""

    link: LinkId
    id: int


@dataclass(slots=True)
class Transaction:
    """One transaction in progress.

    Attributes:
        age: The first time it was ever submitted, by a GTM's clock; retries keep it.
        first_seen: When this submission came.
        is_asked: Its realms have been asked to vote, so they must hear what became of it.
        realms: The participants, in the order of the parts.
    """

    request: SubmitAsked
    age: int
    first_seen: Millis
    askers: list[Asker] = field(default_factory=list)
    is_asked: bool = False
    realms: tuple[Realm, ...] = field(init=False)

    def __post_init__(self) -> None:
        """Work out what every event asks for."""
        self.realms = tuple([realm for realm, _ in self.request.parts])

    @property
    def txid(self) -> TxnId:
        """The transaction's id."""
        return self.request.txid

    @property
    def bytes_held(self) -> int:
        """About as many bytes as it takes in a message and in the log."""
        return 200 + len(self.request.result) + sum(len(part) for _, part in self.request.parts)

    @property
    def candidate(self) -> Candidate:
        """What the evaluation needs of it."""
        return Candidate(self.txid, self.age, self.realms, self.request.origin)


class Queue:
    """Transactions that wait for a round, oldest first, ties by txid."""

    def __init__(self) -> None:
        self._waiting: list[tuple[int, TxnId, Transaction]] = []

    def __len__(self) -> int:
        return len(self._waiting)

    def push(self, txn: Transaction) -> None:
        """Let it wait; a txid is in the queue at most once."""
        heapq.heappush(self._waiting, (txn.age, txn.txid, txn))

    def pop(self) -> Transaction:
        """Take the oldest; there is one."""
        return heapq.heappop(self._waiting)[2]

    def oldest_bytes(self) -> int:
        """Return the size of the oldest; there is one."""
        return self._waiting[0][2].bytes_held


@dataclass(slots=True)
class Round:
    """The transactions that are voted on together, in order of age.

    Attributes:
        deadline: When realms that have not voted are given up.
        ballots: The votes that are in.
        unasked: The realms that must be sent their parts, for the first time or again.
        has_folded: The GTL was read to its end because a vote came from an epoch above the fence.
        realms: All participants, sorted.
    """

    number: int
    txns: tuple[Transaction, ...]
    deadline: Millis
    ballots: dict[Realm, Votes] = field(default_factory=dict)
    unasked: set[Realm] = field(default_factory=set)
    has_folded: bool = False
    realms: tuple[Realm, ...] = field(init=False)

    def __post_init__(self) -> None:
        """Work out what every event asks for."""
        self.realms = tuple(sorted({realm for txn in self.txns for realm in txn.realms}))

    @property
    def silent(self) -> tuple[Realm, ...]:
        """The realms whose votes are missing."""
        return tuple(realm for realm in self.realms if realm not in self.ballots)

    def request_to(self, realm: Realm, epoch: Epoch) -> VoteAsked:
        """Return the parts of `realm`, in the order of age."""
        parts = []
        for txn in self.txns:
            for participant, part in txn.request.parts:
                if participant == realm:
                    parts.append((txn.txid, part, txn.request.trace, txn.request.origin))
        return VoteAsked(epoch, self.number, tuple(parts))


class KeyWaiters:
    """Submissions that wait because another one with their idempotency key is in progress, first come first served."""

    def __init__(self) -> None:
        self._waiting: dict[str, deque[Transaction]] = {}
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def add(self, txn: Transaction) -> None:
        """Let it wait."""
        self._waiting.setdefault(txn.request.key, deque()).append(txn)
        self._count += 1

    def take(self, key: str) -> deque[Transaction]:
        """Return who waited for `key`, and forget them."""
        waited = self._waiting.pop(key, deque())
        self._count -= len(waited)
        return waited

    def take_all(self) -> list[Transaction]:
        """Return everybody, by key, and forget them."""
        return [txn for key in sorted(self._waiting) for txn in self.take(key)]


class Aborted:
    """Transactions that this process aborted before the log knew them; at most `limit`, the first goes first.

    A second copy of a submission gets the same answer, and a condition on one of them is false. Whoever is forgotten
    counts as unknown: a condition on it aborts. A fail-over forgets all, and `Status` never answers from here.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._outcomes: dict[TxnId, Outcome] = {}

    def __contains__(self, txid: object) -> bool:
        return txid in self._outcomes

    def get(self, txid: TxnId) -> Outcome | None:
        """Return how it was aborted, if that is known."""
        return self._outcomes.get(txid)

    def add(self, outcome: Outcome) -> None:
        """Remember it."""
        self._outcomes[outcome.txid] = outcome
        if len(self._outcomes) > self._limit:
            del self._outcomes[next(iter(self._outcomes))]
