"""Messages between roles: what travels over links, each way, one tagged union.

Who dials: sidecars dial the GTM and every DBTM; the GTM dials the DBTMs. `id` is chosen by whoever asks,
unique within its link, and comes back in the answer. `now` in answers is the largest log time that the
sender knows: everybody's clock is max(own clock, largest `now` seen).
"""

from typing import Any

import msgspec

from grit.core.ids import Csn, Epoch, Lsn, Millis, Offset, Realm, TxnId
from grit.core.outcome import Conflict, Outcome
from grit.core.parts import Read
from grit.core.queries import Query


class _Message(msgspec.Struct, frozen=True, array_like=True):
    """Every message is a tagged, positional struct."""


# --- sidecar -> DBTM ------------------------------------------------------------------------------------


class Within(_Message, frozen=True):
    """Where on the cut of a snapshot transaction a read may lie.

    Attributes:
        low, high: One of these Csns; `low` is waited for.
        is_placed: The realm has its position on the cut: `ReadAsked.position`, that and no other.
        fresh: Show everything that was committed before this time, by the logs' time; 0 = it may be as old as it is. Of a
            realm that is placed it is not asked.
    """

    low: Csn
    high: Csn
    is_placed: bool = False
    fresh: Millis = Millis(0)


class ReadAsked(_Message, frozen=True, tag="read"):
    """Read the queries at one position.

    `position` is the part's position, 0 when this is its first read in the realm: the replica waits until
    it has folded that far. The answer tells whether it is still true at `position`. With `within` the position is the
    newest that these Csns allow, and not below `position`.
    """

    id: int
    txid: TxnId
    position: Lsn
    queries: tuple[Query, ...]
    within: Within | None = None


class ReadAnswered(_Message, frozen=True, tag="read_ok"):
    """Rows exact at `position`, and true since `exact_from` (<= position).

    What was asked within a cut and cannot be had any more is answered as of now: `position` and Csns tell.

    Attributes:
        rows: `rows[i]` answers query i: (key, encoded record), in the query's order; absent keys are left out.
        low, high: The cuts that `position` shows: the Csn of the realm's last global up to it, and the last Csn before
            its next. `high` is told of reads within a cut only.
        least: Of a read within a cut: no position for a lower Csn could be answered, or would be fresh.
        leader: The address of the leader, when who answers stands by.
    """

    id: int
    position: Lsn
    exact_from: Lsn
    rows: tuple[tuple[tuple[bytes, bytes], ...], ...]
    now: Millis
    low: Csn = Csn(0)
    high: Csn = Csn(0)
    least: Csn = Csn(0)
    leader: str = ""


class ExtendAsked(_Message, frozen=True, tag="extend"):
    """Is none of these reads, exact at `since`, overwritten in (since, upto]?"""

    id: int
    reads: tuple[Read, ...]
    since: Lsn
    upto: Lsn


class ExtendAnswered(_Message, frozen=True, tag="extend_ok"):
    """`conflict` None: the reads are exact at `upto` too. `too_old`: that is not remembered."""

    id: int
    conflict: Conflict | None = None
    too_old: bool = False


class ValidateAsked(_Message, frozen=True, tag="validate"):
    """Are these reads, exact at `position`, the newest? Asked when all reads of a transaction are done; has no effect."""

    id: int
    reads: tuple[Read, ...]
    position: Lsn


class ValidateAnswered(_Message, frozen=True, tag="validate_ok"):
    """What is said of reads by a leader that has confirmed that it led when it looked.

    `conflict` None: they were, at a moment after the question. `too_old`: what was written since is not remembered.
    """

    id: int
    conflict: Conflict | None
    too_old: bool
    now: Millis


class AppliedAsked(_Message, frozen=True, tag="applied"):
    """Has the database of this realm applied the local with `lsn`, or, when that is 0, the global with `csn`? Answered when it has."""

    id: int
    lsn: Lsn
    csn: Csn


class AppliedAnswered(_Message, frozen=True, tag="applied_ok"):
    """It has, up to `lsn`."""

    id: int
    lsn: Lsn


class CommitAsked(_Message, frozen=True, tag="commit"):
    """Commit a local transaction. Sent once; a lost answer is resolved by `StatusAsked`."""

    id: int
    txid: TxnId
    part: bytes
    trace: str = ""
    origin: str = ""


# --- sidecar -> GTM -------------------------------------------------------------------------------------


