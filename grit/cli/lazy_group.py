"""Commands that are imported when they are called, so that `grit --help` answers at once."""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module

import click

from grit.core.spelling import unknown_name


@dataclass(frozen=True)
class Lazy:
    """A command in a module: `target` is "package.module:name"; `summary` stands in the list of commands."""

    target: str
    summary: str

    def load(self, name: str) -> click.Command:
        """Import the module and return the command."""
        module, _, attribute = self.target.partition(":")
        command = getattr(import_module(module), attribute)
        assert isinstance(command, click.Command), f"{self.target} is the command {name}"
        return command


@dataclass(frozen=True)
class Family:
    """Commands below one word, such as `grit log dump`."""

    summary: str
    commands: "CommandTable"

    def load(self, name: str) -> click.Command:
        """Return the group of them."""
        return LazyGroup(self.commands, name=name, summary=self.summary, params=[])


CommandTable = Mapping[str, Lazy | Family]


class LazyGroup(click.Group):
    """A group that knows its commands by a table."""

    def __init__(self, table: CommandTable, *, name: str, summary: str, params: list[click.Parameter]) -> None:
        super().__init__(name=name, help=summary, no_args_is_help=False, params=params)
        self._table = table

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names in the order of the table."""
        return list(self._table)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import and return a command; None when there is none of that name."""
        entry = self._table.get(cmd_name)
        return None if entry is None else entry.load(cmd_name)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command that the arguments begin with.

        Raises:
            click.UsageError: There is none; says the likeliest spelling.
        """
        word = args[0]
        if word not in self._table and not word.startswith("-"):
            ctx.fail(f'there is no command "{word}"{unknown_name(word, self._table)}')
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of commands without importing any."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, entry.summary) for name, entry in self._table.items()])
