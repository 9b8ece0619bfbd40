"""The roles that a sidecar asks: the GTM and the DBTM of every realm, over links that dial for ever.

A question goes to whoever is believed to lead, or, when any replica may answer it, to the one of which the fewest answers
are awaited: so one that is paused or cut off gets no more than its share of what the others have under way. It is answered once: by the peer, by a `Declined` made here when no link
is up (then it was certainly not heard), or by the news that its link ended (then it may have been).
"""

import itertools
from collections import Counter
from collections.abc import Callable, Mapping, Sequence

import msgspec

from grit.core.errors import Code
from grit.core.ids import LinkId, Realm
from grit.core.messages import (
    AppliedAnswered,
    AppliedAsked,
    CancelAsked,
    CommitAsked,
    Declined,
    DescribeAnswered,
    DescribeAsked,
    ExtendAnswered,
    ExtendAsked,
    Message,
    OutcomeAnswered,
    ReadAnswered,
    ReadAsked,
    StatusAsked,
    SubmitAsked,
    ValidateAnswered,
    ValidateAsked,
)
from grit.runtime.failpoints import failpoint_once_sent
from grit.runtime.links.port import Dialer, Link, LinkCallbacks, Links
from grit.sidecar.clock import Clock

NO_LINK_RETRY_MS = 50

Asked = (
    ReadAsked
    | ExtendAsked
    | ValidateAsked
    | AppliedAsked
    | CommitAsked
    | SubmitAsked
    | StatusAsked
    | CancelAsked
    | DescribeAsked
)
PeerAnswer = (
    ReadAnswered | ExtendAnswered | ValidateAnswered | AppliedAnswered | OutcomeAnswered | DescribeAnswered | Declined
)


class Asker(msgspec.Struct, frozen=True, eq=False):
    """Who waits for an answer. `lost` is called instead when the link ended."""

    answered: Callable[[PeerAnswer], None]
    lost: Callable[[], None]


class _Waiting(msgspec.Struct, frozen=True, eq=False):
    """A question that is under way. `of_leader`: it was meant for whoever leads."""

    link: LinkId
    replicas: "_Replicas"
    asker: Asker
    of_leader: bool


class _Replicas:
    """The replicas of one role, and which of them is believed to lead."""

    def __init__(self, name: str, addresses: Sequence[str]) -> None:
        self.name = name
        self.addresses = list(addresses)
        self.dialers: list[Dialer[Message]] = []
        self._at = 0
        self._turn = 0

    def link(self) -> Link[Message] | None:
        """Return the link to the leader, as far as is known; the next replica's when that one is away."""
        for step in range(len(self.dialers)):
            at = (self._at + step) % len(self.dialers)
            if self.dialers[at].link is not None:
                self._at = at
                return self.dialers[at].link
        return None

    def idlest(self, load: Mapping[LinkId, int], avoid: LinkId | None) -> Link[Message] | None:
        """Return the link over which the fewest answers are awaited, in turn where that is equal; never `avoid`."""
        links = [dialer.link for dialer in self.dialers if dialer.link is not None and dialer.link.id != avoid]
        if not links:
            return None
        self._turn = (self._turn + 1) % len(links)
        return min(links[self._turn :] + links[: self._turn], key=lambda link: load.get(link.id, 0))

    def failure(self) -> str:
        """Return why there is no link, for people."""
        where = ", ".join(self.addresses) or "no address is configured"
        reasons = sorted({dialer.failure for dialer in self.dialers if dialer.failure})
        return f"no link to {self.name} ({where})" + (f": {'; '.join(reasons)}" if reasons else "")

    def not_leading(self, leader: str) -> None:
        """Take that the replica that was asked does not lead."""
        if leader in self.addresses:
            self._at = self.addresses.index(leader)
        elif self.dialers:
            self._at = (self._at + 1) % len(self.dialers)


def is_following(facts: Mapping[str, object]) -> bool:
    """Tell whether a role that describes itself stands by for another."""
    return str(facts.get("phase", facts.get("state", ""))).lower() == "following"


