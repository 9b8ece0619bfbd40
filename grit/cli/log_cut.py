"""`grit log cut`: give up what of a log nobody needs any more."""

import sys
from pathlib import Path

import click

from grit.cli.config_option import config_option, read_config
from grit.cli.cutting import Plan, cut_log, plan_dbtl_cut, plan_gtl_cut
from grit.cli.log_files import run_looking
from grit.cli.realm_rebuild import expect_embedded


@click.command("cut")
@click.argument("realm", required=False)
@config_option
@click.option(
    "--checkpoint", type=click.Path(path_type=Path), help="Of the database of REALM; its log is cut where it begins."
)
@click.option("--yes", is_flag=True, help="Do not ask.")
def log_cut(realm: str | None, config_path: Path, *, checkpoint: Path | None, yes: bool) -> None:
    """Cut the global log where every realm has merged what lies below, or the log of REALM where a checkpoint of its database begins.

    A checkpoint of the log is written there and proved first. May be asked while the system runs. What is cut is gone:
    transactions of that time can no longer be shown, nor checked, and a database can be built anew only from that checkpoint
    or a newer one. The file does not shrink; what is appended takes the place that comes free.
    """
    if (realm is None) != (checkpoint is None):
        raise click.UsageError(
            "the log of a realm is cut by a checkpoint of its database: give REALM and --checkpoint, or neither"
        )
    config = read_config(config_path)
    if realm is None or checkpoint is None:
        plan = run_looking(plan_gtl_cut(config))
    else:
        plan = run_looking(plan_dbtl_cut(config, expect_embedded(config, realm), checkpoint))
    click.echo(_intent(plan))
    if plan.cut <= plan.start:
        return
    if not yes:
        if not sys.stdin.isatty():
            raise click.UsageError("there is nobody to ask here: give --yes")
        click.confirm("Cut it?", abort=True)
    run_looking(cut_log(config, plan))
    click.echo(f"cut: log {plan.log} begins at offset {plan.cut:,}")


def _intent(plan: Plan) -> str:
    kept = f"log {plan.log} holds offsets {plan.start:,} to {plan.end - 1:,}"
    if plan.cut <= plan.start:
        return f"{kept}; nothing can be cut: {plan.holds_back} up to {plan.cut:,} only"
    count = plan.cut - plan.start
    return f"{kept}; {count:,} records below {plan.cut:,} can go ({plan.holds_back})"
