"""The parts of the demo: processes, ports, configuration, metrics, verdicts."""

import asyncio
import re
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console

from sample_services.demo import deployment
from sample_services.demo.deployment import CATALOGUE, filled, free_ports
from sample_services.demo.metrics import fetch_metrics, parse_metrics
from sample_services.demo.processes import Died, Process
from sample_services.demo.verdict import Checked, show_verdict

LIMIT_S = 20
SLEEPER = [sys.executable, "-c", "import time; print('up', flush=True); time.sleep(600)"]


def make(tmp_path: Path, command: list[str]) -> tuple[Process, "asyncio.Queue[Died]"]:
    deaths: asyncio.Queue[Died] = asyncio.Queue()
    return Process("player x", command, tmp_path / "x.log", deaths.put_nowait), deaths


async def until_busy(process: Process) -> None:
    while True:
        if process.cpu_s() >= 0.05:
            return
        await asyncio.sleep(0.01)


async def test_a_process_that_ends_by_itself_is_reported_with_the_end_of_its_log(tmp_path: Path) -> None:
    process, deaths = make(tmp_path, [sys.executable, "-c", "print('port in use'); raise SystemExit(3)"])
    await process.start()
    async with asyncio.timeout(LIMIT_S):
        died = await deaths.get()
    assert "player x ended with status 3" in str(died)
    assert "port in use" in str(died)


@pytest.mark.parametrize("way", ["kill", "stop"])
async def test_a_process_that_was_ended_on_purpose_is_not_reported_and_can_start_again(
    tmp_path: Path, way: str
) -> None:
    process, deaths = make(tmp_path, SLEEPER)
    async with asyncio.timeout(LIMIT_S):
        await process.start()
        await getattr(process, way)()
        await process.start()
        await process.stop()
    assert deaths.empty()


async def test_stopping_what_was_never_started_or_is_gone_is_harmless(tmp_path: Path) -> None:
    process, deaths = make(tmp_path, [sys.executable, "-c", ""])
    async with asyncio.timeout(LIMIT_S):
        await process.stop()
        await process.start()
        await deaths.get()
        await process.stop()


async def test_cpu_seconds_of_a_killed_process_still_count(tmp_path: Path) -> None:
    busy = "import itertools\nfor n in itertools.count(): print(n)"
    process, _ = make(tmp_path, [sys.executable, "-c", busy])
    async with asyncio.timeout(LIMIT_S):
        await process.start()
        await until_busy(process)
        await process.kill()
    assert process.cpu_s() >= 0.05


def test_free_ports_are_all_different() -> None:
    ports = free_ports(40)
    assert len(set(ports)) == 40


def test_a_port_that_another_process_reserved_is_not_free(monkeypatch: pytest.MonkeyPatch) -> None:
    program = "from sample_services.demo.deployment import free_ports; print(*free_ports(1), flush=True); input()"
    with subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None
        port = int(other.stdout.readline())
        monkeypatch.setattr(deployment, "PORTS", [port])
        assert free_ports(1) == []
        other.communicate("\n")
    assert free_ports(1) == [port]


def test_a_filled_configuration_has_the_given_addresses_and_no_other_change() -> None:
    text = CATALOGUE.read_text(encoding="utf-8")
    names = re.findall(r"\$\{([A-Z_]+)", text)
    full = filled(text, {name: f"127.0.0.1:{number}" for number, name in enumerate(names, 1)})
    assert "$" not in full
    assert full.count("127.0.0.1:") == len(names)
    assert filled(text, {}) == text


def test_metrics_are_read_with_their_labels() -> None:
    text = '# HELP x y\ngrit_dbtm_lag{realm="a"} 3.0\ngrit_sidecar_ended_total{code="TOO_OLD",x="y"} 1e1\nnonsense\n'
    assert [tuple(sample) for sample in parse_metrics(text)] == [
        ("grit_dbtm_lag", {"realm": "a"}, 3.0),
        ("grit_sidecar_ended_total", {"code": "TOO_OLD", "x": "y"}, 10.0),
    ]


async def test_a_dead_process_tells_no_metrics() -> None:
    assert await fetch_metrics(("127.0.0.1", free_ports(1)[0])) == []


@pytest.mark.parametrize(
    ("status", "output", "violations"),
    [
        (0, "note: x\nVALID 12 transactions 0 findings\n", 0),
        (1, "R1 ...\nINVALID 12 transactions 3 findings\n", 3),
        (2, "UNKNOWN 0 transactions 0 findings\n", 1),
        (3, "grit: no such file\n", 1),
        (3, "", 1),
    ],
)
def test_a_check_that_could_not_say_that_all_is_well_is_a_violation(status: int, output: str, violations: int) -> None:
    assert Checked("rules", [], status, output).violations == violations


def test_orders_that_were_lost_are_counted_and_are_violations(capsys: pytest.CaptureFixture[str]) -> None:
    checks = [
        Checked("orders", [], 1, "2 orders were acknowledged\nINVALID 9 transactions 1 findings\n", lost=2),
        Checked("rules", [], 0, "VALID 9 transactions 0 findings\n"),
    ]
    assert show_verdict(Console(width=120), checks) == 3
    assert "\n2 lost, 1 violations\n" in capsys.readouterr().out
