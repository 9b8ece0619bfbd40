"""Outcomes: the answer to a commit, and the conflict that an abort names."""

from enum import StrEnum

import msgspec

from grit.core.errors import Code, GritError
from grit.core.ids import Collection, Csn, Lsn, Realm, TxnId
from grit.core.keys import decode_key


class State(StrEnum):
    """What became of a transaction."""

    COMMITTED = "COMMITTED"
    ABORTED = "ABORTED"
    RUNNING = "RUNNING"
    NOT_COMMITTED = "NOT_COMMITTED"  # of an idempotency key: run again with the same key, that is safe
    UNKNOWN = "UNKNOWN"  # the arbiter no longer remembers


class Conflict(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """Against what a read failed.

    Attributes:
        key: The record that the winner wrote, canonical; b"" when no record is to blame.
        winner: The transaction that wrote it, "" when it is not known; `origin` is its label and service.
        lsn: Where the winner's write stands; 0 = undecided.
        position: At which Lsn the loser had read.
    """

    realm: Realm
    collection: Collection = Collection("")
    key: bytes = b""
    winner: TxnId = TxnId("")
    origin: str = ""
    lsn: Lsn = Lsn(0)
    position: Lsn = Lsn(0)
    predicate: bool = False

    def sentence(self) -> str:
        """Return one line for people."""
        if not self.key:
            return f"realm {self.realm}"
        names = ",".join(str(component) for component in decode_key(self.key))
        who = f"txn {self.winner}" + (f" ({self.origin})" if self.origin else "")
        how = "matches a query of yours and was changed" if self.predicate else "was changed"
        when = f"at Lsn {self.lsn:,}; you read at {self.position:,}" if self.lsn else "and is not decided yet"
        return f"{self.realm}.{self.collection}/({names}) {how} by {who} {when}"


class Outcome(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """What the arbiter says of a transaction or an idempotency key.

    Attributes:
        code: Why it was aborted or is not known; "" when committed or running.
        csn, lsn: Where it stands: a global has a Csn, a local an Lsn in its realm; 0 otherwise.
        age: To be sent back by the retry, so that it keeps its place in the order of age; 0 = none.
        result: What the committed holder of the idempotency key kept with it.
    """

    txid: TxnId
    state: State
    code: str = ""
    message: str = ""
    csn: Csn = Csn(0)
    lsn: Lsn = Lsn(0)
    age: int = 0
    result: bytes = b""
    conflict: Conflict | None = None
    retry_after_ms: int = 0

    def error(self) -> GritError:
        """Return the error that a caller of commit sees; only for outcomes that are not COMMITTED."""
        assert self.state != State.COMMITTED
        code = Code(self.code) if self.code else Code.UNKNOWN
        return GritError(code, self.message, retry_after_ms=self.retry_after_ms, age=self.age, conflict=self.conflict)


def aborted(
    txid: TxnId,
    code: Code,
    message: str = "",
    *,
    age: int = 0,
    conflict: Conflict | None = None,
    retry_after_ms: int = 0,
) -> Outcome:
    """Return the outcome of a transaction that did not commit; the message defaults to the conflict's."""
    text = message or (conflict.sentence() if conflict else "")
    return Outcome(txid, State.ABORTED, code.value, text, age=age, conflict=conflict, retry_after_ms=retry_after_ms)
