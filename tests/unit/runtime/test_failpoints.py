"""Failpoints act at the passing that was told, once, and are read strictly."""

import os
import signal
import subprocess
import sys

import pytest

from grit.core.errors import ConfigError
from grit.core.ids import Csn, Epoch, Millis
from grit.core.records import Commits, Resign
from grit.runtime.failpoints import (
    EXIT_STATUS,
    Action,
    Failpoint,
    FailpointReached,
    Failpoints,
    act_on_process,
    parse_failpoints,
)
from grit.runtime.follow import record_name


def test_a_list_of_failpoints_is_parsed_with_the_first_passing_as_default() -> None:
    assert parse_failpoints("a.b=kill@17, c=stop,") == (Failpoint("a.b", Action.KILL, 17), Failpoint("c", Action.STOP))


@pytest.mark.parametrize("piece", ["a", "=kill", "a=burn", "a=kill@", "a=kill@0", "a=kill@x", "a=kill@-1"])
def test_a_piece_that_makes_no_sense_is_named(piece: str) -> None:
    with pytest.raises(ConfigError, match="GRIT_FAILPOINTS: '" + piece):
        parse_failpoints(f"ok=exit,{piece}")


def test_a_failpoint_acts_on_its_passing_only() -> None:
    acted: list[Failpoint] = []
    armed = Failpoints(parse_failpoints("a=error@2,b=stop"), acted.append)
    armed("other")
    armed("a")
    assert acted == []
    armed("a")
    armed("a")
    assert acted == [Failpoint("a", Action.ERROR, 2)]


def test_error_is_an_exception_that_names_the_place() -> None:
    with pytest.raises(FailpointReached, match="failpoint a, passing 2"):
        act_on_process(Failpoint("a", Action.ERROR, 2))


@pytest.mark.parametrize(("action", "status"), [("kill", -signal.SIGKILL), ("exit", EXIT_STATUS)])
def test_a_process_ends_where_it_was_told_to(action: str, status: int) -> None:
    code = "from grit.runtime.failpoints import failpoint\nfailpoint('x'); print('once', flush=True); failpoint('x')"
    environment = {**os.environ, "GRIT_FAILPOINTS": f"x={action}@2"}
    ended = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, timeout=30, check=False)
    assert (ended.returncode, ended.stdout) == (status, b"once\n")


def test_a_place_after_sending_is_passed_once_the_loop_has_turned() -> None:
    code = """
import asyncio
from grit.runtime.failpoints import failpoint_once_sent

async def send():
    failpoint_once_sent("x")
    print("this turn goes on", flush=True)
    await asyncio.sleep(30)

asyncio.run(send())
"""
    environment = {**os.environ, "GRIT_FAILPOINTS": "x=kill"}
    ended = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, timeout=30, check=False)
    assert (ended.returncode, ended.stdout) == (-signal.SIGKILL, b"this turn goes on\n")


def test_a_record_of_a_leader_that_carries_nothing_is_a_renewal() -> None:
    assert record_name(Commits(Epoch(1), Csn(1), Millis(0), ())) == "Renewal"
    assert record_name(Resign(Epoch(1))) == "Resign"
