"""How an unexpected exception reaches the supervisor of the process, from wherever it happens.

The one sink is the exception handler of the running event loop: asyncio already sends there what callbacks
and protocols raise, and `grit.runtime.supervisor` installs it. So nobody else needs to know a supervisor.
"""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

FATAL = "grit_fatal"
"""Key of the exception handler's context: this one must end the process, whatever its type."""

_Result = TypeVar("_Result")


def report_fatal(error: BaseException, *, place: str) -> None:
    """Hand `error` to the exception handler of the running event loop, as one that ends the process.

    Args:
        error: What was raised.
        place: Where, for people: `step of PeerHeard`.
    """
    asyncio.get_running_loop().call_exception_handler({"message": place, "exception": error, FATAL: True})


def spawn(work: Coroutine[Any, Any, _Result], *, name: str) -> asyncio.Task[_Result]:
    """Run `work` as a task of the running event loop; what it raises is fatal, and reported at once.

    A plain task reports an exception only when somebody awaits it or the collector finds it. The caller keeps the
    task (the event loop holds it weakly) and cancels it when it closes; being cancelled is no failure.
    """
    task = asyncio.get_running_loop().create_task(work, name=name)
    task.add_done_callback(_report_failure)
    return task


def _report_failure(task: asyncio.Task[Any]) -> None:
    if task.cancelled():
        return
    error = task.exception()
    if error is not None:
        report_fatal(error, place=f"task {task.get_name()}")
