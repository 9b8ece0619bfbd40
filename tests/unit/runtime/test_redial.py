"""When a dialer pauses, and for how long."""

import asyncio
import random

import structlog

from grit.runtime.links.inproc import InProcessLink, InProcessLinks
from grit.runtime.links.port import LinkCallbacks
from grit.runtime.links.redial import Backoff, Redialer

LIMIT_S = 10


class ShortBackoff(Backoff):
    """Pauses of nothing that write down what they are told."""

    def __init__(self, enough: int) -> None:
        super().__init__(1, 1, random.Random(1))
        self.journal: list[str] = []
        self.enough = asyncio.Event()
        self._wanted = enough

    def next_ms(self) -> float:
        self.journal.append("pause")
        if self.journal.count("pause") == self._wanted:
            self.enough.set()
        return 0.0

    def note_life(self, lived_ms: float) -> None:
        assert lived_ms >= 0
        self.journal.append("lived")


def nothing(*_: object) -> None:
    """Hear nothing."""


async def test_the_life_of_each_link_is_weighed_before_the_pause_after_it() -> None:
    links = InProcessLinks[str]()
    heard = LinkCallbacks[str](lambda link: link.close("not now"), nothing, nothing)
    server = await links.listen("gtm", "gtm", "a", heard)
    backoff = ShortBackoff(enough=3)

    async def connect(callbacks: LinkCallbacks[str]) -> InProcessLink[str]:
        return links.connect("gtm", "home", "b", callbacks)

    dialer = Redialer("gtm", connect, LinkCallbacks[str](nothing, nothing, nothing), backoff)
    async with asyncio.timeout(LIMIT_S):
        await backoff.enough.wait()
        await dialer.close()
        await server.close()
    assert backoff.journal[:6] == ["lived", "pause"] * 3


async def test_the_same_failure_again_and_again_is_told_once() -> None:
    backoff = ShortBackoff(enough=5)

    async def connect(_: LinkCallbacks[str]) -> InProcessLink[str]:
        raise ConnectionRefusedError(111, "refused")

    with structlog.testing.capture_logs() as told:
        dialer = Redialer("gtm", connect, LinkCallbacks[str](nothing, nothing, nothing), backoff)
        async with asyncio.timeout(LIMIT_S):
            await backoff.enough.wait()
            await dialer.close()
    assert [(line["event"], line["address"], line["reason"]) for line in told] == [("no link", "gtm", "refused")]
    assert backoff.journal[:5] == ["pause"] * 5
