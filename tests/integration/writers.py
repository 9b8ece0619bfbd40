"""Clients that append to a log while something befalls its brokers, and remember what was acknowledged."""

import asyncio
from collections.abc import Callable

from grit.core.ids import Offset
from grit.log.kafka import KafkaLog
from grit.log.port import AppendUnknown, LogUnavailable
from tests.contract.log_contract import read_all

WRITERS = 4


class Writers:
    """Four of them. `acknowledged`: offset -> what was appended there."""

    def __init__(self, log: KafkaLog) -> None:
        self.acknowledged: dict[Offset, bytes] = {}
        self._log = log
        self._is_over = False

    def start(self, tasks: asyncio.TaskGroup) -> None:
        """Let them append until `stop`."""
        for writer in range(WRITERS):
            tasks.create_task(self._write(writer))

    def stop(self) -> None:
        """Let each end with the append that it waits for."""
        self._is_over = True

    async def more(self, count: int) -> None:
        """Wait until so many more have been acknowledged."""
        wanted = len(self.acknowledged) + count
        await until(lambda: len(self.acknowledged) >= wanted)

    async def expect_true(self) -> None:
        """Expect what was acknowledged in the log, and what each has appended once and in order."""
        rows = dict(await read_all(self._log))
        assert {offset: rows.get(offset) for offset in self.acknowledged} == self.acknowledged
        for writer in range(WRITERS):
            numbers = [int(payload.split(b".")[1]) for payload in rows.values() if payload.startswith(b"%d." % writer)]
            assert numbers == sorted(set(numbers)), "a record landed twice, or late"

    async def _write(self, writer: int) -> None:
        number = 0
        while not self._is_over:
            payload = b"%d.%d" % (writer, number)
            number += 1
            try:
                self.acknowledged[await self._log.append(payload)] = payload
            except (AppendUnknown, LogUnavailable):
                await asyncio.sleep(0.05)


async def until(holds: Callable[[], bool]) -> None:
    """Return when the condition holds; the caller's own limit ends the wait."""
    while not holds():  # noqa: ASYNC110 - what other tasks and processes do has no event
        await asyncio.sleep(0.01)
