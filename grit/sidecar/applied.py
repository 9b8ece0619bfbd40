"""A commit that is answered when the databases have it (ack = applied): asked of every realm that it wrote, for a while."""

from collections.abc import Callable, Iterable

from grit.core.errors import GritError
from grit.core.ids import Millis, Realm
from grit.core.messages import AppliedAnswered, AppliedAsked
from grit.core.outcome import Outcome
from grit.sidecar.asking import Asking, Question, RealmAnswer, Who

APPLY_WAIT_MS = 5_000
"""Then the commit is answered all the same: it stands, and its players will come to it."""


class Applied:
    """One such wait.

    Args:
        realms: Those that were written.
        outcome: COMMITTED: a local has its Lsn, a global its Csn.
        asking: Asks again what is declined or lost.
        then: Called once: with whether every database has it.
    """

    def __init__(
        self, realms: Iterable[Realm], outcome: Outcome, asking: Asking, then: Callable[[bool], None], now: Millis
    ) -> None:
        self._left = set(realms)
        self._outcome = outcome
        self._asking = asking
        self._then = then
        self._until = Millis(now + APPLY_WAIT_MS)

    def start(self) -> None:
        """Ask."""
        for realm in sorted(self._left):
            self._ask(realm)
        if not self._left:
            self._then(True)

    def tick(self, now: Millis) -> None:
        """Give up after a while."""
        if now >= self._until:
            self.give_up()

    def give_up(self) -> None:
        """Answer that it is not applied yet, as far as is known."""
        self._asking.forget()
        self._then(False)

    def _ask(self, realm: Realm) -> None:
        lsn, csn = self._outcome.lsn, self._outcome.csn

        def make(number: int) -> AppliedAsked:
            return AppliedAsked(number, lsn, csn)

        def answered(answer: RealmAnswer) -> None:
            assert isinstance(answer, AppliedAnswered)
            self._left.discard(realm)
            if not self._left:
                self._then(True)

        def given_up(_: GritError) -> None:
            self.give_up()

        self._asking.ask(Question(realm, make, answered, given_up, Who.ANYBODY))
