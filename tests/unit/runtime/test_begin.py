"""Where a reader of a log begins: at the newest checkpoint that it may use, or at offset 0."""

from collections.abc import Sequence

import pytest

from grit.core.errors import LogError
from grit.core.fold import GtlFold
from grit.core.ids import Epoch, Offset, Realm
from grit.core.records import FORMAT, Checkpoint, Fence, Genesis, GtlRecord, decode_gtl_record, encode_log_record
from grit.core.states import split_state
from grit.core.steps import GTL, LogBegan, LogFolded
from grit.log.memory import MemoryLog
from grit.runtime import begin
from grit.runtime.begin import Begin, find_begin, find_first
from tests.unit.runtime.test_follow import Listener, following


class CountedLog(MemoryLog):
    """Counts the records that were read."""

    def __init__(self) -> None:
        super().__init__("gtl")
        self.read_count = 0

    async def read(self, start: Offset, *, bytes_max: int = 1 << 20) -> Sequence[tuple[Offset, bytes]]:
        """Read, and count."""
        rows = await super().read(start, bytes_max=min(bytes_max, 1 << 12))
        self.read_count += len(rows)
        return rows


class Stage:
    """A log that is filled, and the true state of every offset of it."""

    def __init__(self) -> None:
        self.log = CountedLog()
        self.fold = GtlFold()
        self.states: list[bytes] = []
        self.epoch = 0

    async def put(self, record: GtlRecord) -> None:
        """Append a record, folded here too."""
        self.states.append(self.fold.dump())
        self.fold.apply(self.fold.offset, record)
        await self.log.append(encode_log_record(record))

    async def fences(self, count: int) -> None:
        """Append so many records that change something; the first of a log is its GENESIS."""
        for _ in range(count):
            self.epoch += 1
            await self.put(Fence(Realm("a"), Epoch(self.epoch)) if self.states else Genesis("g", Realm(""), FORMAT))

    async def checkpoint(self, at: int) -> None:
        """Append the true checkpoint of an offset, in two parts."""
        for record in self.parts(at):
            await self.put(record)

    def parts(self, at: int) -> list[Checkpoint]:
        """Return a true checkpoint in two parts."""
        (whole,) = split_state(Offset(at), self.states[at])
        middle = len(whole.state) // 2
        return [
            Checkpoint(whole.at, part, 2, share, whole.digest)
            for part, share in enumerate((whole.state[:middle], whole.state[middle:]))
        ]

    async def begin(self, at_most: int | None = None) -> int:
        """Return where a reader begins; what it loads must be the state there."""
        found = await find_begin(self.log, decode_gtl_record, None if at_most is None else Offset(at_most))
        assert found is None or found == Begin(found.at, self.states[found.at])
        return found.at if found else 0


async def test_without_a_checkpoint_a_reader_begins_at_0() -> None:
    stage = Stage()
    assert await stage.begin() == 0
    await stage.fences(5)
    assert await stage.begin() == 0


async def test_a_reader_begins_at_the_newest_checkpoint_that_it_may_use() -> None:
    stage = Stage()
    await stage.fences(5)
    await stage.checkpoint(3)
    await stage.fences(5)
    await stage.checkpoint(9)
    await stage.fences(1)
    assert [await stage.begin(at_most) for at_most in (None, 100, 10, 9, 8, 3, 2, 0)] == [9, 9, 9, 9, 3, 3, 0, 0]


async def test_a_checkpoint_that_a_zombie_wrote_late_brings_no_old_state_back() -> None:
    stage = Stage()
    await stage.fences(3)
    late = stage.parts(2)
    await stage.fences(4)
    for record in late:
        await stage.put(record)
    assert await stage.begin() == 2
    async with following(stage.log) as (_, listener):
        await listener.until(lambda: len(listener.records) == len(stage.states) - 2)
        assert folded_by(listener).dump() == stage.fold.dump()


async def test_half_a_checkpoint_is_none() -> None:
    stage = Stage()
    await stage.fences(4)
    await stage.checkpoint(2)
    await stage.put(stage.parts(4)[0])
    assert await stage.begin() == 2


