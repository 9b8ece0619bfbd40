"""One serial order of all transactions of a deployment, and its consistent cuts.

A global stands at its Csn; the locals of a realm stand behind the global that comes before them in their log. That
agrees with the order of every DBTL and with the GTL, so every beginning of the order is a state that a
serial run could have been in. The cut at Csn c: everything up to the locals behind Csn c.
"""

from collections.abc import Mapping

import msgspec

from grit.checker.dbtl import RealmHistory, Transaction
from grit.checker.gtl import GlobalHistory
from grit.core.errors import ConfigError
from grit.core.ids import Csn, Realm, TxnId


class Step(msgspec.Struct, frozen=True):
    """One transaction; `csn` is 0 for a local one; `behind` is the Csn that it stands at or behind."""

    csn: int
    behind: int
    txid: TxnId
    origin: str
    shares: tuple[tuple[Realm, Transaction], ...]

    @property
    def written(self) -> tuple[Realm, ...]:
        """The realms in which it wrote something."""
        return tuple(realm for realm, share in self.shares if share.entry.images)


def newest_whole_csn(gtl: GlobalHistory, realms: Mapping[Realm, RealmHistory]) -> int:
    """Return the newest Csn up to which every realm's log holds all that committed."""
    newest = gtl.last_csn
    for realm, history in realms.items():
        found = {transaction.entry.csn for transaction in history.transactions}
        kept = (decision.csn for decision in gtl.committed_of(realm) if decision.csn > history.marks[0].through)
        missing = (csn for csn in kept if csn not in found)
        newest = min(newest, next(missing, gtl.last_csn + 1) - 1)
    return newest


def serial_order(realms: Mapping[Realm, RealmHistory], csn_max: int) -> tuple[Step, ...]:
    """Return the cut at Csn `csn_max`, in serial order.

    Raises:
        ConfigError: A log is out of order: `grit check log` says more.
    """
    globals_: dict[int, list[tuple[Realm, Transaction]]] = {}
    locals_: dict[int, list[tuple[Realm, Transaction]]] = {}
    for realm in sorted(realms):
        at = Csn(0)
        for transaction in realms[realm].transactions:
            csn = transaction.entry.csn
            if csn and csn <= at:
                raise ConfigError(
                    f"log dbtl.{realm}, offset {transaction.offset}: Csn out of order: run grit check log"
                )
            at = csn or at
            if at > csn_max:
                break
            (globals_ if csn else locals_).setdefault(at, []).append((realm, transaction))
    steps: list[Step] = []
    for place in sorted(globals_.keys() | locals_.keys()):
        if place:
            steps.append(_step(place, place, globals_[place]))
        steps += [_step(0, place, [share]) for share in locals_.get(place, [])]
    return tuple(steps)


def _step(csn: int, behind: int, shares: list[tuple[Realm, Transaction]]) -> Step:
    entry = shares[0][1].entry
    return Step(csn, behind, entry.txid, entry.origin, tuple(shares))
