"""The demo as a user runs it: real processes, some of which are killed, no violation, and nothing left running."""

import json
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
GRIT = Path(sys.executable).with_name("grit")
LIMIT_S = 150
LEADERS = ("gtm", "dbtm orders")

pytestmark = [pytest.mark.timeout(LIMIT_S + 20), pytest.mark.xdist_group("demo")]


@contextmanager
def demo(folder: Path, *options: str) -> "Iterator[subprocess.Popen[str]]":
    """Start the demo; whatever happens, it is ended as Ctrl-C would, and then must leave nothing behind."""
    command = [sys.executable, "-m", "sample_services.demo", "--dir", str(folder), "--clients", "8", *options]
    with subprocess.Popen(
        command,
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "COLUMNS": "120"},
    ) as process:
        try:
            yield process
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGINT)
                process.wait(LIMIT_S)
    assert processes_of(folder) == {}


def processes_of(folder: Path) -> dict[int, str]:
    """Return id -> command line of the processes that run on a configuration in this folder."""
    found: dict[int, str] = {}
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes().decode("utf-8", "replace").replace("\0", " ")
        except OSError:
            continue
        if f"-c {folder}/grit.yaml" in words:
            found[int(path.parent.name)] = words
    return found


def read_until(process: "subprocess.Popen[str]", wanted: str) -> None:
    """Read what it prints up to a line; the test's own limit ends the wait."""
    assert process.stdout is not None
    seen: list[str] = []
    for line in process.stdout:
        seen.append(line)
        if wanted in line:
            return
    pytest.fail(f"{wanted!r} was never printed:\n{''.join(seen)}")


def spans_by_trace(path: Path) -> dict[str, set[tuple[str, str]]]:
    """Return trace -> (process, name) of its spans."""
    traces: dict[str, set[tuple[str, str]]] = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        span = json.loads(line)
        traces.setdefault(span["trace_id"], set()).add((span["service"], span["name"]))
    return traces


def check(*arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [str(GRIT), "check", *arguments], capture_output=True, text=True, check=False, timeout=LIMIT_S
    )


def test_nothing_is_lost_whoever_is_killed_under_load_and_a_write_past_grit_is_found(tmp_path: Path) -> None:
    folder = tmp_path / "demo"
    history = tmp_path / "history.jsonl"
    others = ["player stock", "sidecar", "payment", "shop"]
    kills = [word for victim in [*LEADERS, *others] for word in ("--kill", victim)]
    with demo(folder, "--checkouts", "140", "--seed", "5", "--history", str(history), *kills) as process:
        output, _ = process.communicate(timeout=LIMIT_S)
    assert process.returncode == 0, output
    assert [role for role in LEADERS if f"{role}: its leader killed (SIGKILL)" not in output] == []
    assert [role for role in LEADERS if f"{role}: the standby leads" not in output] == []
    assert [victim for victim in [*LEADERS, *others] if f"{victim}: started again" not in output] == []
    assert "140 committed" in output
    assert "\n0 lost, 0 violations\n" in output
    assert "outcome unknown" in output
    assert '"type":"ok","f":"checkout"' in history.read_text(encoding="utf-8")

    config = str(folder / "grit.yaml")
    assert check("state", config).returncode == 0
    with sqlite3.connect(folder / "var" / "stock.db") as database:
        database.execute("UPDATE stock_item SET on_hand = on_hand + 1 WHERE product = 'p0'")
    database.close()
    found = check("state", config)
    assert found.returncode == 1, found.stdout + found.stderr
    assert "stock.stock_item/(s0,p0)" in found.stdout
    assert found.stdout.strip().splitlines()[-1].startswith("INVALID")


def test_ctrl_c_stops_every_process(tmp_path: Path) -> None:
    folder = tmp_path / "demo"
    with demo(folder, "--checkouts", "100000") as process:
        read_until(process, "set up in")
        assert len(processes_of(folder)) == 13
        process.send_signal(signal.SIGINT)
        assert process.wait(LIMIT_S) == 3


def test_kept_the_marketplace_goes_on_until_ctrl_c_and_one_trace_tells_all_of_a_checkout(tmp_path: Path) -> None:
    folder, traces = tmp_path / "demo", tmp_path / "spans.jsonl"
    with demo(folder, "--checkouts", "10", "--kill", "player stock", "--keep", "--trace-file", str(traces)) as process:
        read_until(process, "everything runs on")
        status = subprocess.run(
            [str(GRIT), "status", "-c", str(folder / "grit.yaml")], capture_output=True, text=True, check=False
        )
        assert status.returncode == 0, status.stdout + status.stderr
        process.send_signal(signal.SIGINT)
        assert process.wait(LIMIT_S) == 0
    realms = ("cart", "stock", "orders", "payment", "social")
    whole = {("shop", "client.transaction"), ("sidecar", "sidecar.commit"), ("gtm", "gtm.commit")}
    for realm in realms:
        whole |= {(f"dbtm {realm}", "dbtm.vote"), (f"dbtm {realm}", "dbtm.append"), (f"player {realm}", "player.apply")}
    assert [trace for trace in spans_by_trace(traces).values() if whole <= trace] != [], (
        "no checkout is one whole trace"
    )


def test_a_role_that_dies_ends_the_demo_with_the_end_of_its_log(tmp_path: Path) -> None:
    folder = tmp_path / "demo"
    with demo(folder, "--checkouts", "100000") as process:
        read_until(process, "set up in")
        (victim,) = [number for number, words in processes_of(folder).items() if "serve dbtm orders" in words]
        os.kill(victim, signal.SIGKILL)
        output, _ = process.communicate(timeout=LIMIT_S)
    assert process.returncode == 3
    assert "dbtm orders ended with status -9; the end of" in output


def test_a_folder_that_is_not_empty_is_refused_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "mine").touch()
    with demo(tmp_path) as process:
        output, _ = process.communicate(timeout=LIMIT_S)
    assert process.returncode == 3
    assert output.strip() == f"Error: {tmp_path} is not empty: name a new folder"
