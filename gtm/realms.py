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
    """All realms that have a link, sorted; as many links as there are replicas that the shell dials.

    One link speaks for a realm: the one whose hello has the highest DBTM epoch, the newest of equals. The others are of
    standbys, which answer GTM_HELLO when they lead.

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

    def links(self) -> list[RealmLink]:
        """Return every link, of standbys too."""
        return list(self._by_link.values())

    def links_of(self, realm: Realm) -> list[RealmLink]:
        """Return every link of a realm, of standbys too."""
        return [peer for peer in self._by_link.values() if peer.realm == realm]

    def on_link(self, link: LinkId) -> RealmLink | None:
        """Return whose link it is, if it is one."""
        return self._by_link.get(link)

    def open(self, realm: Realm, link: LinkId) -> RealmLink:
        """Take a new link; it speaks for its realm if none does."""
        new = RealmLink(realm, link)
        self._by_link[link] = new
        if realm not in self._by_realm:
            self._set_speaker(new)
        return new

    def speak(self, peer: RealmLink) -> None:
        """Let a link whose hello has come speak for its realm, unless a newer leader does."""
        speaker = self._by_realm.get(peer.realm)
        if speaker is None or speaker.hello is None or peer.dbtm_epoch >= speaker.dbtm_epoch:
            if speaker is not None and speaker is not peer:
                speaker.forget_hello()
            self._set_speaker(peer)

    def close(self, link: LinkId) -> None:
        """Forget a link; another one of its realm speaks from now on."""
        peer = self._by_link.pop(link, None)
        if peer is None or self._by_realm.get(peer.realm) is not peer:
            return
        del self._by_realm[peer.realm]
        others = self.links_of(peer.realm)
        if others:
            self._set_speaker(max(others, key=lambda other: other.dbtm_epoch))

    def _set_speaker(self, peer: RealmLink) -> None:
        self._by_realm = dict(sorted({**self._by_realm, peer.realm: peer}.items()))

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
