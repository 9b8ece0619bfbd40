"""Every limit and time of the protocol, with its default (protocol.md section 12), in one place.

A limit that is exceeded is answered (`TOO_LARGE`, `OVERLOADED`, `TIMED_OUT`, `LAGGING`): memory of every table
in a DBTM, GTM or sidecar is bounded by one of these (invariant I12). The longest life of a transaction and the horizon
of idempotency keys are not limits but constants of the log's format: `grit.core.fold` (docs/adr/0006).
"""

from collections.abc import Mapping

import msgspec

from grit.core.fold import LIFE_MS

_SECOND = 1_000
_KIB, _MIB = 1024, 1024 * 1024


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """Times in milliseconds, sizes in bytes, the rest counts; all inclusive.

    Attributes:
        transaction_timeout_ms: A transaction that asks for no time of its own is aborted after it.
        election_timeout_ms: A standby claims after so long without a sign of life.
        renewal_ms: An idle leader shows life so often.
        vote_timeout_ms: A realm that does not vote in time makes its transactions abort.
        pending_fold_ms: A part pending for so long makes its DBTM fold the GTL to the end.
        pending_refuse_ms: A participant frees itself after so long, when something waits.
        park_ms, parked_per_key: How long, and how many, locals wait behind pending globals.
        record_bytes, record_entries: A log record is closed at whichever comes first.
        history_keys: How many writes a DBTM remembers.
        images_records: How many newest records a DBTM keeps beside them, so that it need not ask its database.
        keys_per_realm, transaction_bytes: Of one transaction, reads and writes together.
        operations_per_request: Of one Execute, Commit or Transact.
        key_bytes: One canonical key.
        value_depth: Lists and maps inside each other; what protobuf can carry typed is the most.
        idempotency_keys, result_bytes: What is kept of keys and with each.
        open_transactions: Per sidecar.
        open_requests: Per DBTM, and of each kind: reads, validations, commits and questions without an answer.
        pending_parts: Per DBTM: globals that it has voted for and that are not durable yet.
        outbox_bytes: Per DBTM: what is committed and waits to be appended; beyond it commits are refused.
        aborts_remembered: Per DBTM: aborted locals, so that a second copy cannot commit.
        lag_entries: A realm whose database is further behind than that refuses commits.
        checkpoint_records: A leader writes a checkpoint into its log after so many records, from which a start goes on.
    """

    transaction_timeout_ms: int = 30 * _SECOND
    election_timeout_ms: int = 2 * _SECOND
    renewal_ms: int = 500
    vote_timeout_ms: int = 1 * _SECOND
    pending_fold_ms: int = 1 * _SECOND
    pending_refuse_ms: int = 3 * _SECOND
    park_ms: int = 500
    parked_per_key: int = 128
    record_bytes: int = 1 * _MIB
    record_entries: int = 1_000
    history_keys: int = 1_000_000
    images_records: int = 200_000
    keys_per_realm: int = 10_000
    transaction_bytes: int = 8 * _MIB
    operations_per_request: int = 10_000
    key_bytes: int = 1 * _KIB
    value_depth: int = 30
    idempotency_keys: int = 1_000_000
    result_bytes: int = 4 * _KIB
    open_transactions: int = 10_000
    open_requests: int = 10_000
    pending_parts: int = 10_000
    outbox_bytes: int = 64 * _MIB
    aborts_remembered: int = 100_000
    lag_entries: int = 100_000
    checkpoint_records: int = 10_000

    def __post_init__(self) -> None:
        """Check every bound.

        Raises:
            ValueError: Names the limit, its value and what it may be.
        """
        for name, (least, most) in LIMIT_BOUNDS.items():
            value = getattr(self, name)
            if not least <= value <= most:
                raise ValueError(f"{name} is {value:,}; it may be {least:,} to {most:,}")
        if self.election_timeout_ms < 2 * self.renewal_ms:
            raise ValueError(
                f"election_timeout_ms is {self.election_timeout_ms:,}; it must be at least twice renewal_ms"
                f" ({self.renewal_ms:,}), or one late renewal would end a leadership"
            )


LIMIT_BOUNDS: Mapping[str, tuple[int, int]] = {
    "transaction_timeout_ms": (100, LIFE_MS),  # a longer one would be refused before it times out
    "election_timeout_ms": (100, 60 * _SECOND),
    "renewal_ms": (10, 10 * _SECOND),
    "vote_timeout_ms": (10, 60 * _SECOND),
    "pending_fold_ms": (10, 60 * _SECOND),
    "pending_refuse_ms": (100, 600 * _SECOND),
    "park_ms": (1, 60 * _SECOND),
    "parked_per_key": (1, 100_000),
    "record_bytes": (1 * _KIB, 64 * _MIB),
    "record_entries": (1, 100_000),
    "history_keys": (1, 100_000_000),
    "images_records": (1, 100_000_000),
    "keys_per_realm": (1, 1_000_000),
    "transaction_bytes": (1 * _KIB, 64 * _MIB),
    "operations_per_request": (1, 1_000_000),
    "key_bytes": (16, 3_072),
    "value_depth": (1, 30),
    "idempotency_keys": (1, 100_000_000),
    "result_bytes": (0, 64 * _KIB),
    "open_transactions": (1, 1_000_000),
    "open_requests": (1, 1_000_000),
    "pending_parts": (1, 1_000_000),
    "outbox_bytes": (1 * _KIB, 1024 * _MIB),
    "aborts_remembered": (1, 10_000_000),
    "lag_entries": (100, 100_000_000),
    "checkpoint_records": (2, 100_000_000),
}
"""Least and most of every limit, inclusive."""
