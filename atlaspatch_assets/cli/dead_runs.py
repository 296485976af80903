"""``atlaspatch end-dead-runs``: what the sensor of that name does, by hand."""

from pathlib import Path

import click

from atlaspatch_assets.lib.options import DRY_RUN
from atlaspatch_core.cli.declaring import documented_command
from atlaspatch_core.cli.projects import PROJECT, recipe_of_file
from atlaspatch_core.cli.reading import reads_only


@reads_only
@documented_command(
    "end-dead-runs",
    section="Web interface",
    summary="Mark runs as failed whose process is gone",
    examples=(
        "atlaspatch end-dead-runs --dry-run",
        "atlaspatch end-dead-runs",
    ),
)
@PROJECT
@click.option(*DRY_RUN.flags, is_flag=True, help="Only list them.")
def end_dead_runs(project_file: Path, dry_run: bool) -> None:
    """Mark runs of this machine as failed whose process is gone: killed, or the machine went down.

    Such runs keep their places in pools, and others wait. Where the daemon runs, the sensor of this name does it within
    a minute. What they had finished stays; a daemon starts them again, and they reuse it.

    Exit code: 0, also when there was none; 2 for wrong usage.
    """
    import dagster as dg

    from atlaspatch_assets.definitions import build_definitions
    from atlaspatch_assets.lib import dead_runs
    from atlaspatch_assets.lib.home import dagster_home
    from atlaspatch_assets.lib.run_executor import locked_jobs

    definitions = build_definitions(recipe_of_file(project_file).project)
    dagster_home()
    jobs = locked_jobs(definitions.get_repository_def())
    with dg.DagsterInstance.get() as instance:
        runs = dead_runs.dead_runs(instance, jobs) if dry_run else dead_runs.end_dead_runs(instance, jobs)
    for run in runs:
        click.echo(f"{run.run_id} {run.job_name}: {run.status}, and its process is gone")
    many = "1 dead run" if len(runs) == 1 else f"{len(runs)} dead runs"
    click.echo(many if dry_run else f"{many} ended")
