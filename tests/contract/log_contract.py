"""What every log promises (`grit.log.port`), run on every adapter."""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from grit.core.errors import LogError
from grit.core.ids import Offset
from grit.log.port import Log, LogCut

LIMIT_S = 20.0
"""No test waits longer for anything."""

Opener = Callable[[], Awaitable[Log]]


async def read_all(log: Log, *, bytes_max: int = 1 << 20) -> list[tuple[Offset, bytes]]:
    """Read the whole log in chunks."""
    rows: list[tuple[Offset, bytes]] = []
    while chunk := await log.read(Offset(len(rows)), bytes_max=bytes_max):
        rows.extend(chunk)
    return rows


class LogContract(ABC):
    """The suite; a subclass says how a handle on *the* log of a test is opened."""

    @abstractmethod
    def opener(self, folder: Path) -> Opener:
        """Return what opens another handle on the one log that lives in `folder`."""

    @pytest.fixture
    async def open_log(self, tmp_path: Path) -> AsyncIterator[Opener]:
        """Open handles on one log, closed after the test."""
        handles: list[Log] = []
        opener = self.opener(tmp_path)

        async def open_one() -> Log:
            handles.append(await opener())
            return handles[-1]

        yield open_one
        for handle in handles:
            await handle.close()

    async def test_an_empty_log_ends_at_0_and_reads_nothing(self, open_log: Opener) -> None:
        log = await open_log()
        assert await log.end() == 0
        assert list(await log.read(Offset(0))) == []

    async def test_offsets_are_dense_from_0_and_payloads_come_back_in_order(self, open_log: Opener) -> None:
        log = await open_log()
        payloads = [b"", b"\x00\xff", b"text", b"x" * 100_000]
        assert [await log.append(payload) for payload in payloads] == [0, 1, 2, 3]
        assert await read_all(log) == list(enumerate(payloads))
        assert await log.end() == 4

    async def test_appends_handed_over_at_once_keep_their_order(self, open_log: Opener) -> None:
        log = await open_log()
        payloads = [f"{number}".encode() for number in range(200)]
        offsets = await asyncio.gather(*(log.append(payload) for payload in payloads))
        assert list(offsets) == list(range(200))
        assert [payload for _, payload in await read_all(log)] == payloads

    async def test_reading_begins_anywhere(self, open_log: Opener) -> None:
        log = await open_log()
        for payload in (b"a", b"b", b"c"):
            await log.append(payload)
        assert list(await log.read(Offset(1))) == [(1, b"b"), (2, b"c")]

    async def test_read_at_the_end_returns_nothing(self, open_log: Opener) -> None:
        log = await open_log()
        await log.append(b"a")
        assert list(await log.read(Offset(1))) == []

    @pytest.mark.parametrize(
        ("start", "why"),
        [
            (-1, "offset -1 lies before the beginning; offsets begin at 0"),
            (2, "is shorter than offset 2: it ends at 1; "),
            (1_000, "is shorter than offset 1000: it ends at 1; "),
        ],
    )
    async def test_read_outside_of_the_log_is_refused_with_the_offset(
        self, open_log: Opener, start: int, why: str
    ) -> None:
        log = await open_log()
        await log.append(b"a")
        with pytest.raises(LogError, match=f"log {log.name}.*{why}"):
            await log.read(Offset(start))
        assert list(await log.read(Offset(0))) == [(0, b"a")]

    async def test_chunks_keep_to_bytes_max_and_lose_nothing(self, open_log: Opener) -> None:
        log = await open_log()
        await asyncio.gather(*(log.append(bytes([number]) * 100) for number in range(10)))
        assert 1 <= len(await log.read(Offset(0), bytes_max=250)) <= 3
        assert await read_all(log, bytes_max=250) == [(number, bytes([number]) * 100) for number in range(10)]

    async def test_a_payload_larger_than_bytes_max_is_read_alone(self, open_log: Opener) -> None:
        log = await open_log()
        await log.append(b"x" * 1_000)
        await log.append(b"y")
        assert list(await log.read(Offset(0), bytes_max=10)) == [(0, b"x" * 1_000)]

    async def test_two_handles_that_append_at_once_share_one_order(self, open_log: Opener) -> None:
        logs = [await open_log(), await open_log()]

        async def write(writer: int) -> list[Offset]:
            return [await logs[writer].append(f"{writer}.{number}".encode()) for number in range(50)]

        async with asyncio.timeout(LIMIT_S):
            offsets = await asyncio.gather(write(0), write(1))
        rows = await read_all(logs[0])
        assert rows == await read_all(logs[1])
        assert [offset for offset, _ in rows] == list(range(100))
        for writer in (0, 1):
            mine = [offset for offset, payload in rows if payload.startswith(f"{writer}.".encode())]
            assert mine == offsets[writer]

    async def test_what_one_handle_appends_the_other_reads(self, open_log: Opener) -> None:
        first, second = await open_log(), await open_log()
        await first.append(b"a")
        assert list(await second.read(Offset(0))) == [(0, b"a")]
        assert await second.append(b"b") == 1
        assert await first.end() == 2

    async def test_wait_answers_at_once_when_there_is_something(self, open_log: Opener) -> None:
        log = await open_log()
        await log.append(b"a")
        assert await log.wait(Offset(0), timeout_ms=0)

    async def test_wait_ends_without_a_record_after_its_timeout(self, open_log: Opener) -> None:
        log = await open_log()
        await log.append(b"a")
        assert not await log.wait(Offset(1), timeout_ms=0)
        assert not await log.wait(Offset(1), timeout_ms=5)

    @pytest.mark.parametrize("is_other", [False, True], ids=["own", "another handle's"])
    async def test_wait_wakes_on_an_append(self, open_log: Opener, is_other: bool) -> None:
        log = await open_log()
        writer = await open_log() if is_other else log
        async with asyncio.timeout(LIMIT_S), asyncio.TaskGroup() as tasks:
            waiting = tasks.create_task(log.wait(Offset(1), timeout_ms=60_000))
            await writer.append(b"a")
            assert not waiting.done()
            await writer.append(b"b")
            assert await waiting

    async def test_many_wait_for_the_same_record(self, open_log: Opener) -> None:
        log = await open_log()
        async with asyncio.timeout(LIMIT_S), asyncio.TaskGroup() as tasks:
            waiting = [tasks.create_task(log.wait(Offset(0), timeout_ms=60_000)) for _ in range(5)]
            await asyncio.sleep(0)  # let them begin
            await log.append(b"a")
            assert await asyncio.gather(*waiting) == [True] * 5

    async def test_an_append_whose_caller_leaves_lands_whole_or_not_at_all(self, open_log: Opener) -> None:
        log = await open_log()
        leaving = asyncio.create_task(log.append(b"left"))
        await asyncio.sleep(0)
        leaving.cancel()
        await log.append(b"stayed")
        assert [payload for _, payload in await read_all(log)] in ([b"left", b"stayed"], [b"stayed"])

    async def test_closing_one_handle_leaves_the_log_and_other_handles_alone(self, open_log: Opener) -> None:
        first, second = await open_log(), await open_log()
        await first.append(b"a")
        await first.close()
        assert await second.append(b"b") == 1
        third = await open_log()
        assert await read_all(third) == [(0, b"a"), (1, b"b")]

    async def test_a_log_that_was_never_cut_starts_at_0(self, open_log: Opener) -> None:
        log = await open_log()
        assert await log.start() == 0
        await log.append(b"a")
        assert await log.start() == 0

    async def test_a_cut_takes_what_lies_below_and_nothing_else(self, open_log: Opener) -> None:
        log, other = await open_log(), await open_log()
        for payload in (b"a", b"b", b"c", b"d"):
            await log.append(payload)
        await other.cut(Offset(2))
        for handle in (other, await open_log()):
            assert await handle.start() == 2
            assert list(await handle.read(Offset(2))) == [(2, b"c"), (3, b"d")]
            assert await handle.end() == 4
        assert await log.append(b"e") == 4
        assert list(await other.read(Offset(3))) == [(3, b"d"), (4, b"e")]

    @pytest.mark.parametrize("below", [0, 1])
    async def test_reading_what_was_cut_says_where_the_log_begins_and_what_to_do(
        self, open_log: Opener, below: int
    ) -> None:
        log = await open_log()
        for payload in (b"a", b"b", b"c"):
            await log.append(payload)
        await log.cut(Offset(2))
        with pytest.raises(
            LogCut, match=f"log {log.name}.* begins at offset 2, what lay at offset {below} was cut: .*"
        ):
            await log.read(Offset(below))

    async def test_a_cut_may_be_repeated_and_never_gives_back(self, open_log: Opener) -> None:
        log = await open_log()
        for payload in (b"a", b"b", b"c"):
            await log.append(payload)
        for offset in (2, 2, 1, 0):
            await log.cut(Offset(offset))
            assert await log.start() == 2

    async def test_the_last_record_cannot_be_cut_away(self, open_log: Opener) -> None:
        log = await open_log()
        await log.append(b"a")
        with pytest.raises(LogError, match=f"log {log.name}.* ends at offset 1: it cannot be cut at 1"):
            await log.cut(Offset(1))
        assert list(await log.read(Offset(0))) == [(0, b"a")]

    async def test_who_waits_for_a_record_goes_on_after_a_cut(self, open_log: Opener) -> None:
        log, other = await open_log(), await open_log()
        for payload in (b"a", b"b", b"c"):
            await log.append(payload)
        async with asyncio.timeout(LIMIT_S), asyncio.TaskGroup() as tasks:
            waiting = tasks.create_task(other.wait(Offset(3), timeout_ms=60_000))
            await log.cut(Offset(2))
            await log.append(b"d")
            assert await waiting
        assert list(await other.read(Offset(3))) == [(3, b"d")]