class Peers:
    """All of them.

    Args:
        links: The kind of connection.
        gtm: Addresses of the GTM's replicas.
        dbtms: Realm -> addresses of its DBTM's replicas.
        clock: Learns the time that answers carry.
    """

    def __init__(
        self, links: Links[Message], gtm: Sequence[str], dbtms: Mapping[Realm, Sequence[str]], clock: Clock
    ) -> None:
        self.ids = itertools.count(1)
        self._links = links
        self._clock = clock
        self._gtm = _Replicas("the GTM", gtm)
        self._dbtms = {realm: _Replicas(f"realm {realm}", addresses) for realm, addresses in dbtms.items()}
        self._askers: dict[int, _Waiting] = {}
        self._load: Counter[LinkId] = Counter()

    def start(self, name: str) -> None:
        """Begin to dial; `name` tells this sidecar from others."""
        callbacks = LinkCallbacks(self._opened, self._received, self._closed)
        for replicas in (self._gtm, *self._dbtms.values()):
            for address in replicas.addresses:
                replicas.dialers.append(self._links.dial(address, "sidecar", name, callbacks))

    async def close(self) -> None:
        """End every link."""
        for replicas in (self._gtm, *self._dbtms.values()):
            for dialer in replicas.dialers:
                await dialer.close()

    def ask(
        self, realm: Realm | None, message: Asked, asker: Asker, *, anywhere: bool = False, beside: int = 0
    ) -> None:
        """Ask a realm's DBTM, or the GTM (None). The answer may come before this returns.

        Args:
            realm: Whom.
            message: What.
            asker: Who waits.
            anywhere: Any replica may answer, not only who leads.
            beside: The same question under an earlier number, if any: while that is under way, another replica is asked,
                or nobody, and then there will be no answer to this number.
        """
        replicas = self._gtm if realm is None else self._dbtms[realm]
        before = self._askers.get(beside)
        avoid = None if before is None else before.link
        link = replicas.idlest(self._load, avoid) if anywhere else replicas.link()
        if link is None and avoid is not None:
            return
        if link is None:
            code = Code.NO_LEADER.value
            asker.answered(Declined(message.id, code, replicas.failure(), NO_LINK_RETRY_MS))
            return
        self._askers[message.id] = _Waiting(link.id, replicas, asker, not anywhere)
        self._load[link.id] += 1
        link.send(message)
        failpoint_once_sent(f"sidecar.after_{type(message).__name__}")

    def problem(self) -> str:
        """Return which roles cannot be reached, one line; empty when all can."""
        away = [r.failure() for r in (self._gtm, *self._dbtms.values()) if r.link() is None]
        return "; ".join(away)

    def _opened(self, link: Link[Message]) -> None:
        """Nothing: whoever waits asks again by itself."""

    def _received(self, link: Link[Message], message: Message) -> None:
        if not isinstance(message, PeerAnswer):
            link.close(f"a sidecar is not sent {type(message).__name__}")
            return
        if isinstance(message, ReadAnswered | ValidateAnswered | OutcomeAnswered):
            self._clock.see(message.now)
        waiting = self._askers.pop(message.id, None)
        if waiting is None:
            return
        self._load[waiting.link] -= 1
        if not waiting.of_leader:
            pass
        elif (isinstance(message, Declined) and message.code == Code.NO_LEADER) or (
            isinstance(message, ReadAnswered) and message.leader
        ):
            waiting.replicas.not_leading(message.leader)
        elif isinstance(message, DescribeAnswered) and is_following(message.facts):
            waiting.replicas.not_leading(str(message.facts.get("leader", "")))
        waiting.asker.answered(message)

    def _closed(self, link: Link[Message], reason: str) -> None:
        lost = [number for number, waiting in self._askers.items() if waiting.link == link.id]
        askers = [self._askers.pop(number).asker for number in lost]
        del self._load[link.id]
        for asker in askers:
            asker.lost()
