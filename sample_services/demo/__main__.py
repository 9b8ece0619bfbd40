"""`python -m sample_services.demo`, which is `make demo`."""

import asyncio
import signal
import sys
import tempfile
from pathlib import Path

import click
import grpc
import uvloop
from rich.console import Console

from sample_services.demo.deployment import SERVICES, STANDBYS, role_names
from sample_services.demo.processes import Died
from sample_services.demo.story import VICTIMS, Plan, tell_story

GOOD, FINDING, ENVIRONMENT = 0, 1, 3


class CannotRun(click.ClickException):
    """Ends the demo in one line."""

    exit_code = ENVIRONMENT


@click.command()
@click.option("--checkouts", default=2_000, show_default=True, type=click.IntRange(1), help="How many shall commit.")
@click.option("--clients", default=16, show_default=True, type=click.IntRange(1, 1_000), help="At work at once.")
@click.option("--seed", default=1, show_default=True, help="Decides what customers do.")
@click.option(
    "--kill",
    "victims",
    multiple=True,
    default=VICTIMS,
    show_default=True,
    type=click.Choice([*role_names(), *SERVICES, STANDBYS]),
    help="Who is killed on the way, and of a GTM or a DBTM who leads it then; may be given more than once.",
)
@click.option("--keep", is_flag=True, help="Leave everything running at the end, until Ctrl-C.")
@click.option(
    "--dir", "folder", type=click.Path(path_type=Path), help="A new folder for everything; else a temporary one."
)
@click.option("--trace-file", type=click.Path(path_type=Path), help="Write the spans of all here; slower.")
@click.option("--history", type=click.Path(path_type=Path), help="Write what the clients did here, JSON lines.")
def demo(  # click gives all by name
    *, checkouts: int, clients: int, seed: int, victims: tuple[str, ...], keep: bool, folder: Path | None, trace_file: Path | None,
    history: Path | None,
) -> None:  # fmt: skip
    """Run the marketplace: services, checkouts, killed leaders and a killed log player, and the proof that nothing was lost.

    Exit status: 0 no violation, 1 some, 3 it could not run.
    """
    plan = Plan(
        checkouts=checkouts,
        clients=clients,
        seed=seed,
        victims=victims,
        is_kept=keep,
        trace_file=trace_file and trace_file.absolute(),
        history=history,
    )
    place = new_folder(folder)
    try:
        violations = uvloop.run(_until_told(plan, place))
    except (Died, TimeoutError) as error:
        raise CannotRun(f"{error}\nall logs are in {place / 'log'}") from error
    except grpc.aio.AioRpcError as error:
        raise CannotRun(f"a service failed: {error.details()}; its log is in {place}") from error
    except (KeyboardInterrupt, asyncio.CancelledError) as error:
        raise CannotRun("stopped") from error
    sys.exit(FINDING if violations else GOOD)


async def _until_told(plan: Plan, folder: Path) -> int:
    """Tell the story; SIGTERM ends it as Ctrl-C does, in order."""
    story = asyncio.create_task(tell_story(plan, folder, Console()))
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, cancel_once, story)
    return await story


def cancel_once(story: "asyncio.Task[int]") -> None:
    """Cancel a task; again does nothing, so that an impatient second Ctrl-C leaves no process behind."""
    if not story.cancelling():
        story.cancel()


def new_folder(folder: Path | None) -> Path:
    """Make and return the folder of the run.

    Raises:
        CannotRun: It is not empty, or cannot be made.
    """
    if folder is None:
        return Path(tempfile.mkdtemp(prefix="grit-demo-"))
    try:
        folder.mkdir(parents=True, exist_ok=True)
        has_content = any(folder.iterdir())
    except OSError as error:
        raise CannotRun(f"{folder}: {error.strerror}; name a folder that can be written") from error
    if has_content:
        raise CannotRun(f"{folder} is not empty: name a new folder")
    return folder.absolute()


if __name__ == "__main__":
    demo()
