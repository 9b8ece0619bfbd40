"""What can be set in a GTM; the defaults are those of protocol.md section 12."""

from dataclasses import dataclass, fields

from grit.core.errors import ConfigError


@dataclass(frozen=True, slots=True)
class GtmConfig:
    """Limits and times of a GTM. Every table of the machine is bounded by one of them.

    Attributes:
        round_max: Transactions that are put to the vote together.
        round_bytes_max: Their parts, in bytes; a round always takes one transaction.
        rounds_evaluated_max: Evaluated rounds that may be on their way into the log.
        record_entries_max, record_bytes_max: One COMMITS record; it always takes one entry.
        waiting_max: Transactions that wait: for a round, or for another one with the same idempotency key.
        askers_max: Callers that wait for the outcome of one transaction or one refusal.
        refusals_max: Transaction ids and keys whose refusal is on its way into the log.
        aborted_max: Aborted transactions that are remembered, so that a second copy gets the same answer.
        keys_max: Idempotency keys, committed, cancelled and in progress.
        result_bytes_max: What may be kept with a key.
        vote_timeout_ms: How long a round waits for the votes of a realm.
        hello_retry_ms: A realm that has not answered GTM_HELLO is asked again.
        quiet_push_ms: How often a realm without outcomes hears how far the GTM has folded, and how often a leader
            with standbys shows life when it has nothing to write.
        election_timeout_ms: A standby claims after so long without a sign of life.
        claim_retry_ms: Pause before the next claim when the log refused the last one.
        checkpoint_records: A leader writes a checkpoint after so many records of the log.
        retry_after_ms: What a caller is told that was declined.
    """

    round_max: int = 256
    round_bytes_max: int = 8 << 20
    rounds_evaluated_max: int = 4
    record_entries_max: int = 1_000
    record_bytes_max: int = 1 << 20
    waiting_max: int = 10_000
    askers_max: int = 16
    refusals_max: int = 1_000
    aborted_max: int = 100_000
    keys_max: int = 1_000_000
    result_bytes_max: int = 4 << 10
    vote_timeout_ms: int = 1_000
    hello_retry_ms: int = 1_000
    quiet_push_ms: int = 500
    election_timeout_ms: int = 2_000
    claim_retry_ms: int = 500
    checkpoint_records: int = 10_000
    retry_after_ms: int = 100

    def __post_init__(self) -> None:
        """Check the bounds.

        Raises:
            ConfigError: A value is not positive.
        """
        for field in fields(self):
            if getattr(self, field.name) < 1:
                raise ConfigError(f"gtm.{field.name} is {getattr(self, field.name)}: it must be at least 1")
