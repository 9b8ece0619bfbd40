"""What `grit check` says of the run, and the numbers of it."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.table import Table

from sample_services.demo.acknowledged import Judgement, judge_acknowledged
from sample_services.demo.deployment import RULES, Deployment
from sample_services.load.course import bars
from sample_services.load.tally import Tally

CHECK_S_MAX = 120.0
_SHOWN_LINES = 20


@dataclass(frozen=True)
class Checked:
    """One check: the command, its exit status (0: nothing found), what it printed, and how many orders it missed."""

    title: str
    command: Sequence[str]
    status: int
    output: str
    lost: int = 0

    @property
    def last_line(self) -> str:
        """Return the verdict: VALID, INVALID or UNKNOWN, and counts."""
        return (self.output.strip().splitlines() or [f"ended with status {self.status} and said nothing"])[-1]

    @property
    def violations(self) -> int:
        """Return how many findings there are; at least 1 when it could not say that there is none."""
        words = self.last_line.split()
        counted = int(words[-2]) if len(words) >= 5 and words[-1] == "findings" and words[-2].isdigit() else 0
        return counted if self.status == 0 else max(1, counted)


async def check_all(deployment: Deployment, tally: Tally) -> list[Checked]:
    """Check what clients were told; then, when even that reading is over, rules, logs and databases at once."""
    config = str(deployment.config)
    acknowledged = await _check_acknowledged(deployment, tally)
    return [
        acknowledged,
        *await asyncio.gather(
            _check("rules R1 R2 R3 R4 R6 R7", deployment.command("check", "app", str(RULES), config)),
            _check("logs", deployment.command("check", "log", config, "--quiesced")),
            _check("databases", deployment.command("check", "state", config)),
        ),
    ]


async def _check_acknowledged(deployment: Deployment, tally: Tally) -> Checked:
    judgement: Judgement = await judge_acknowledged(deployment.sidecar, tally.orders, unknown=tally.unknown_checkouts)
    problems = judgement.problems
    verdict = "INVALID" if problems else "VALID"
    output = "\n".join([*problems, f"{verdict} {len(tally.orders)} transactions {len(problems)} findings"])
    return Checked("acknowledged orders", (), int(bool(problems)), output, judgement.lost)


async def _check(title: str, command: Sequence[str]) -> Checked:
    process = await asyncio.create_subprocess_exec(
        *command, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    try:
        async with asyncio.timeout(CHECK_S_MAX):
            output, _ = await process.communicate()
    except TimeoutError:
        return Checked(title, command, 2, f"no answer within {CHECK_S_MAX:.0f} s")
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    return Checked(title, command, process.returncode or 0, output.decode("utf-8", "replace"))


@dataclass(frozen=True)
class Figures:
    """What was measured: seconds of the load on the wall, checkouts in each, CPU seconds of each process meanwhile."""

    load_s: float
    course: Sequence[float]
    cpu_s: Mapping[str, float]
    aborts: Mapping[str, int]


def show_figures(console: Console, tally: Tally, figures: Figures) -> None:
    """Print the numbers of the load."""
    commits = sum(tally.committed.values())
    table = Table(show_header=False, title="the load", title_justify="left")
    table.add_row("checkouts", f"{tally.checkouts:,} committed in {figures.load_s:.1f} s")
    table.add_row(
        "rate", f"{tally.checkouts / figures.load_s:.0f} checkouts/s, {commits / figures.load_s:.0f} transactions/s"
    )
    table.add_row(
        "checkouts in each second", f"{bars(figures.course)} the highest is {max(figures.course, default=0):.0f}"
    )
    table.add_row(
        "latency of a checkout", f"p50 {tally.percentile_ms(0.5):.0f} ms, p99 {tally.percentile_ms(0.99):.0f} ms"
    )
    for name, counts in (
        ("committed", tally.committed),
        ("refused by the shop", tally.refused),
        ("aborted and run again", figures.aborts),
        ("given up", tally.aborted),
        ("outcome unknown", tally.unknown),
    ):
        table.add_row(name, ", ".join(f"{key} {count:,}" for key, count in sorted(counts.items()) if count) or "none")
    table.add_row("retries", f"{tally.retries:,}")
    console.print(table)
    _show_cpu(console, figures.cpu_s, commits)


def _show_cpu(console: Console, cpu_s: Mapping[str, float], commits: int) -> None:
    table = Table(title="CPU", title_justify="left")
    for heading in ("process", "seconds", "ms per commit"):
        table.add_column(heading, justify="left" if heading == "process" else "right")
    for name, seconds in cpu_s.items():
        table.add_row(name, f"{seconds:.2f}", f"{1000 * seconds / commits:.2f}")
    total = sum(cpu_s.values())
    table.add_row("all", f"{total:.2f}", f"{1000 * total / commits:.2f}")
    console.print(table)


def show_verdict(console: Console, checks: Sequence[Checked]) -> int:
    """Print what the checks found; return how many violations there are. Each order that was lost is one of its own."""
    table = Table(title="grit check", title_justify="left")
    for heading in ("what", "verdict"):
        table.add_column(heading)
    for one in checks:
        table.add_row(one.title, one.last_line)
    console.print(table)
    for one in checks:
        if one.status:
            console.print(f"{one.title}, status {one.status}:", markup=False)
            console.print("\n".join(one.output.splitlines()[:_SHOWN_LINES]), markup=False, soft_wrap=True)
    lost, violations = sum(one.lost for one in checks), sum(one.violations for one in checks)
    style = "bold red" if lost or violations else "bold green"
    console.print(f"{lost} lost, {violations} violations", style=style, highlight=False)
    return lost + violations


def show_next_steps(console: Console, deployment: Deployment, tally: Tally) -> None:
    """Print what to look at next."""
    grit, config = deployment.command()[0], deployment.config
    steps = {
        "the rules again; they are SQL": f"{grit} check app {RULES} {config}",
        "the same rules on the past": f"{grit} check app {RULES} {config} --at {max(1, tally.checkouts // 2)}",
        "each database against its log": f"{grit} check state {config}",
        "all of one checkout, in five databases": f"{grit} txn show {next(reversed(tally.orders.values()))} -c {config}",
        "the global log": f"{grit} log dump gtl -c {config}",
        "what every process had to say": str(deployment.logs),
        "the databases, and in log the logs": str(deployment.folder / "var"),
    }
    lines = [f"  # {what}\n  {how}" for what, how in steps.items()]
    text = "\n".join(["", f"what to look at next, all of it in {deployment.folder}:", *lines])
    console.print(text, markup=False, highlight=False, soft_wrap=True)
