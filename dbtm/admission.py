"""Admission: work that a DBTM cannot keep up with is refused before anything is done for it (I12, protocol.md section 9).

What is admitted has to be kept until it is durable, and then until the player has applied it. So these tables bound what
is admitted, and not the other way round:

    pending --decided--> outbox --appended--> in flight --durable--> overlay --applied--> gone
"""

from dbtm.certify import Refusal
from dbtm.ledger import Ledger
from grit.core.errors import Code
from grit.core.ids import Realm
from grit.core.limits import Limits

ADMISSION_RETRY_MS = 200
"""Whoever was refused may ask again after this."""


def count_behind(ledger: Ledger) -> int:
    """Return by how many transactions the database is behind, in flight included; those that wrote nothing at its end are none."""
    oldest = ledger.overlay.oldest
    return 0 if oldest is None else ledger.newest - oldest + 1


def find_backlog(realm: Realm, ledger: Ledger, limits: Limits) -> Refusal | None:
    """Return why no new write is taken now: LAGGING or OVERLOADED; None = it is."""
    behind = count_behind(ledger)
    if behind > limits.lag_entries:
        return Refusal(
            Code.LAGGING,
            f"realm {realm}: its database is {behind:,} transactions behind, the limit is {limits.lag_entries:,}: "
            "look at its log player",
        )
    if ledger.outbox_bytes > limits.outbox_bytes:
        return Refusal(Code.OVERLOADED, f"realm {realm}: its log does not keep up, {ledger.outbox_bytes:,} bytes wait")
    return None


def find_vote_backlog(realm: Realm, ledger: Ledger, limits: Limits) -> Refusal | None:
    """Return why no new part is voted for now; None = it is.

    Its transaction is aborted then, so the code says so: it may run again, as another attempt.
    """
    undecided = len(ledger.pending.parts) + len(ledger.undurable)
    if undecided >= limits.pending_parts:
        return Refusal(Code.REALM_DOWN, f"realm {realm}: {undecided:,} global transactions are not done, its limit")
    backlog = find_backlog(realm, ledger, limits)
    return None if backlog is None else Refusal(Code.REALM_DOWN, f"{backlog.code}: {backlog.message}")
