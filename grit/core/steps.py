"""Events and effects that every machine shares: the vocabulary between a machine and its shell.

A machine is `step(now, event) -> list[effect]`: no clock (`now` comes with the event), no chance, no IO. A
shell turns what happens into events, one at a time, and carries the effects out in order. Between an
effect and the event that reports its end anything else may happen.

Logs: from the first `CatchUp` of a log on the shell tails it and reports every record in order by `LogFolded`, exactly
once: from offset 0, or from a checkpoint, which it reports before by `LogBegan`. `Append` may be carried out while others are under way; they take effect in the
order in which they were asked for. Its success is not reported: the tail shows the record. What is
acknowledged is what the fold says (the plain way of protocol.md section 2).
"""

from typing import Any

import msgspec

from grit.core.ids import LinkId, Millis, Offset
from grit.core.messages import Message
from grit.core.records import DbtlRecord, GtlRecord

GTL = "gtl"
DBTL = "dbtl"
"""The two names by which a machine speaks of its logs."""


class Tick(msgspec.Struct, frozen=True, gc=False):
    """Time has passed; comes every few milliseconds."""


class LinkOpened(msgspec.Struct, frozen=True, gc=False):
    """A link is up. `peer`: its role and name, such as ("sidecar", "shop-1") or ("dbtm", "orders")."""

    link: LinkId
    peer: tuple[str, str]


class LinkClosed(msgspec.Struct, frozen=True, gc=False):
    """A link is down; nothing more comes over it, what was under way may be lost."""

    link: LinkId


class Received(msgspec.Struct, frozen=True, gc=False):
    """A message came over a link."""

    link: LinkId
    message: Message


class LogBegan(msgspec.Struct, frozen=True, gc=False):
    """The tail of `log` begins at a checkpoint: `state` is the fold just before the first record that will be reported."""

    log: str
    state: bytes


class LogFolded(msgspec.Struct, frozen=True, gc=False):
    """The tail of `log` has read these records, in order, next to the ones before."""

    log: str
    records: tuple[tuple[Offset, GtlRecord | DbtlRecord], ...]


class LogCaughtUp(msgspec.Struct, frozen=True, gc=False):
    """A read of `log` that began after the `CatchUp` effect was carried out has reached the end."""

    log: str


class AppendUnknown(msgspec.Struct, frozen=True, gc=False):
    """An append may have landed, or land later. `token` is the effect's."""

    log: str
    token: int


class AppendRefused(msgspec.Struct, frozen=True, gc=False):
    """An append definitely did not happen (the log is full or away); `reason` is one line."""

    log: str
    token: int
    reason: str


class DrainAsked(msgspec.Struct, frozen=True, gc=False):
    """The process is told to stop: take nothing new, finish what is under way, give the leadership back."""


class SeatWon(msgspec.Struct, frozen=True, gc=False):
    """The external elector prefers this process from now on. `former`: the address of who held the seat before, "" = unknown."""

    former: str


class SeatLost(msgspec.Struct, frozen=True, gc=False):
    """It prefers this process no more."""


class Send(msgspec.Struct, frozen=True, gc=False):
    """Send a message; lost when the link is down."""

    link: LinkId
    message: Message


class Append(msgspec.Struct, frozen=True, gc=False):
    """Append a record to `log`. `token` names it in a failure."""

    log: str
    token: int
    record: GtlRecord | DbtlRecord


class CatchUp(msgspec.Struct, frozen=True, gc=False):
    """Read `log` to its end now, report what comes, then `LogCaughtUp`.

    The first one of a log may begin at a checkpoint at or below `begin_max`; None: at any.
    """

    log: str
    begin_max: Offset | None = None


class CloseLink(msgspec.Struct, frozen=True, gc=False):
    """Close a link: a protocol error of the peer, or a newer link took its place."""

    link: LinkId
    reason: str


class Halt(msgspec.Struct, frozen=True):
    """Stop this role: it must not go on. `error`: a LogError or StoreRefused; one line, with the remedy."""

    error: Exception


class StepBack(msgspec.Struct, frozen=True, gc=False):
    """Give the elector's seat up and stand for it again, behind the others."""


class Trace(msgspec.Struct, frozen=True, gc=False):
    """A finished piece of work for the trace: `parent` is a traceparent, times are by `now`."""

    name: str
    parent: str
    began: Millis
    ended: Millis
    facts: dict[str, Any] = {}


SharedEvent = (
    Tick
    | LinkOpened
    | LinkClosed
    | Received
    | LogBegan
    | LogFolded
    | LogCaughtUp
    | AppendUnknown
    | AppendRefused
    | DrainAsked
    | SeatWon
    | SeatLost
)
SharedEffect = Send | Append | CatchUp | CloseLink | Halt | StepBack | Trace
