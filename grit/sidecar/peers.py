"""The roles that a sidecar asks: the GTM and the DBTM of every realm, over links that dial for ever.

A question goes to whoever is believed to lead. It is answered once: by the peer, by a `Declined` made here when no link
is up (then it was certainly not heard), or by the news that its link ended (then it may have been).
"""

import itertools
from collections.abc import Callable, Mapping, Sequence

import msgspec

from grit.core.errors import Code
from grit.core.ids import LinkId, Realm
from grit.core.messages import (
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
from grit.runtime.links.port import Dialer, Link, LinkCallbacks, Links
from grit.sidecar.clock import Clock

NO_LINK_RETRY_MS = 50

Asked = ReadAsked | ExtendAsked | ValidateAsked | CommitAsked | SubmitAsked | StatusAsked | CancelAsked | DescribeAsked
PeerAnswer = ReadAnswered | ExtendAnswered | ValidateAnswered | OutcomeAnswered | DescribeAnswered | Declined


class Asker(msgspec.Struct, frozen=True, eq=False):
    """Who waits for an answer. `lost` is called instead when the link ended."""

    answered: Callable[[PeerAnswer], None]
    lost: Callable[[], None]


class _Replicas:
    """The replicas of one role, and which of them is believed to lead."""

    def __init__(self, name: str, addresses: Sequence[str]) -> None:
        self.name = name
        self.addresses = list(addresses)
        self.dialers: list[Dialer[Message]] = []
        self._at = 0

    def link(self) -> Link[Message] | None:
        """Return the link to the leader, as far as is known; the next replica's when that one is away."""
        for step in range(len(self.dialers)):
            at = (self._at + step) % len(self.dialers)
            if self.dialers[at].link is not None:
                self._at = at
                return self.dialers[at].link
        return None

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
        self._askers: dict[int, tuple[LinkId, _Replicas, Asker]] = {}

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

    def ask(self, realm: Realm | None, message: Asked, asker: Asker) -> None:
        """Ask a realm's DBTM, or the GTM (None). The answer may come before this returns."""
        replicas = self._gtm if realm is None else self._dbtms[realm]
        link = replicas.link()
        if link is None:
            code = Code.NO_LEADER.value
            asker.answered(Declined(message.id, code, replicas.failure(), NO_LINK_RETRY_MS))
            return
        self._askers[message.id] = (link.id, replicas, asker)
        link.send(message)

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
        _, replicas, asker = waiting
        if isinstance(message, Declined) and message.code == Code.NO_LEADER:
            replicas.not_leading(message.leader)
        elif isinstance(message, DescribeAnswered) and is_following(message.facts):
            replicas.not_leading(str(message.facts.get("leader", "")))
        asker.answered(message)

    def _closed(self, link: Link[Message], reason: str) -> None:
        lost = [number for number, (link_id, _, _) in self._askers.items() if link_id == link.id]
        askers = [self._askers.pop(number)[2] for number in lost]
        for asker in askers:
            asker.lost()
