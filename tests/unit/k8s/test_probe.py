"""The probe of the roles, run as the kubelet runs it, against the real metrics server."""

import asyncio
import sys

import pytest

from grit.telemetry.metrics import Metrics, MetricsServer
from tests.unit.k8s.rendered import BASE, ROOT

PROBE = ROOT / BASE / "probe.py"


async def run_probe(port: str, wanted: str) -> tuple[int | None, str]:
    """Return the exit status and what is told."""
    command = (sys.executable, "-IS", PROBE, port, wanted)
    probe = await asyncio.create_subprocess_exec(*command, stderr=asyncio.subprocess.PIPE)
    _, told = await probe.communicate()
    return probe.returncode, told.decode()


async def probe_role(problem: str, wanted: str) -> tuple[int | None, str]:
    metrics = Metrics()
    metrics.add_check(lambda: problem)
    server = MetricsServer(metrics, "127.0.0.1", 0)
    await server.start()
    try:
        return await run_probe(server.address.rpartition(":")[2], wanted)
    finally:
        await server.close()


@pytest.mark.parametrize("wanted", ["live", "ready"])
async def test_a_role_that_is_well_is_live_and_ready(wanted: str) -> None:
    assert await probe_role("", wanted) == (0, "")


async def test_a_role_that_does_not_lead_is_not_ready_and_says_why() -> None:
    assert await probe_role("gtm is folding", "ready") == (1, "gtm is folding\n")


async def test_a_role_that_does_not_lead_is_live() -> None:
    assert await probe_role("gtm is folding", "live") == (0, "")


@pytest.mark.parametrize("wanted", ["live", "ready"])
async def test_where_nobody_listens_nobody_is_live_or_ready(wanted: str) -> None:
    # Port 0 is nobody's; connecting to it fails at once.
    status, told = await run_probe("0", wanted)
    assert (status, told.startswith("127.0.0.1:0 does not answer: ")) == (1, True)


@pytest.mark.parametrize("wanted", ["live", "ready"])
async def test_whoever_hangs_up_without_an_answer_is_not_live(wanted: str) -> None:
    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        writer.close()

    async with await asyncio.start_server(hang_up, "127.0.0.1", 0) as server:
        status, _ = await run_probe(str(server.sockets[0].getsockname()[1]), wanted)
    assert status == 1
