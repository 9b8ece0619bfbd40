"""The one place of a process that catches everything: it starts roles, stops them, and says why the process ends.

    starting --all started--> serving --SIGTERM, SIGINT--> draining --> closing --> exit status
        |                        |                            |
        +--- a fatal error ------+--- a fatal error ----------+-- a second signal --> closing --> exit status

Fatal is what a role's `start` raises, what `grit.runtime.fatal` reports, and what a callback of the event loop raised.
Draining follows the reverse of the order of the start, so that the roles that take work from outside finish it
while those behind them still serve.
"""

import asyncio
import signal
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Protocol

import structlog

from grit.core.errors import ConfigError, GritError, LogError, StoreRefused
from grit.runtime.fatal import FATAL

EXIT_GOOD, EXIT_ENVIRONMENT, EXIT_BUG = 0, 3, 70
"""Exit statuses: 3 is for the operator to repair, 70 (EX_SOFTWARE) is a bug of ours."""

_WORLD = (ConfigError, GritError, LogError, StoreRefused)


class Role(Protocol):
    """A part of the process that is started and stopped as one: gtm, a dbtm, a player, a sidecar, a log, a server."""

    @property
    def name(self) -> str:
        """Return the role and what tells it apart: `dbtm orders`."""
        ...

    async def start(self) -> None:
        """Begin to serve; return when it does. What it raises ends the process."""
        ...

    async def drain(self) -> None:
        """Take no new work, and return when what was under way is done. Cancelled when the time is over."""
        ...

    async def close(self) -> None:
        """Release everything; also called when `start` failed half way."""
        ...


def exit_status(error: BaseException) -> int:
    """Return the exit status of a process that `error` ended."""
    return EXIT_ENVIRONMENT if isinstance(error, _WORLD) else EXIT_BUG


class Supervisor:
    """Runs the roles of one process, once.

    Args:
        drain_ms: Time for all roles together to finish what is under way.
        close_ms: Time for each role to release what it holds.
    """

    def __init__(self, *, drain_ms: int = 10_000, close_ms: int = 3_000) -> None:
        self._drain_s = drain_ms / 1000
        self._close_s = close_ms / 1000
        self._log = structlog.get_logger(component="supervisor")
        self._status = EXIT_GOOD
        self._begun: list[Role] = []
        self._serving: list[Role] = []
        self._asked = asyncio.Event()
        self._hurried = asyncio.Event()

    async def run(self, compose: Callable[[], Awaitable[Sequence[Role]]]) -> int:
        """Run the roles that `compose` returns until they are told to stop or one fails; return the exit status.

        They are started in order, drained and closed in the reverse order.
        """
        loop = asyncio.get_running_loop()
        before = loop.get_exception_handler()
        loop.set_exception_handler(self._take_context)
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.stop)
        try:
            await self._until(self._asked, self._serve(compose), "start")
            await self._drain()
            await self._close()
        finally:
            for number in (signal.SIGTERM, signal.SIGINT):
                loop.remove_signal_handler(number)
            loop.set_exception_handler(before)
        return self._status

    def stop(self) -> None:
        """Drain and close, as SIGTERM does; called again, close at once."""
        if self._asked.is_set():
            self._hurried.set()
        self._asked.set()

    def fail(self, error: BaseException, *, place: str) -> None:
        """End the process because of `error`: one line for what the world did, the traceback for a bug of ours.

        Nothing is drained: after a bug the state is not to be trusted, and the log replays it back. Only the first
        error counts for the exit status; the others are often its echo.
        """
        if self._status == EXIT_GOOD:
            self._status = exit_status(error)
            self._describe(error, place)
        self._asked.set()
        self._hurried.set()

    async def _serve(self, compose: Callable[[], Awaitable[Sequence[Role]]]) -> None:
        for role in await compose():
            self._begun.append(role)
            await role.start()
            self._serving.append(role)
            self._log.info("started", role=role.name)
        await self._asked.wait()

    async def _drain(self) -> None:
        try:
            async with asyncio.timeout(self._drain_s):
                for role in reversed(self._serving):
                    if self._hurried.is_set():
                        return
                    await self._until(self._hurried, role.drain(), f"drain of {role.name}")
        except TimeoutError:
            self._log.warning("not drained in time", limit_s=self._drain_s)

    async def _close(self) -> None:
        while self._begun:
            role = self._begun.pop()
            try:
                async with asyncio.timeout(self._close_s):
                    await role.close()
            except TimeoutError:
                self._log.warning("not closed in time", role=role.name, limit_s=self._close_s)
            except Exception as error:  # noqa: BLE001 - the supervisor: the other roles must still be closed
                self.fail(error, place=f"close of {role.name}")

    async def _until(self, over: asyncio.Event, work: Awaitable[None], place: str) -> None:
        """Await `work`, but not beyond `over`; what it raises is fatal."""
        working = asyncio.ensure_future(work)
        waiting = asyncio.ensure_future(over.wait())
        try:
            await asyncio.wait({working, waiting}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            waiting.cancel()
            working.cancel()
            await asyncio.wait({working})
        error = None if working.cancelled() else working.exception()
        if error is not None:
            self.fail(error, place=place)

    def _take_context(self, _: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """Judge what reached the exception handler of the event loop."""
        error, place = context.get("exception"), str(context.get("message", ""))
        if error is None:
            self._log.warning("event loop", message=place)
        elif isinstance(error, OSError) and not context.get(FATAL):
            # Of the event loop itself: out of file descriptors for the next connection, a spurious wake-up of gRPC.
            self._log.warning("event loop", message=place, error=str(error))
        else:
            self.fail(error, place=place)

    def _describe(self, error: BaseException, place: str) -> None:
        if isinstance(error, _WORLD):
            self._log.error(" ".join(str(error).split()), place=place, kind=type(error).__name__)
        else:
            self._log.critical("bug", place=place, error=repr(error), exc_info=error)
