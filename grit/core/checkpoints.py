r"""Checkpoints in a machine that folds a log and may lead it: when one is due, and whether others' are true. Pure.

    fold reaches a multiple of `every` --dump--> digest kept  --> compared with every CHECKPOINT of that offset
                                            \--> due: appended by whoever leads

Only what is folded live is dumped: on the way through a long log at the start it would cost more than it saves.
"""

from grit.core.errors import LogError
from grit.core.fold import DbtlFold, GtlFold
from grit.core.ids import Offset
from grit.core.records import Checkpoint, DbtlRecord, GtlRecord
from grit.core.states import digest_of, split_state

KNOWN_MAX = 4
"""States that are remembered by their digest; a checkpoint is written soon after its offset."""
RECORDS_A_PART = 200
"""For each part beyond the first so many records pass before the next checkpoint: some 2.6 kB of checkpoint for each of them."""
CHECKPOINT_TOKEN = 0
"""The token of appends of checkpoints: nobody waits for them, and when one fails the next multiple comes anyway."""


class Checkpoints:
    """Of one fold; `every`: so many records from one checkpoint to the next, the same for all replicas."""

    def __init__(self, fold: GtlFold | DbtlFold, every: int) -> None:
        self._fold = fold
        self._every = every
        self._digests: dict[Offset, bytes] = {}
        self._due: tuple[Checkpoint, ...] = ()
        self._others = self._others_min = every // 2

    def meet(self, offset: Offset, record: GtlRecord | DbtlRecord, *, is_live: bool) -> None:
        """Look at the record at `offset` just before it is folded.

        Raises:
            LogError: It is a checkpoint, and false: this program and the one that wrote it do not fold alike.
        """
        if is_live and offset and offset % self._every == 0 and self._others >= self._others_min:
            self._dump(offset)
        if isinstance(record, Checkpoint):
            self._compare(offset, record)
        else:
            self._others += 1

    def take_due(self) -> tuple[Checkpoint, ...]:
        """Return the parts of the newest checkpoint that is in nobody's log yet, once; for a leader to append."""
        due, self._due = self._due, ()
        return due

    def _dump(self, offset: Offset) -> None:
        dumped = self._fold.dump()
        self._digests[offset] = digest_of(dumped)
        if len(self._digests) > KNOWN_MAX:
            del self._digests[next(iter(self._digests))]
        self._due = split_state(offset, dumped)
        # The records of a checkpoint are not the reason for the next one; and a state of many parts (a million idempotency
        # keys) is written, and takes the leader's time, the more seldom.
        self._others, self._others_min = 0, max(self._every // 2, RECORDS_A_PART * (len(self._due) - 1))

    def _compare(self, offset: Offset, record: Checkpoint) -> None:
        known = self._digests.get(record.at)
        if known is not None and known != record.digest:
            raise LogError(
                f"log {self._fold.log}, offset {offset}: the checkpoint of offset {record.at} is {record.digest.hex()}, "
                f"this process has folded {known.hex()}: they do not fold alike. Cut nothing; run one version of grit "
                "everywhere, and `grit check log`"
            )
        if self._due and self._due[0].at == record.at and record.part == record.of - 1:
            self._due = ()
