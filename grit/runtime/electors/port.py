"""The port of external electors: somebody outside says which replica of a role should lead.

    standing --on_won(former)--> held --on_lost--> standing
                                  |
                                  +--step_back--> standing, behind the others

A seat is a lease: at most one candidate is told that it holds it, until it gives it up, dies, or is told that it lost it.
That is what is hoped for, not what is relied on. Who leads is decided by epochs in the log, so an elector that is stuck,
lies, or gives a seat to two costs time and nothing else (protocol.md section 7). What a machine makes of the events is in
`grit.core.election`.

A file lock serves on one machine (`file_lock`). A Kubernetes Lease fits: `seat` names it, `candidate` is the holder's
identity, `former` the identity that stood in it before, `on_lost` a renewal that did not come through in time, `step_back` and
`close` empty the identity.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class SeatCallbacks:
    """What a candidate wants to hear; called on the event loop's thread, never inside a call of the elector.

    Attributes:
        on_won: The seat is held from now on. Takes who held it before, "" when nobody did or that is not known.
        on_lost: It is held no more, though it was not given up.
    """

    on_won: Callable[[str], None]
    on_lost: Callable[[], None]


class Candidacy(Protocol):
    """One replica that stands for one seat, from `Elector.stand` on."""

    def step_back(self) -> None:
        """Give the seat up if it is held, let others go first, and stand again. Nothing is called for it; after `close` it does nothing."""
        ...

    async def close(self) -> None:
        """Give the seat up, and stand no more; nothing is called any more. Safe to call twice."""
        ...


class Elector(Protocol):
    """Where seats are to be had."""

    def stand(self, seat: str, candidate: str, callbacks: SeatCallbacks) -> Candidacy:
        """Stand for a seat, from now on; returns at once. An elector that cannot be reached is asked again for ever.

        Args:
            seat: A role: `gtm`, or `dbtm.<realm>`.
            candidate: The replica, by the address that its epochs carry.
            callbacks: Told of what becomes of it.
        """
        ...
