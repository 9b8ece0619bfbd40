"""The cut of a snapshot transaction: a Csn on which all its realms are read (protocol.md section 8).

    orders   answered [31..36]                     carts   answered [40..40]
    nothing in common: what lies too far ahead is asked for again, as of 36; a realm remembers what it has overwritten

The first read in a realm places it: it answers with the Csns for which its position stands, and the home keeps those that
all realms have in common. What the code has seen stays true: later reads in a realm are made at its position exactly. A
realm that no longer remembers what it would have to go back to says so; then the others, if the code has not seen them yet,
come forward to it instead.
"""

from collections.abc import Mapping

from grit.core.errors import Code, GritError
from grit.core.ids import Csn, Millis, Realm
from grit.core.messages import ReadAnswered, Within

NEWEST = Csn((1 << 63) - 1)
NEVER = Millis(0)
ROUNDS_MAX = 16
"""A realm that goes back hits what others have answered, at once; only one that forgets meanwhile makes another round."""


class Cut:
    """What is left to choose from: every Csn from `low` to `high` shows all that was read.

    Args:
        past: The cut shows every global up to that Csn.
        fresh: It shows everything that was committed before that time, by the logs' time; 0 = it may be any.
    """

    def __init__(self, past: Csn, fresh: Millis = NEVER) -> None:
        self.low = past
        self._fresh = fresh
        self.high = NEWEST
        self._rounds = 0

    def within(self) -> Within:
        """Return where a realm may be placed."""
        return Within(self.low, self.high, fresh=self._fresh)

    def settle(self, answers: Mapping[Realm, ReadAnswered]) -> dict[Realm, Within]:
        """Take the first answers of realms that nothing was read of; return which of them must be asked again, and where.

        Empty: they have a cut in common with all that was read before, which is kept; so are the answers.

        Raises:
            GritError: TOO_OLD: a realm cannot go back to what was read before; CONTENTION: they do not come together.
        """
        if not answers:
            return {}
        low = max(self.low, *(max(answer.low, answer.least) for answer in answers.values()))
        high = min(self.high, *(answer.high for answer in answers.values()))
        if low <= high:
            self.low, self.high, self._rounds = low, high, 0
            return {}
        self._rounds += 1
        if self._rounds > ROUNDS_MAX:
            raise GritError(Code.CONTENTION, f"realms {', '.join(sorted(answers))} did not come to a common cut")
        realm, least = max(((realm, answer.least) for realm, answer in answers.items()), key=lambda one: one[1])
        if least <= high:
            there = Within(high, high, fresh=self._fresh)
            return {realm: there for realm, answer in answers.items() if answer.low > high}
        if least > self.high:
            text = (
                f"realm {realm} no longer remembers what it was at Csn {self.high:,}, where this transaction has read"
            )
            raise GritError(Code.TOO_OLD, text)
        forward = Within(least, self.high, fresh=self._fresh)
        return {realm: forward for realm, answer in answers.items() if answer.high < least}