async def test_parts_of_one_checkpoint_may_lie_between_others_and_in_several_windows(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(begin, "WINDOW", 3)
    stage = Stage()
    await stage.fences(6)
    one, other = stage.parts(4), stage.parts(5)
    for record in (one[0], other[1]):
        await stage.put(record)
    await stage.fences(5)
    await stage.put(one[1])
    await stage.fences(5)
    assert await stage.begin() == 4


async def test_how_much_is_read_depends_on_the_distance_of_the_checkpoint_not_on_the_log(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(begin, "WINDOW", 20)
    stage = Stage()
    await stage.fences(1_000)
    await stage.checkpoint(990)
    assert await stage.begin() == 990
    assert stage.log.read_count < 200


async def test_a_checkpoint_that_speaks_of_the_future_is_none() -> None:
    stage = Stage()
    await stage.fences(4)
    states = stage.states
    await stage.fences(4)
    other = CountedLog()
    for offset, payload in await stage.log.read(Offset(0)):
        if offset == 4:
            for record in split_state(Offset(7), states[7]):
                await other.append(encode_log_record(record))
        await other.append(payload)
    stage.log = other
    assert await stage.begin() == 0


async def test_who_wants_all_that_is_kept_begins_at_the_first_checkpoint_of_a_cut_log() -> None:
    stage = Stage()
    await stage.fences(10)
    assert await find_first(stage.log, decode_gtl_record) is None
    for at in (3, 6, 8):
        await stage.checkpoint(at)
    assert await find_first(stage.log, decode_gtl_record) is None
    await stage.log.cut(Offset(5))
    assert await find_first(stage.log, decode_gtl_record) == Begin(Offset(6), stage.states[6])
    await stage.log.cut(Offset(9))
    with pytest.raises(LogError, match="begins at offset 9 and holds no whole checkpoint"):
        await find_first(stage.log, decode_gtl_record)


async def test_a_cut_log_is_begun_at_a_checkpoint_at_or_above_its_start() -> None:
    stage = Stage()
    await stage.fences(10)
    await stage.checkpoint(4)
    await stage.checkpoint(8)
    for start in (4, 6, 8):  # at 6: a cut at 8 that was broken off
        await stage.log.cut(Offset(start))
        assert await stage.begin() == 8
    assert await stage.begin(8) == 8


async def test_a_reader_that_is_older_than_the_log_is_told_what_to_do() -> None:
    stage = Stage()
    await stage.fences(10)
    await stage.checkpoint(8)
    await stage.log.cut(Offset(8))
    with pytest.raises(
        LogError, match=r"log gtl begins at offset 8, this reader has to go on at 5, .*grit realm rebuild"
    ):
        await stage.begin(5)


async def test_a_cut_log_without_a_whole_checkpoint_is_refused() -> None:
    stage = Stage()
    await stage.fences(10)
    await stage.put(stage.parts(8)[0])
    await stage.log.cut(Offset(8))
    with pytest.raises(LogError, match="log gtl begins at offset 8 and holds no whole checkpoint from there"):
        await stage.begin()


async def test_a_log_that_is_cut_while_it_is_looked_through_is_looked_through_again() -> None:
    stage = Stage()
    await stage.fences(10)
    await stage.checkpoint(8)
    stage.log = CutInTheMiddle(stage.log)
    assert await stage.begin() == 8


class CutInTheMiddle(CountedLog):
    """The same records; cut at 8 by somebody, after the first look at its start."""

    def __init__(self, log: CountedLog) -> None:
        super().__init__()
        self._payloads = log._payloads

    async def start(self) -> Offset:
        """Tell the start, and let the cut happen."""
        start = await super().start()
        await self.cut(Offset(8))
        return start


def folded_by(listener: Listener) -> GtlFold:
    """Return the fold of what a follower reported."""
    fold = GtlFold()
    for event in listener.events:
        if isinstance(event, LogBegan):
            fold.load(event.state)
        elif isinstance(event, LogFolded):
            for offset, record in event.records:
                assert not isinstance(record, int)
                fold.apply(offset, record)  # type: ignore[arg-type] # of a global log
    return fold


async def test_a_follower_reports_the_checkpoint_and_then_every_record_from_there() -> None:
    stage = Stage()
    await stage.fences(6)
    await stage.checkpoint(4)
    async with following(stage.log) as (follower, listener):
        await listener.until(lambda: len(listener.records) == 4)
        assert listener.events[0] == LogBegan(GTL, stage.states[4])
        assert [offset for offset, _ in listener.records] == [4, 5, 6, 7]
        assert follower.offset == 8
        await stage.fences(1)
        await listener.until(lambda: len(listener.records) == 5)
        assert folded_by(listener).dump() == stage.fold.dump()
