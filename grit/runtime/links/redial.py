"""A dialer for every kind of link: connect, wait for the end, pause, again."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Generic, Protocol

import structlog

from grit.runtime.fatal import spawn
from grit.runtime.links.port import Link, LinkCallbacks, Message, Message_contra


class Backoff:
    """Pauses between attempts: doubling from `min_ms` to `max_ms`, the upper half of each at random.

    Jitter keeps the peers of a process that restarts from dialling it in step.
    """

    def __init__(self, min_ms: int, max_ms: int, chance: random.Random) -> None:
        assert 0 < min_ms <= max_ms
        self._min_ms = min_ms
        self._max_ms = max_ms
        self._chance = chance
        self._next_ms = min_ms

    def next_ms(self) -> float:
        """Return the next pause in milliseconds."""
        pause = self._next_ms * self._chance.uniform(0.5, 1.0)
        self._next_ms = min(2 * self._next_ms, self._max_ms)
        return pause

    def reset(self) -> None:
        """Begin again with the shortest pause: what was attempted succeeded."""
        self._next_ms = self._min_ms

    def note_life(self, lived_ms: float) -> None:
        """Begin again with the shortest pause if a link lived longer than the longest one.

        A peer that takes every link and drops it at once must not be dialled at full speed.
        """
        if lived_ms >= self._max_ms:
            self.reset()


class Attempt(Link[Message_contra], Protocol[Message_contra]):
    """A link that may not have opened yet; `close` gives it up."""

    @property
    def ended(self) -> asyncio.Future[str]:
        """Return what becomes the reason when the attempt has failed, or the link has ended."""
        ...


class Redialer(Generic[Message]):
    """Keeps one link open.

    Args:
        address: For people.
        connect: Starts one attempt with these callbacks, of which it calls `on_closed` only after `on_open`. Raises
            OSError when nobody answers.
        callbacks: The shell's.
        backoff: Pauses between attempts.
    """

    def __init__(
        self,
        address: str,
        connect: Callable[[LinkCallbacks[Message]], Awaitable[Attempt[Message]]],
        callbacks: LinkCallbacks[Message],
        backoff: Backoff,
    ) -> None:
        self._address = address
        self._connect = connect
        self._user = callbacks
        self._callbacks = replace(callbacks, on_open=self._opened, on_closed=self._closed)
        self._backoff = backoff
        self._log = structlog.get_logger(component="links")
        self._link: Link[Message] | None = None
        self._attempt: Attempt[Message] | None = None
        self._failure = ""
        self._clock = asyncio.get_running_loop().time
        self._opened_at = 0.0
        self._task = spawn(self._dial_for_ever(), name=f"dial {address}")

    @property
    def address(self) -> str:
        """Return the address that is dialled."""
        return self._address

    @property
    def link(self) -> Link[Message] | None:
        """Return the link that is open now."""
        return self._link

    @property
    def failure(self) -> str:
        """Return why there is no link now; empty while there is one, and before the first attempt has ended."""
        return "" if self._link is not None else self._failure

    async def close(self) -> None:
        """End the link and dial no more."""
        self._task.cancel()
        await asyncio.wait([self._task])
        if self._attempt is not None:
            self._attempt.close("dialer closed")
            await asyncio.wait([self._attempt.ended])

    async def _dial_for_ever(self) -> None:
        while True:
            try:
                self._attempt = await self._connect(self._callbacks)
                reason = await asyncio.shield(self._attempt.ended)
            except OSError as error:
                reason = error.strerror or str(error) or "no answer in time"
            self._note(reason)
            await asyncio.sleep(self._backoff.next_ms() / 1000)

    def _note(self, reason: str) -> None:
        if reason != self._failure:  # One line each change, not one each attempt.
            self._log.warning("no link", address=self._address, reason=reason)
        self._failure = reason

    def _opened(self, link: Link[Message]) -> None:
        self._link = link
        self._opened_at = self._clock()
        self._user.on_open(link)

    def _closed(self, link: Link[Message], reason: str) -> None:
        self._link = None
        self._backoff.note_life(1000 * (self._clock() - self._opened_at))
        self._user.on_closed(link, reason)
