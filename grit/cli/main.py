"""`grit`: the table of commands, and how every one of them ends.

Exit status: 0 good, 1 a finding, 2 unknown, 3 usage or environment. A command returns its status, None is 0. What
a user can cause ends in one line on stderr, never in a traceback.
"""

import os
import sys
from collections.abc import Sequence
from importlib.metadata import version

import click

from grit.cli.lazy_group import CommandTable, Family, Lazy, LazyGroup
from grit.core.errors import ConfigError, GritError, Kind, LogError, StoreRefused

GOOD, FINDING, UNKNOWN, ENVIRONMENT = 0, 1, 2, 3

COMMANDS: CommandTable = {
    "dev": Lazy("grit.cli.dev:dev", "Run every role in one process: to try, and to develop with."),
    "serve": Lazy("grit.cli.serve:serve", "Run one or more roles of a deployment in this process."),
    "check": Lazy("grit.cli.check:check", "Prove that logs, databases and the rules of an application are in order."),
    "status": Lazy(
        "grit.cli.status:status", "Show leaders, positions, lag, what is pending, and why transactions fail."
    ),
    "log": Family(
        "Read the logs, and cut them.",
        {
            "dump": Lazy("grit.cli.log_dump:log_dump", "Print every record, decoded, and which of them are void."),
            "cut": Lazy("grit.cli.log_cut:log_cut", "Give up what of the global log no realm needs any more."),
        },
    ),
    "txn": Family(
        "Look at one transaction.",
        {"show": Lazy("grit.cli.txn_show:txn_show", "Say what became of it, by the logs, and what it read and wrote.")},
    ),
    "realm": Family(
        "Copy the database of a realm, or build it anew.",
        {
            "rebuild": Lazy("grit.cli.realm_rebuild:realm_rebuild", "Build it anew from its log, and swap it in."),
            "checkpoint": Lazy(
                "grit.cli.realm_checkpoint:realm_checkpoint", "Copy it into a file, to rebuild it from."
            ),
        },
    ),
    "init": Lazy("grit.cli.init:init", "Start a project: a configuration, an example, how to run them."),
    "config": Family(
        "Look at a configuration.",
        {"check": Lazy("grit.cli.config_check:config_check", "Say whether grit.yaml can work, and where it cannot.")},
    ),
}
"""One line a command."""


def main() -> None:
    """Run the command line of this process and exit."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: Sequence[str], commands: CommandTable = COMMANDS) -> int:
    """Run one command and return its exit status; no arguments ask for help."""
    try:
        # Not `main` of click, which ends with status 1, "a finding", when the reader of a pipe leaves.
        group = _group(commands)
        with group.make_context("grit", list(arguments) or ["--help"]) as context:
            status = group.invoke(context)
        sys.stdout.flush()
    except click.exceptions.Exit as error:
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        return _failed("interrupted")
    except click.UsageError as error:
        where = error.ctx.command_path if error.ctx else "grit"
        return _failed(f"{error.format_message().rstrip('.')}; see `{where} --help`")
    except click.ClickException as error:
        return _failed(error.format_message())
    except GritError as error:
        return _failed(str(error), UNKNOWN if error.kind == Kind.OUTCOME_UNKNOWN else ENVIRONMENT)
    except (ConfigError, LogError, StoreRefused) as error:
        return _failed(str(error))
    except BrokenPipeError:
        return _reader_left()
    except OSError as error:
        return _failed(f"{error.filename}: {error.strerror}" if error.filename else str(error))
    return GOOD if status is None else int(status)


def _group(commands: CommandTable) -> click.Group:
    text = "GRIT: strictly serializable transactions over the databases of many microservices."
    shown = click.Option(
        ["--version"], is_flag=True, expose_value=False, is_eager=True, callback=_show_version, help="Show the version."
    )
    return LazyGroup(commands, name="grit", summary=text, params=[shown])


def _show_version(context: click.Context, parameter: click.Parameter, given: bool) -> None:
    if given:
        click.echo(f"grit {version('grit-txn')}")
        context.exit()


def _failed(message: str, status: int = ENVIRONMENT) -> int:
    line = " ".join(message.split())
    click.echo(f"grit: {line}", err=True)
    return status


def _reader_left() -> int:
    """`grit log dump | head` is no error; stdout goes nowhere, so that the interpreter's last flush cannot fail."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return GOOD
