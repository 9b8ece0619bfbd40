"""Checkpoints, as the checker sees them: where it begins in a log that was cut, and whether they are true (W0)."""

from collections.abc import Iterator, Mapping
from typing import TypeVar

from grit.checker.copies import LogCopy
from grit.core.ids import Csn, Lsn, Offset, TxnId, began_at
from grit.core.records import Checkpoint, DbtlRecord, GtlRecord
from grit.core.states import DbtlState, GtlState, LogState, Parts, decode_state

LIFE_MS = 60_000

_Record = TypeVar("_Record", GtlRecord, DbtlRecord)
_State = TypeVar("_State", GtlState, DbtlState)
_Number = TypeVar("_Number", Csn, Lsn)


def states_in(copy: LogCopy[_Record], kind: type[_State]) -> Iterator[tuple[Offset, _State]]:
    """Yield every whole checkpoint of a log that speaks of what the copy holds, with the offset of its last record.

    Raises:
        LogError: One is of another format, or of another kind of log.
    """
    parts = Parts()
    for placed in copy.records:
        if isinstance(placed.record, Checkpoint) and copy.first <= placed.record.at <= placed.offset:
            dumped = parts.take(placed.record)
            if dumped is not None:
                yield placed.offset, decode_state(dumped, kind, log=copy.name)


def find_lie(
    state: LogState[_Number],
    *,
    log_id: str,
    epoch: int,
    number: int,
    now: int,
    committed: Mapping[TxnId, _Number],
) -> str:
    """Return what of a checkpoint is not as this checker has read the log up to its offset; "" = nothing.

    Args:
        state: What the checkpoint says.
        log_id: What the log says there, as the next two.
        epoch: Of the leader.
        now: The largest time.
        number: The last Csn or Lsn before it.
        committed: All that ever committed, later ones too.
    """
    facts = (("log_id", state.log_id, log_id), ("epoch", state.epoch, epoch), ("now", state.now, now))
    wrong = [f"{name} {said}, expected {expected}" for name, said, expected in facts if said != expected]
    remembered = {txid: at for txid, at in committed.items() if at <= number and began_at(txid) >= now - 2 * LIFE_MS}
    if dict(state.committed) != remembered:
        wrong.append(f"{len(state.committed)} transactions committed, expected {len(remembered)}, or others")
    return "; ".join(wrong)
