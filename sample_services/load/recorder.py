"""What a call may be concluded from, counted and written down.

An answer: it committed. A status that begins with a failure of the shop or a code of GRIT: it had no effect (but UNKNOWN and
EXPIRED, which say so themselves). A time-out or a bare status of the network: nobody knows; never a failure.
"""

import time
from collections.abc import Awaitable
from typing import Any, Protocol, TypeVar

import grpc

from grit.client import GritError, OutcomeUnknown, TxnAborted
from sample_services.failures import Refused, told_by
from sample_services.load.history import History
from sample_services.load.tally import Tally
from sample_services.pb.v1.shop_pb2 import CheckoutResponse


class Attempted(Protocol):
    """An answer that tells how often its transaction ran."""

    @property
    def attempts(self) -> int:
        """Return how often, at least once."""
        ...


Answer = TypeVar("Answer", bound=Attempted)


class Failed(Exception):
    """A call that did not commit, or may not have; it has been counted.

    Attributes:
        is_busy: It lost against others: ask again at once. Else something is away: wait.
    """

    def __init__(self, code: str, *, is_busy: bool) -> None:
        super().__init__(code)
        self.is_busy = is_busy


class Recorder:
    """Makes the calls of one client.

    Args:
        tally: Counts; shared by all clients.
        history: Takes every call; shared likewise.
        processes: Yields numbers of processes of the history; shared likewise.
        begun_ns: When the load began, on the monotonic clock.
    """

    def __init__(self, tally: Tally, history: History, processes: "Numbers", begun_ns: int) -> None:
        self._tally = tally
        self._history = history
        self._processes = processes
        self._begun_ns = begun_ns
        self._process = processes.take()

    async def call(self, kind: str, value: dict[str, Any], call: Awaitable[Answer]) -> Answer:
        """Await a call and write down how it ended.

        Args:
            kind: What it is.
            value: Its arguments, for the history.
            call: The call, under way.

        Raises:
            Refused: The shop said no.
            Failed: It was aborted, or its outcome is unknown.
        """
        began = self._note("invoke", kind, value)
        try:
            answer = await call
        except grpc.aio.AioRpcError as error:
            raise self._judge(kind, value, error) from error
        told = value
        if isinstance(answer, CheckoutResponse):
            self._tally.orders[answer.order_id] = answer.txn_id
            told = {**value, "order_id": answer.order_id, "txn_id": answer.txn_id}
        self._tally.add_committed(kind, answer.attempts, (self._note("ok", kind, told) - began) / 1e6)
        return answer

    def _judge(self, kind: str, value: dict[str, Any], error: grpc.aio.AioRpcError) -> Refused | Failed:
        told = told_by(error.details())
        if isinstance(told, Refused):
            self._tally.refused[told.failure] += 1
            self._note("fail", kind, {**value, "error": told.failure})
            return told
        if isinstance(told, GritError) and not isinstance(told, OutcomeUnknown):
            self._tally.aborted[told.code] += 1
            self._note("fail", kind, {**value, "error": told.code})
            return Failed(told.code, is_busy=isinstance(told, TxnAborted))
        code = told.code if told else error.code().name
        self._tally.add_unknown(kind, code)
        self._note("info", kind, {**value, "error": code})
        self._process = self._processes.take()
        return Failed(code, is_busy=False)

    def _note(self, outcome: str, kind: str, value: dict[str, Any]) -> int:
        """Write one event down; return its time."""
        time_ns = time.monotonic_ns() - self._begun_ns
        self._history.add(self._process, outcome, kind, value, time_ns)
        return time_ns


class Numbers:
    """Gives out 0, 1, 2, ..."""

    def __init__(self) -> None:
        self._next = 0

    def take(self) -> int:
        """Return the next one."""
        self._next += 1
        return self._next - 1
