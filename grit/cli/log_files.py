"""Logs as files that are there: for commands that look at a deployment from outside."""

from collections.abc import Coroutine
from pathlib import Path
from typing import Any, TypeVar

import click

from grit.config.model import Config
from grit.core.errors import ConfigError
from grit.log.embedded import EmbeddedLog
from grit.log.port import LogUnavailable
from grit.runtime.run import run
from grit.store.port import StoreUnavailable

GTL = "gtl"

_Result = TypeVar("_Result")


def log_names(config: Config) -> list[str]:
    """Return the names of a deployment's logs: the global one first, then the realms' in the order of the file."""
    return [GTL, *(f"dbtl.{realm}" for realm in config.realms)]


async def open_existing(config: Config, name: str) -> EmbeddedLog:
    """Open a log that exists. To open one that is missing would make it, and an empty log says nothing.

    Raises:
        ConfigError: There is none, or it is in the memory of a process.
        LogError: As `EmbeddedLog.open`; LogUnavailable too.
    """
    return await EmbeddedLog.open(_folder(config, name), name)


def run_looking(work: Coroutine[Any, Any, _Result]) -> _Result:
    """Run what only looks at logs and databases.

    Raises:
        click.ClickException: One of them cannot be reached now.
    """
    try:
        return run(work)
    except (LogUnavailable, StoreUnavailable) as error:
        raise click.ClickException(str(error)) from error


def _folder(config: Config, name: str) -> Path:
    if config.log.path is None:
        raise ConfigError(
            f"{config.source}: the logs are in the memory of a process: they cannot be checked from outside"
        )
    path = config.log.path / f"{name}.log.db"
    if not path.exists():
        raise ConfigError(f"{path}: no such log: has this deployment ever run, and here?")
    return config.log.path
