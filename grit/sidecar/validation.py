"""Is what a transaction has read still the newest? Asked of the leaders of all its realms at once.

All clean: there was a moment between the last read and the first check at which everything was as it was read. That is
where a transaction that wrote nothing stands in the serial order, and it needs nobody else (protocol.md, section 8).
"""

from collections.abc import Callable, Iterable

from grit.core.errors import Code, GritError
from grit.core.messages import ExtendAnswered, ValidateAnswered, ValidateAsked
from grit.sidecar.asking import Asking, Question, RealmAnswer
from grit.sidecar.realm_part import RealmPart


class Validation:
    """One such question to several realms.

    Args:
        parts: What was read; those that were only written are left out.
        asking: Asks again what is declined or lost, for a while: a validation has no effect.
        then: Called once: with None when every realm has confirmed all reads, else with why the transaction must abort.
            What is still under way then does not matter: the caller forgets it.
    """

    def __init__(self, parts: Iterable[RealmPart], asking: Asking, then: Callable[[GritError | None], None]) -> None:
        self._parts = [part for part in parts if part.reads]
        self._asking = asking
        self._then = then
        self._left = len(self._parts)

    def start(self) -> None:
        """Ask."""
        if not self._parts:
            self._then(None)
        for part in self._parts:
            self._ask(part)

    def _ask(self, part: RealmPart) -> None:
        reads, position = part.reads, part.position

        def make(number: int) -> ValidateAsked:
            return ValidateAsked(number, reads, position)

        def answered(answer: RealmAnswer) -> None:
            assert isinstance(answer, ValidateAnswered)
            self._take(stale_error(part, answer))

        self._asking.ask(Question(part.realm, make, answered, self._take))

    def _take(self, error: GritError | None) -> None:
        self._left -= 1
        if error is not None:
            self._then(error)
        elif not self._left:
            self._then(None)


def stale_error(part: RealmPart, answer: ExtendAnswered | ValidateAnswered) -> GritError | None:
    """Return why the reads of a part are not current; None: they are."""
    if answer.too_old:
        text = f"realm {part.realm} no longer remembers what was written since Lsn {part.position:,}"
        return GritError(Code.TOO_OLD, text)
    conflict = answer.conflict
    if conflict is None:
        return None
    code = Code.PHANTOM if conflict.predicate else Code.READ_CONFLICT
    return GritError(code, conflict.sentence(), conflict=conflict)
