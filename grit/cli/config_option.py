"""The option `-c`, and the one place where the command line reads the environment."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from grit.config.load import load_config
from grit.config.model import Config

DEFAULT_CONFIG = "grit.yaml"

config_option: Callable[[Any], Any] = click.option(
    "-c",
    "--config",
    "config_path",
    type=click.Path(path_type=Path),
    default=Path(DEFAULT_CONFIG),
    show_default=True,
    help="The configuration.",
)


def read_config(path: Path) -> Config:
    """Return the configuration in a file, with the variables of this process.

    Raises:
        ConfigError: It cannot be read, or cannot work.
    """
    return load_config(path, os.environ)
