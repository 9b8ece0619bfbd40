"""The elector by file locks: one holds a seat, its end gives it up, and whatever goes wrong with it stops nobody."""

import asyncio
import fcntl
import os
import subprocess
import sys
from pathlib import Path

import pytest

from grit.core.errors import ConfigError
from grit.runtime.electors.file_lock import FileElector
from grit.runtime.electors.port import Candidacy, SeatCallbacks

LIMIT_S = 20.0
HOLD = """
import fcntl, os, sys
file = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT)
fcntl.flock(file, fcntl.LOCK_EX)
os.write(file, b"other\\n")
print("held", flush=True)
sys.stdin.read()
"""


class Candidate:
    """Stands, and remembers what it was told."""

    def __init__(self, folder: Path, name: str) -> None:
        self.won: asyncio.Queue[str] = asyncio.Queue()
        callbacks = SeatCallbacks(self.won.put_nowait, lambda: self.won.put_nowait("lost"))
        self.candidacy: Candidacy = FileElector(folder).stand("gtm", name, callbacks)

    async def former(self) -> str:
        """Wait until it has won; return who held the seat before."""
        async with asyncio.timeout(LIMIT_S):
            return await self.won.get()


async def test_one_holds_the_seat_and_the_next_is_told_whose_it_was(tmp_path: Path) -> None:
    first = Candidate(tmp_path / "new" / "folder", "a:1")
    assert await first.former() == ""
    second = Candidate(tmp_path / "new" / "folder", "b:2")
    third = asyncio.create_task(second.former())
    await first.candidacy.close()
    assert await third == "a:1"
    await second.candidacy.close()


async def test_nobody_else_wins_while_it_is_held(tmp_path: Path) -> None:
    first = Candidate(tmp_path, "a:1")
    await first.former()
    file = os.open(tmp_path / "gtm.lock", os.O_RDWR)
    with pytest.raises(BlockingIOError):
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    os.close(file)
    await first.candidacy.close()


async def test_the_seat_of_a_process_that_is_killed_is_free(tmp_path: Path) -> None:
    command = [sys.executable, "-c", HOLD, str(tmp_path / "gtm.lock")]
    holder = await asyncio.create_subprocess_exec(*command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert holder.stdout is not None
    assert await holder.stdout.readline() == b"held\n"
    candidate = Candidate(tmp_path, "a:1")
    won = asyncio.create_task(candidate.former())
    holder.kill()
    await holder.wait()
    assert await won == "other"
    await candidate.candidacy.close()


async def test_who_steps_back_lets_the_other_go_first_and_stands_again(tmp_path: Path) -> None:
    first, second = Candidate(tmp_path, "a:1"), Candidate(tmp_path, "b:2")
    await first.former()
    first.candidacy.step_back()
    assert await second.former() == "a:1"
    await second.candidacy.close()
    assert await first.former() == "b:2"
    await first.candidacy.close()


async def test_a_candidacy_that_was_given_up_wins_nothing_any_more(tmp_path: Path) -> None:
    first, second = Candidate(tmp_path, "a:1"), Candidate(tmp_path, "b:2")
    await first.former()
    await second.candidacy.close()
    await second.candidacy.close()
    await first.candidacy.close()
    third = Candidate(tmp_path, "c:3")
    assert await third.former() == "a:1"
    assert second.won.empty()
    await third.candidacy.close()


async def test_who_has_left_does_not_stand_again_when_told_to_step_back(tmp_path: Path) -> None:
    candidate = Candidate(tmp_path, "a:1")
    await candidate.former()
    await candidate.candidacy.close()
    candidate.candidacy.step_back()
    assert [task for task in asyncio.all_tasks() if task.get_name() == "stand for gtm.lock"] == []


async def test_a_seat_that_cannot_be_had_is_tried_again_and_then_won(tmp_path: Path) -> None:
    (tmp_path / "gtm.lock").mkdir()
    candidate = Candidate(tmp_path, "a:1")
    won = asyncio.create_task(candidate.former())
    await asyncio.sleep(0)
    (tmp_path / "gtm.lock").rmdir()
    assert await won == ""
    await candidate.candidacy.close()


def test_a_folder_that_cannot_be_made_is_refused_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match=r"^elector: the folder .*file/below cannot be made: Not a directory$"):
        FileElector(tmp_path / "file" / "below")
