"""How a process of GRIT runs its event loop."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

_Result = TypeVar("_Result")


def run(main: Coroutine[Any, Any, _Result]) -> _Result:
    """Run `main` to its end on a new event loop, uvloop's where it is installed, and return its result.

    One call a process: `grpc.aio` is bound to the first loop that it meets.
    """
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        return runner.run(main)


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop]:
    try:
        import uvloop
    except ImportError:  # There is no uvloop for Windows and PyPy.
        return asyncio.new_event_loop
    return uvloop.new_event_loop
