"""Refusals on their way into the log: txids that were asked for and are not known, keys that are cancelled."""

from grit.core.ids import Epoch, TxnId
from grit.core.records import Refused
from gtm.rounds import Asker


class Refusals:
    """Who waits for which refusal. One record is in flight at a time; the next takes all that gathered."""

    def __init__(self) -> None:
        self._txids: dict[TxnId, list[tuple[Asker, int]]] = {}
        self._keys: dict[str, list[Asker]] = {}
        self._in_flight: Refused | None = None

    def __len__(self) -> int:
        return len(self._txids) + len(self._keys)

    @property
    def keys(self) -> int:
        """How many keys are being cancelled."""
        return len(self._keys)

    def askers(self, txid: TxnId) -> int | None:
        """Return how many wait for the refusal of `txid`; None when it is not being refused."""
        waiting = self._txids.get(txid)
        return None if waiting is None else len(waiting)

    def key_askers(self, key: str) -> int | None:
        """Return how many wait for the cancelling of `key`; None when it is not being cancelled."""
        waiting = self._keys.get(key)
        return None if waiting is None else len(waiting)

    def refuse(self, txid: TxnId, asker: Asker, age: int = 0) -> None:
        """Have `txid` refused; `asker` gets the answer, with `age`."""
        self._txids.setdefault(txid, []).append((asker, age))

    def cancel(self, key: str, asker: Asker) -> None:
        """Have `key` refused; `asker` gets the answer."""
        self._keys.setdefault(key, []).append(asker)

    def build(self) -> Refused | None:
        """Return the next record to append; None while one is in flight, or when nobody waits."""
        if self._in_flight is not None or not len(self):
            return None
        self._in_flight = Refused(Epoch(0), tuple(sorted(self._txids)), tuple(sorted(self._keys)))
        return self._in_flight

    def folded(self, record: Refused) -> None:
        """A refusal was folded: the next may go when it was the one in flight."""
        if record == self._in_flight:
            self._in_flight = None

    def take_txid(self, txid: TxnId) -> list[tuple[Asker, int]]:
        """Return who waits for `txid`, with their ages, and forget them."""
        return self._txids.pop(txid, [])

    def take_key(self, key: str) -> list[Asker]:
        """Return who waits for `key`, and forget them."""
        return self._keys.pop(key, [])

    def in_flight(self) -> Refused:
        """Return the record in flight; there is one."""
        assert self._in_flight is not None
        return self._in_flight

    def forget_in_flight(self) -> None:
        """The record in flight may or may not land: whoever still waits has it appended again."""
        self._in_flight = None

    def take_all(self) -> list[Asker]:
        """Return everybody, by txid and key, and forget them."""
        askers = [asker for txid in sorted(self._txids) for asker, _ in self._txids[txid]]
        askers += [asker for key in sorted(self._keys) for asker in self._keys[key]]
        self._txids.clear()
        self._keys.clear()
        self._in_flight = None
        return askers
