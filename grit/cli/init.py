"""`grit init DIR`."""

from pathlib import Path

import click

from grit.cli.project import PROJECT_FILES
from grit.core.errors import ConfigError


@click.command("init")
@click.argument("directory", type=click.Path(path_type=Path))
def init(directory: Path) -> None:
    """Start a project in DIRECTORY: grit.yaml, an example that runs, and how to run it."""
    start_project(directory)
    click.echo(f"{directory}: wrote {', '.join(PROJECT_FILES)}")
    click.echo(f"next: cd {directory} && grit dev grit.yaml, and in another terminal: python app.py")


def start_project(directory: Path) -> None:
    """Write the files of a new project; the folder is made where it is missing.

    Raises:
        ConfigError: One of the files exists; nothing was written.
        OSError: The folder cannot be written.
    """
    for name in PROJECT_FILES:
        if (directory / name).exists():
            raise ConfigError(
                f"{directory / name}: exists already, nothing was written; choose another folder or move it"
            )
    directory.mkdir(parents=True, exist_ok=True)
    for name, text in PROJECT_FILES.items():
        # "x": a file that appeared meanwhile is not overwritten.
        with (directory / name).open("x", encoding="utf-8") as file:
            file.write(text)
