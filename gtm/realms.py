"""The realms as the GTM sees them: one link each, whose votes count, and what it has still to be told.

no link --LinkOpened--> greeted --DbtmHello--> heard --its epoch is the fence--> usable
   ^                                                      | no vote in time        ^
   +------LinkClosed------ any of them                    +----> silent --any message
"""

from collections.abc import Iterable, Iterator

from grit.core.fold import GtlFold
from grit.core.ids import Csn, Epoch, LinkId, Millis, Offset, Realm
from grit.core.messages import DbtmHello, Decided, Decision
from grit.core.steps import Send


class RealmLink:
    """The newest link of a realm.

    Attributes:
        hello: What it answered in this GTM epoch.
        dbtm_epoch: The newest DBTM epoch heard on the link.
        is_resumed: Outcomes and votes that the hello listed have been dealt with.
        is_silent: It let a vote time out and has said nothing since.
        greeted_at: When it was last sent GTM_HELLO.
        told_at, told_offset: When it was last sent outcomes, and how far the GTM had folded then.
        decisions: Outcomes for the next push. `is_owed_push`: it gets one even without outcomes.
    """

    def __init__(self, realm: Realm, link: LinkId) -> None:
        self.realm = realm
        self.link = link
        self.hello: DbtmHello | None = None
        self.dbtm_epoch = Epoch(0)
        self.is_resumed = False
        self.is_silent = False
        self.greeted_at = Millis(0)
        self.told_at = Millis(0)
        self.told_offset = Offset(0)
        self.decisions: list[Decision] = []
        self.is_owed_push = False

    def is_usable(self, fold: GtlFold) -> bool:
        """Tell whether it can vote, and its votes would count."""
        return self.hello is not None and not self.is_silent and self.has_newest_fence(fold)

    def has_newest_fence(self, fold: GtlFold) -> bool:
        """Tell whether its DBTM is the one of the newest fence."""
        return self.dbtm_epoch == fold.fences.get(self.realm, 0)

    def hear(self, hello: DbtmHello) -> None:
        """Take the answer to GTM_HELLO; it replaces an earlier one."""
        self.hello, self.dbtm_epoch, self.is_resumed = hello, hello.dbtm_epoch, False

    def forget_hello(self) -> None:
        """Begin another GTM epoch: nothing is known of the other side's votes, and nothing is left to tell."""
        self.hello, self.dbtm_epoch, self.is_resumed = None, Epoch(0), False
        self.is_silent = self.is_owed_push = False
        self.decisions.clear()

    def is_due(self, now: Millis, fold: GtlFold, quiet_push_ms: int) -> bool:
        """Tell whether it must be told something now."""
        if self.decisions or self.is_owed_push:
            return True
        return self.told_offset != fold.offset and now - self.told_at >= quiet_push_ms

    def take_push(self, now: Millis, epoch: Epoch, fold: GtlFold) -> Send:
        """Return the outcomes that wait, and how far the GTM has folded; none wait afterwards."""
        # Whatever has a Csn up to `through` was told before or is told now: a push follows every folded record.
        decided = Decided(
            gtm_epoch=epoch,
            decisions=tuple(self.decisions),
            through=Csn(fold.next_csn - 1),
            offset=fold.offset,
            last_csn=fold.last_csn.get(self.realm, Csn(0)),
            now=fold.now,
        )
        self.decisions.clear()
        self.is_owed_push = False
        self.told_at, self.told_offset = now, fold.offset
        return Send(self.link, decided)


class Realms:
    """All realms that have a link, sorted; as many as there are DBTMs that the shell dials.

    Attributes:
        grace_until: In the first moments of an epoch realms that have a link are given time to answer GTM_HELLO:
            until then, and no longer than until all have answered, no round begins and no one counts as down for it.
    """

    def __init__(self, fold: GtlFold) -> None:
        self._fold = fold
        self._by_realm: dict[Realm, RealmLink] = {}
        self._by_link: dict[LinkId, RealmLink] = {}
        self.grace_until = Millis(0)

    def __iter__(self) -> Iterator[RealmLink]:
        return iter(self._by_realm.values())

    def get(self, realm: Realm) -> RealmLink | None:
        """Return the link of `realm`, if there is one."""
        return self._by_realm.get(realm)

    def on_link(self, link: LinkId) -> RealmLink | None:
        """Return whose newest link it is, if it is one."""
        return self._by_link.get(link)

    def open(self, realm: Realm, link: LinkId) -> tuple[RealmLink, LinkId | None]:
        """Let a new link take the place of the old one; return it and the old one's number."""
        old = self._by_realm.get(realm)
        if old is not None:
            del self._by_link[old.link]
        new = RealmLink(realm, link)
        self._by_link[link] = new
        self._by_realm = dict(sorted({**self._by_realm, realm: new}.items()))
        return new, old.link if old is not None else None

    def close(self, link: LinkId) -> None:
        """Forget a link; nothing happens when another one took its place."""
        peer = self._by_link.pop(link, None)
        if peer is not None:
            del self._by_realm[peer.realm]

    def find_down(self, realms: Iterable[Realm], now: Millis) -> Realm | None:
        """Return the first of `realms` that cannot vote now."""
        for realm in realms:
            peer = self._by_realm.get(realm)
            if peer is None or not (peer.is_usable(self._fold) or self._is_awaited(peer, now)):
                return realm
        return None

    def are_awaited(self, now: Millis) -> bool:
        """Tell whether the epoch is so young that some realm may still answer GTM_HELLO."""
        return now < self.grace_until and any(self._is_awaited(peer, now) for peer in self)

    def _is_awaited(self, peer: RealmLink, now: Millis) -> bool:
        return now < self.grace_until and not peer.is_usable(self._fold)

    def tell(self, realm: Realm, decision: Decision) -> None:
        """Put an outcome into the next push; who has no link will be told after its hello, or read the GTL."""
        peer = self._by_realm.get(realm)
        if peer is not None and peer.is_resumed:
            peer.decisions.append(decision)

    def pushes(self, now: Millis, epoch: Epoch, quiet_push_ms: int) -> list[Send]:
        """Return the outcomes that wait, and for quiet realms how far the GTM has folded, at most each so often."""
        return [
            peer.take_push(now, epoch, self._fold)
            for peer in self
            if peer.is_resumed and peer.is_due(now, self._fold, quiet_push_ms)
        ]
