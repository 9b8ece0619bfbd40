r"""A participant frees itself from a coordinator that does not decide (protocol.md section 6).

    pending --1 s--> the GTL is read to its end --3 s, and something wants it--> REFUSED appended --> folded: decided
       |                (at most once a second)                                   \--failed--> again, a little later
       \--begun before the GTL's now - 2L--> aborted: an entry that comes now is void

It decides nothing by itself: a REFUSED counts from anybody, and what the fold says of it holds for everybody. A COMMITS
that came first stands, one that comes later is void. One refusal is under way at a time, for all that are due by then,
so that a GTL which is only slow is not buried under refusals.
"""

from collections.abc import Callable

from dbtm.effects import Effect
from dbtm.ledger import Ledger
from dbtm.locals import Clock
from grit.core.fold import GtlFold
from grit.core.ids import Epoch, Millis, TxnId
from grit.core.limits import Limits
from grit.core.records import Refused
from grit.core.steps import GTL, AppendRefused, AppendUnknown, CatchUp

LOOK_MS = 1_000
"""The GTL is read to its end at most so often because of what is pending."""
RETRY_MS = 200
"""A refusal whose append failed is appended again so much later."""


class Freeing:
    """What a leader does about parts that stay pending.

    Args:
        append: Appends to the GTL, and returns the token of the append.
    """

    def __init__(
        self,
        ledger: Ledger,
        gtl: GtlFold,
        effects: list[Effect],
        clock: Clock,
        limits: Limits,
        append: Callable[[Refused], int],
    ) -> None:
        self._pending = ledger.pending
        self._gtl = gtl
        self._effects = effects
        self._clock = clock
        self._limits = limits
        self._append = append
        self._looked_at: Millis | None = None
        self._refusing: tuple[TxnId, ...] = ()
        self._token = 0
        self._is_unknown = False
        self._retry_at = Millis(0)

    def tick(self) -> list[TxnId]:
        """Look into the GTL and refuse when it is time. Return what is aborted: it began too long ago to commit yet."""
        oldest = next(iter(self._pending.parts.values()), None)
        if not any(txid in self._pending.parts for txid in self._refusing):
            self._refusing = ()
        if oldest is None or self._clock.passed - oldest.since < self._limits.pending_fold_ms:
            return []
        self._look()
        self._refuse()
        # Whoever of them has an entry that counts was decided when it was folded, or pushed before.
        return [txid for txid in self._pending.parts if self._gtl.is_expired(txid)]

    def failed(self, event: AppendUnknown | AppendRefused) -> None:
        """An append to the GTL failed. A refusal that may have landed is looked for before the next."""
        if not self._refusing or event.token != self._token:
            return
        self._retry_at = Millis(self._clock.passed + RETRY_MS)
        self._is_unknown = isinstance(event, AppendUnknown)
        if self._is_unknown:
            self._effects.append(CatchUp(GTL))
        else:
            self._refusing = ()

    def looked(self) -> None:
        """The GTL was read to its end. A refusal that is not in it may land later, beside the next: no harm."""
        if self._is_unknown:
            self._refusing, self._is_unknown = (), False

    def stop(self) -> None:
        """This DBTM leads no more, and nothing is pending here."""
        self._refusing, self._is_unknown = (), False

    def _look(self) -> None:
        now = self._clock.passed
        if self._looked_at is None or now - self._looked_at >= LOOK_MS:
            self._looked_at = now
            self._effects.append(CatchUp(GTL))

    def _refuse(self) -> None:
        """Refuse what is wanted and pending for too long, unless a refusal is under way, or failed just now."""
        now = self._clock.passed
        if self._refusing or now < self._retry_at:
            return
        due = [t for t in self._pending.wanted if now - self._pending.parts[t].since >= self._limits.pending_refuse_ms]
        self._refusing = tuple(due[: self._limits.record_entries])
        if self._refusing:
            self._token = self._append(Refused(Epoch(0), self._refusing))
            self._effects.append(CatchUp(GTL))
