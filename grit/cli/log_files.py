"""Logs that are there: for commands that look at a deployment from outside."""

from collections.abc import Coroutine
from pathlib import Path
from typing import Any, TypeVar

import click

from grit.config.model import Config
from grit.core.errors import ConfigError
from grit.log.open import open_log
from grit.log.port import Log, LogUnavailable
from grit.runtime.run import run
from grit.store.port import StoreUnavailable

GTL = "gtl"

_Result = TypeVar("_Result")


def log_names(config: Config) -> list[str]:
    """Return the names of a deployment's logs: the global one first, then the realms' in the order of the file."""
    return [GTL, *(f"dbtl.{realm}" for realm in config.realms)]


async def open_existing(config: Config, name: str) -> Log:
    """Open a log that exists. To open one that is missing would make it, and an empty log says nothing.

    Raises:
        ConfigError: There is none, or it is in the memory of a process.
        LogError: As `open_log`; LogUnavailable too.
    """
    if config.log.kind == "memory":
        raise ConfigError(
            f"{config.source}: the logs are in the memory of a process: they cannot be checked from outside"
        )
    if config.log.path is not None:
        _expect_file(config.log.path / f"{name}.log.db")
    return await open_log(config.log, name, is_new_allowed=False)


def run_looking(work: Coroutine[Any, Any, _Result]) -> _Result:
    """Run what only looks at logs and databases.

    Raises:
        click.ClickException: One of them cannot be reached now.
    """
    try:
        return run(work)
    except (LogUnavailable, StoreUnavailable) as error:
        raise click.ClickException(str(error)) from error


def _expect_file(path: Path) -> None:
    if not path.exists():
        raise ConfigError(f"{path}: no such log: has this deployment ever run, and here?")