class SubmitAsked(_Message, frozen=True, tag="submit"):
    """Commit a global transaction, or any that has an idempotency key. Sent once.

    `age` is 0 at the first attempt; a retry sends back what the ABORTED answer gave.
    """

    id: int
    txid: TxnId
    age: int
    parts: tuple[tuple[Realm, bytes], ...]
    key: str = ""
    result: bytes = b""
    trace: str = ""
    origin: str = ""


# --- sidecar -> either arbiter --------------------------------------------------------------------------


class StatusAsked(_Message, frozen=True, tag="status"):
    """What became of `txid`, or of the idempotency `key` (GTM only; then txid is "")?

    A txid that the arbiter does not know is refused first, for ever.
    """

    id: int
    txid: TxnId
    key: str = ""


class CancelAsked(_Message, frozen=True, tag="cancel"):
    """Refuse an idempotency key for good (GTM)."""

    id: int
    key: str


class OutcomeAnswered(_Message, frozen=True, tag="outcome"):
    """The answer to a commit, a status or a cancel."""

    id: int
    outcome: Outcome
    now: Millis


class DescribeAsked(_Message, frozen=True, tag="describe"):
    """How is this role? For `grit status`."""

    id: int


class DescribeAnswered(_Message, frozen=True, tag="description"):
    """`facts`: plain values by name; see `describe` of each machine."""

    id: int
    facts: dict[str, Any]


class Declined(_Message, frozen=True, tag="declined"):
    """Nothing was done: not a leader, overloaded, the database does not answer. Same call again later.

    `leader`: the address of the leader, where it is known.
    """

    id: int
    code: str
    message: str
    retry_after_ms: int = 0
    leader: str = ""


# --- GTM <-> DBTM ---------------------------------------------------------------------------------------


class GtmHello(_Message, frozen=True, tag="gtm_hello"):
    """Opens a link of GTM epoch `gtm_epoch`; the DBTM folds the GTL up to it before it answers."""

    gtm_epoch: Epoch


class Vote(_Message, frozen=True, tag="v"):
    """What a DBTM says of one part.

    Attributes:
        code: "" = yes; else why not. An answer about the data (`errors.DATA_CODES`) keeps its reads
            pending like a yes, so that the GTM can report it only if the other realms' reads hold too.
        conditions: Undecided transactions of earlier rounds: if one of them commits, this must abort.
    """

    txid: TxnId
    code: str = ""
    message: str = ""
    conflict: Conflict | None = None
    conditions: tuple[TxnId, ...] = ()


class Votes(_Message, frozen=True, tag="votes"):
    """All votes of a realm on one round. `edges`: (reader, writer) pairs of this round, reader first."""

    gtm_epoch: Epoch
    dbtm_epoch: Epoch
    round: int
    votes: tuple[Vote, ...]
    edges: tuple[tuple[TxnId, TxnId], ...] = ()


class DbtmHello(_Message, frozen=True, tag="dbtm_hello"):
    """Answers `GtmHello`: this realm votes for `gtm_epoch` under `dbtm_epoch`.

    `round` is the highest that it has certified in this GTM epoch (0 = none); `votes` those of the rounds
    that are not wholly decided.
    """

    realm: Realm
    gtm_epoch: Epoch
    dbtm_epoch: Epoch
    round: int
    votes: tuple[Votes, ...]


class VoteAsked(_Message, frozen=True, tag="vote"):
    """Certify these parts, in this order (age). `parts`: (txid, encoded part, trace, origin)."""

    gtm_epoch: Epoch
    round: int
    parts: tuple[tuple[TxnId, bytes, str, str], ...]


class Decision(_Message, frozen=True, tag="d"):
    """One outcome for one realm. `csn` 0: never reached the log. `prev_csn` chains the realm's Csns."""

    txid: TxnId
    committed: bool
    csn: Csn = Csn(0)
    prev_csn: Csn = Csn(0)


class Decided(_Message, frozen=True, tag="decided"):
    """Outcomes in Csn order, and how far the GTM has folded the GTL: Csn `through`, next offset `offset`.

    `last_csn` is the last Csn written for this realm: who has it has everything up to `through`.
    """

    gtm_epoch: Epoch
    decisions: tuple[Decision, ...]
    through: Csn
    offset: Offset
    last_csn: Csn
    now: Millis


Message = (
    ReadAsked
    | ReadAnswered
    | ExtendAsked
    | ExtendAnswered
    | ValidateAsked
    | ValidateAnswered
    | AppliedAsked
    | AppliedAnswered
    | CommitAsked
    | SubmitAsked
    | StatusAsked
    | CancelAsked
    | OutcomeAnswered
    | DescribeAsked
    | DescribeAnswered
    | Declined
    | GtmHello
    | Votes
    | DbtmHello
    | VoteAsked
    | Decided
)
