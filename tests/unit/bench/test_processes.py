import os
import sys
import threading
import time
from pathlib import Path

import pytest

from bench.processes import DidNotStart, Running, memory_mib, running
from sample_services.demo.processes import cpu_s_of

WAITS = "import signal; print('ready at 1', flush=True); signal.pause()"


def test_a_process_runs_as_long_as_its_block(tmp_path: Path) -> None:
    with running({"one two": [sys.executable, "-c", WAITS]}, tmp_path) as processes:
        one = processes["one two"]
        assert one.wait_for("ready") == "ready at 1"
        assert one.process.poll() is None
        assert one.output == tmp_path / "one-two.out"
    assert one.process.returncode is not None


def test_processes_are_stopped_when_the_block_fails(tmp_path: Path) -> None:
    seen: list[Running] = []

    def fail() -> None:
        with running({"a": [sys.executable, "-c", WAITS]}, tmp_path) as processes:
            seen.append(processes["a"])
            raise ValueError("of the block")

    with pytest.raises(ValueError, match="of the block"):
        fail()
    assert seen[0].process.returncode is not None


def test_a_process_that_ends_too_early_is_told_with_the_end_of_its_output(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "raise SystemExit('no port is free')"]
    with running({"a": command}, tmp_path) as processes:
        processes["a"].process.wait(30)
        with pytest.raises(DidNotStart, match=r"a did not say 'ready': no port is free\n\(ended with status 1\)"):
            processes["a"].wait_for("ready")


def test_cpu_time_of_this_process_and_of_a_thread_of_it_is_told() -> None:
    until = time.process_time() + 0.05
    while time.process_time() < until:
        pass
    assert cpu_s_of(os.getpid()) >= 0.05
    native = threading.main_thread().native_id
    assert 0 <= cpu_s_of(os.getpid(), native) <= cpu_s_of(os.getpid())
    assert memory_mib(os.getpid()) > 1


def test_of_a_process_that_is_gone_there_is_no_cpu_time() -> None:
    assert cpu_s_of(2**22 + 1) == 0.0
    assert memory_mib(2**22 + 1) == 0.0
