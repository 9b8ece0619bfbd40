"""How the load went so far: counts by outcome and the latencies of checkouts."""

from collections import Counter
from dataclasses import dataclass, field


@dataclass
class Tally:
    """Outcomes of the calls of all clients; latencies are those that a client sees, retries included.

    Attributes:
        committed: Kind of call -> how many committed.
        refused: Failure -> how many calls the shop said no to.
        aborted: Code -> how many calls gave up after all their attempts, without effect.
        unknown: Calls whose outcome nobody told: they may have committed. Never counted as failed.
        unknown_checkouts: How many of those were checkouts.
        retries: Attempts beyond the first of each call that committed.
        orders: Order -> transaction of each checkout that was acknowledged.
    """

    committed: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    aborted: Counter[str] = field(default_factory=Counter)
    unknown: Counter[str] = field(default_factory=Counter)
    unknown_checkouts: int = 0
    retries: int = 0
    orders: dict[str, str] = field(default_factory=dict)
    _checkout_ms: list[float] = field(default_factory=list)

    @property
    def checkouts(self) -> int:
        """How many checkouts committed."""
        return self.committed["checkout"]

    def add_committed(self, kind: str, attempts: int, ms: float) -> None:
        """Count one call that committed after so many attempts and milliseconds."""
        self.committed[kind] += 1
        self.retries += max(0, attempts - 1)
        if kind == "checkout":
            self._checkout_ms.append(ms)

    def add_unknown(self, kind: str, code: str) -> None:
        """Count one call whose outcome nobody told."""
        self.unknown[code] += 1
        self.unknown_checkouts += kind == "checkout"

    def percentile_ms(self, share: float) -> float:
        """Return the latency that `share` (0 to 1) of the checkouts did not exceed; 0 when there was none."""
        if not self._checkout_ms:
            return 0.0
        ordered = sorted(self._checkout_ms)
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))]
