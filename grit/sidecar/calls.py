r"""Calls: the parts of a transaction that run in other services (protocol.md section 11, "lost branch").

    opened --> joined by one run of the handler --> done (made n operations) --> confirmed (the caller saw n)
       \-----------------------------------------------------------------------> dropped

The home commits only what the caller saw come back: a call is settled when it is dropped, or when as many operations
have arrived as were confirmed. Ids are `<txid>-<n>`, of calls made by calls `<call>-<n>`.
"""

from grit.core.errors import Code, GritError
from grit.core.ids import TxnId

CALLS_MAX = 1_000
"""So many calls may one transaction make."""


class Call:
    """One call. `arrived` counts the operations carried out, `done` and `confirmed` those that were announced."""

    def __init__(self, call_id: str) -> None:
        self.call_id = call_id
        self.run = ""
        self.arrived = 0
        self.done: int | None = None
        self.confirmed: int | None = None
        self.is_dropped = False

    @property
    def is_settled(self) -> bool:
        """Tell whether its effects are known to be whole, or gone."""
        return self.is_dropped or (self.confirmed == self.arrived and self.done in (None, self.arrived))

    @property
    def is_broken(self) -> bool:
        """Tell whether it can never be settled: the caller saw another number than the call made."""
        if self.is_dropped or self.confirmed is None:
            return False
        return self.arrived > self.confirmed or (self.done is not None and self.done != self.confirmed)


class Calls:
    """Every call of one transaction."""

    def __init__(self, txid: TxnId) -> None:
        self._txid = txid
        self._calls: dict[str, Call] = {}
        self._minted: dict[str, int] = {}

    def open(self, parent: str) -> str:
        """Mint the id of a call made from `parent`; ids minted by a caller's own SDK are small, these are not.

        Raises:
            GritError: TOO_LARGE.
        """
        number = self._minted.get(parent, 0) + 1
        self._minted[parent] = number
        call_id = f"{parent or self._txid}-h{number}"
        self.at(call_id)
        return call_id

    def at(self, call_id: str) -> Call:
        """Return a call, which begins with its first mention: nobody has to announce it.

        Raises:
            GritError: BAD_REQUEST for an id of another transaction; TOO_LARGE.
        """
        call = self._calls.get(call_id)
        if call is not None:
            return call
        if not call_id.startswith(f"{self._txid}-"):
            raise GritError.bad_request(f'call "{call_id}" does not belong to transaction {self._txid}')
        if len(self._calls) >= CALLS_MAX:
            raise GritError(
                Code.TOO_LARGE, f"transaction {self._txid} has made {CALLS_MAX:,} calls, which is the limit"
            )
        call = self._calls[call_id] = Call(call_id)
        if any(other.is_dropped and call_id.startswith(f"{other.call_id}-") for other in self._calls.values()):
            call.is_dropped = True
        return call

    def join(self, call_id: str, run: str) -> None:
        """Let a run of the called handler enter.

        Raises:
            GritError: LOST_BRANCH when another run has: the call was delivered twice, and runs once.
        """
        call = self.at(call_id)
        if call.is_dropped:
            raise GritError(Code.LOST_BRANCH, f"call {call_id} was given up by its caller")
        if call.run and call.run != run:
            raise GritError(Code.LOST_BRANCH, f"call {call_id} was delivered twice; its first run goes on")
        call.run = run

    def drop(self, call_id: str) -> frozenset[str]:
        """Give up a call and all that it made; return their ids."""
        self.at(call_id).is_dropped = True
        below = [call for call in self._calls.values() if call.call_id.startswith(f"{call_id}-")]
        for call in below:
            call.is_dropped = True
        return frozenset({call_id, *(call.call_id for call in below)})

    def unsettled(self) -> list[Call]:
        """Return the calls that a commit waits for, by id."""
        return [call for _, call in sorted(self._calls.items()) if not call.is_settled]

    def owing(self) -> list[str]:
        """Return the calls of which less has arrived than their callers saw."""
        return [
            call.call_id for call in self.unsettled() if call.confirmed is not None and call.arrived < call.confirmed
        ]


def is_within(call_id: str, calls: list[str]) -> bool:
    """Tell whether a call is one of these, or was made by one."""
    return any(call_id == one or call_id.startswith(f"{one}-") for one in calls)
