"""Several calls at once."""

import asyncio
from collections.abc import Coroutine
from typing import Any


async def together(*calls: Coroutine[Any, Any, Any]) -> None:
    """Make calls at the same time; when one fails end the others, and raise what that one raised.

    A task group raises a group of errors; a transaction is run again for the one that says so.
    """
    tasks = [asyncio.ensure_future(call) for call in calls]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
