"""The event loop of a process."""

import asyncio

import pytest
import uvloop

from grit.runtime.run import run


async def running_loop() -> asyncio.AbstractEventLoop:
    return asyncio.get_running_loop()


def test_a_process_runs_on_uvloop_where_it_is_installed() -> None:
    assert isinstance(run(running_loop()), uvloop.Loop)


def test_what_main_raises_is_raised() -> None:
    async def main() -> None:
        raise KeyError("x")

    with pytest.raises(KeyError):
        run(main())
