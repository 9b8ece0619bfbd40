"""Where a process of the simulator begins in a log: at the newest checkpoint that it may begin at, as a shell does."""

from collections.abc import Sequence

from grit.core.ids import Offset
from grit.core.records import Checkpoint, decode_dbtl_record, decode_gtl_record, is_checkpoint
from grit.core.states import Parts
from grit.core.steps import GTL


def newest_checkpoint(log: str, payloads: Sequence[bytes], at_most: Offset | None) -> tuple[Offset, bytes] | None:
    """Return the greatest `at` up to `at_most` of a whole checkpoint, with its state; None: there is none."""
    decode = decode_gtl_record if log == GTL else decode_dbtl_record
    parts, found = Parts(), dict[Offset, bytes]()
    for offset, payload in enumerate(payloads):
        if is_checkpoint(payload):
            record = decode(payload, log=log, offset=Offset(offset))
            assert isinstance(record, Checkpoint)
            state = parts.take(record)
            if state is not None and (at_most is None or record.at <= at_most):
                found[record.at] = state
    return max(found.items()) if found else None
