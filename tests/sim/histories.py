"""The logs of a run, read by the checker's own reading of them: it shares no fold with the roles."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TypeVar

from grit.checker.check import Histories
from grit.checker.copies import LogCopy, Placed
from grit.checker.dbtl import RealmHistory, Transaction, read_dbtl
from grit.checker.gtl import read_gtl
from grit.checker.replay import Images, replay
from grit.core.ids import Offset, Realm
from grit.core.records import decode_dbtl_record, decode_gtl_record

Record = TypeVar("Record")
Logs = Mapping[str, Sequence[bytes]]


def read_logs(logs: Logs, realms: Iterable[Realm]) -> Histories:
    """Read every log of a cluster that has come to rest."""
    gtl = read_gtl(_copy("gtl", logs, decode_gtl_record), is_quiesced=True)
    histories = {
        realm: read_dbtl(
            _copy(f"dbtl.{realm}", logs, decode_dbtl_record), realm, gtl_log_id=gtl.log_id, is_quiesced=True
        )
        for realm in realms
    }
    return Histories(gtl, histories)


def states_of(history: RealmHistory) -> list[Images]:
    """Return what the realm holds after each Lsn; 0 is the empty beginning."""
    states: list[Images] = [{}]
    for transaction in history.transactions:
        states.append(_after(transaction, states[-1]))
    return states


def _after(transaction: Transaction, state: Images) -> Images:
    return replay([transaction], dict(state)) if transaction.entry.images else state


def _copy(name: str, logs: Logs, decode: Callable[..., Record]) -> LogCopy[Record]:
    payloads = logs.get(name, ())
    placed = (
        Placed(Offset(at), decode(payload, log=name, offset=Offset(at)), payload) for at, payload in enumerate(payloads)
    )
    return LogCopy(name, tuple(placed))
