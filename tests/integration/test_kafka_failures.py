"""A broker that stops, dies and comes back under a log: what is acknowledged is there, once, in order."""

import asyncio
import os
import signal
from pathlib import Path

import pytest

from grit.core.ids import Offset
from grit.log.kafka import KafkaLog
from grit.log.port import AppendUnknown, LogUnavailable
from tests.contract.log_contract import read_all
from tests.integration.kafka_topics import kafka_up, new_config, stack
from tests.integration.writers import Writers, until

pytestmark = [
    pytest.mark.stack,
    pytest.mark.timeout(180),
    # The driver forgets sockets of clients that it could not make.
    pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning"),
]

LIMIT_S = 120.0


async def test_appends_to_a_broker_that_is_paused_are_unknown_and_later_ones_land_through_a_new_producer() -> None:
    engine = kafka_up()
    log = await KafkaLog.open(new_config(engine), "gtl")
    assert await log.append(b"before") == 0
    os.kill(engine.members[0].pid, signal.SIGSTOP)
    try:
        await until(lambda: _stands_still(engine.members[0].pid))
        outcomes = await asyncio.gather(*(log.append(b"%d" % number) for number in range(3)), return_exceptions=True)
    finally:
        os.kill(engine.members[0].pid, signal.SIGCONT)
    assert [type(outcome) for outcome in outcomes] == [AppendUnknown] * 3
    offset = await _append_until_it_lands(log, b"after")
    rows = await read_all(log)
    assert rows[offset] == (offset, b"after")
    assert rows[0] == (0, b"before")
    await log.close()


async def test_what_was_acknowledged_survives_a_killed_broker_once_and_in_order() -> None:
    config = new_config(kafka_up())
    log = await KafkaLog.open(config, "gtl")
    writers = Writers(log)
    async with asyncio.timeout(LIMIT_S), asyncio.TaskGroup() as tasks:
        writers.start(tasks)
        await writers.more(201)
        await asyncio.to_thread(stack, "kill", "kafka")
        before = len(writers.acknowledged)
        await asyncio.to_thread(stack, "restart", "kafka")
        await until(lambda: len(writers.acknowledged) > before + 200)
        writers.stop()
    await writers.expect_true()
    await log.close()


async def test_a_reader_waits_through_the_restart_of_its_broker() -> None:
    config = new_config(kafka_up())
    log, other = await KafkaLog.open(config, "gtl"), await KafkaLog.open(config, "gtl")
    await log.append(b"a")
    assert await other.wait(Offset(0), timeout_ms=10_000)
    await asyncio.to_thread(stack, "restart", "kafka")
    async with asyncio.timeout(LIMIT_S):
        await _append_until_it_lands(log, b"b")
        while True:
            try:
                if await other.wait(Offset(1), timeout_ms=10_000):
                    break
            except LogUnavailable:
                await asyncio.sleep(0.1)
    assert (await other.read(Offset(1)))[0] == (1, b"b")
    await log.close()
    await other.close()


async def _append_until_it_lands(log: KafkaLog, payload: bytes) -> Offset:
    async with asyncio.timeout(LIMIT_S):
        while True:
            try:
                return await log.append(payload)
            except (AppendUnknown, LogUnavailable):
                await asyncio.sleep(0.1)


def _stands_still(pid: int) -> bool:
    """Tell whether every thread of a process has been stopped: a signal takes its time."""
    states = [path.read_text().rpartition(")")[2].split()[0] for path in Path(f"/proc/{pid}/task").glob("*/stat")]
    return set(states) == {"T"}
