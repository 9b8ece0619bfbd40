"""`grit log cut`: give up what of the global log nobody needs any more."""

import sys
from pathlib import Path

import click

from grit.cli.config_option import config_option, read_config
from grit.cli.cutting import Plan, cut_gtl, plan_gtl_cut
from grit.cli.log_files import run_looking


@click.command("cut")
@config_option
@click.option("--yes", is_flag=True, help="Do not ask.")
def log_cut(config_path: Path, *, yes: bool) -> None:
    """Cut the global log where every realm has merged what lies below, behind a checkpoint that is proved first.

    May be asked while the system runs. What is cut is gone: transactions of that time can no longer be shown, nor checked.
    The logs of realms are not cut. The file does not shrink; what is appended takes the place that comes free.
    """
    config = read_config(config_path)
    plan = run_looking(plan_gtl_cut(config))
    click.echo(_intent(plan))
    if plan.cut <= plan.start:
        return
    if not yes:
        if not sys.stdin.isatty():
            raise click.UsageError("there is nobody to ask here: give --yes")
        click.confirm("Cut it?", abort=True)
    run_looking(cut_gtl(config, plan))
    click.echo(f"cut: the global log begins at offset {plan.cut:,}")


def _intent(plan: Plan) -> str:
    kept = f"the global log holds offsets {plan.start:,} to {plan.end - 1:,}"
    if plan.cut <= plan.start:
        return f"{kept}; nothing can be cut: realm {plan.holds_back} has merged it up to {plan.cut:,} only"
    count = plan.cut - plan.start
    return f"{kept}; {count:,} records below {plan.cut:,} can go: every realm has merged them (the last: {plan.holds_back})"
