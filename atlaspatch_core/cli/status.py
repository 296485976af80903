"""``atlaspatch status``: what of a project is fresh, stale, missing or failed, and why."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from atlaspatch_core.cli.declaring import FILE, documented_command, option
from atlaspatch_core.cli.hooks import Hooks
from atlaspatch_core.cli.output_folders import OUTPUT_DIR, named_folder, recorded_folder
from atlaspatch_core.cli.projects import recipe_of_file
from atlaspatch_core.cli.reading import reads_only
from atlaspatch_core.cli.slides import slides_of, tell_former_results
from atlaspatch_core.cli.status_text import (
    COLUMNS,
    as_table,
    as_text,
    of_cases,
    plugin_notes,
    rows,
    run_lines,
    unfinished_lines,
    warning_lines,
)
from atlaspatch_core.discovery.cohorts import COHORTS, stems_of_cohorts
from atlaspatch_core.errors import AtlasPatchError, UnknownName

if TYPE_CHECKING:
    from atlaspatch_core.discovery.sources import Discovery
    from atlaspatch_core.operations.tracking.project_status import ProjectStatus
    from atlaspatch_core.pipeline.patients.manifest import Manifest
    from atlaspatch_core.validity.recipe import Recipe


@reads_only
@documented_command(
    "status",
    section="Look at results",
    summary="Show what is fresh, stale, missing or failed",
    examples=(
        "atlaspatch status",
        "atlaspatch status out --csv",
    ),
)
@OUTPUT_DIR
@option(*COHORTS.flags, multiple=True, help=COHORTS.help, show_default=COHORTS.unset)
@click.option("--all", "show_all", is_flag=True, help="List slides of which everything is fresh, too.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON array, one object per slide and output.")
@click.option("--csv", "as_csv", is_flag=True, help="Print CSV, one line per slide and output.")
@click.option(
    "--html",
    "page",
    type=FILE,
    help="Write a page with thumbnails, filters and reasons, which opens from disk.",
)
@click.pass_context
def status(
    context: click.Context,
    cohorts: tuple[str, ...],
    show_all: bool,
    as_json: bool,
    as_csv: bool,
    page: Path | None,
    **_: object,
) -> None:
    """Show which outputs are fresh, stale, missing or failed, and why, and what became of the last run.

    Without OUTPUT_DIR the project file says what there should be. An OUTPUT_DIR that 'encode-slide', 'encode-patient'
    or 'run' made needs no project file: what they were asked for is recorded there, and all runs together count.

    What is fresh the next run reuses; what is stale it computes, for the reason that is told. Nothing is computed here,
    and only slides of which something changed are opened. Of a project, the Dagster instance in DAGSTER_HOME
    (~/.atlaspatch/dagster by default) is asked why slides failed; of an OUTPUT_DIR, only where DAGSTER_HOME is set.
    Its runs that have not ended are named with their slides.

    Exit code: 0, whatever the state; 2 for wrong usage.
    """
    if as_json + as_csv + bool(page) > 1:
        raise click.UsageError("give one of --json, --csv and --html")
    folder, project_file = named_folder(context)
    hooks = context.obj if isinstance(context.obj, Hooks) else Hooks()
    try:
        seen = (
            folder_status(folder, hooks, cohorts)
            if folder
            else show_status(recipe_of_file(project_file), hooks, cohorts)
        )
    except UnknownName as error:
        raise click.UsageError(str(error)) from error
    every = [*seen.outputs, *seen.cases]
    if as_json:
        table = rows(every, seen.warnings, seen.unverified)
        click.echo(json.dumps([dict(zip(COLUMNS, row, strict=True)) for row in table], indent=1))
    elif as_csv:
        click.echo(as_table(every, seen.warnings, seen.unverified), nl=False)
    elif page:
        click.echo(write_page(seen, page))
    else:
        steps, notes = [stage.step for stage in seen.recipe.stages], plugin_notes(seen.recipe)
        text = as_text(seen.outputs, steps, show_all=show_all, notes=notes, unverified=seen.unverified)
        cases = of_cases(seen.cases, [stage.step for stage in seen.recipe.cases], show_all=show_all)
        elsewhere = unfinished_lines(hooks.unfinished_runs(seen.recipe)) if hooks.unfinished_runs else ()
        click.echo("\n".join([text, *warning_lines(seen.warnings), *cases, *run_lines(seen.runs), *elsewhere]))


def show_status(recipe: "Recipe", hooks: Hooks, cohorts: Sequence[str] = ()) -> "ProjectStatus":
    """Return the state of every output of the slides that lie in the project's folders, and of its cases.

    Of ``cohorts`` alone, if there are any; raises UnknownName for one that no slide is of.
    """
    from atlaspatch_core.operations.tracking.folder_status import with_cases
    from atlaspatch_core.operations.tracking.project_status import project_status

    failures = hooks.failures(recipe) if hooks.failures else {}
    discovery = slides_of(recipe.project)
    tell_former_results(recipe)
    table = _table(recipe)
    seen = with_cases(project_status(recipe, discovery, failures), table, failures)
    return _of_cohorts(seen, discovery, table, cohorts)


def _of_cohorts(
    seen: "ProjectStatus", discovery: "Discovery", table: "Manifest | None", cohorts: Sequence[str]
) -> "ProjectStatus":
    """Return what is of these cohorts, all for none. A slide whose file is gone is of none."""
    if not cohorts:
        return seen
    stems = stems_of_cohorts(discovery.cohorts, cohorts)
    return seen.of(stems, table.cases_with(stems) if table else ())


def _table(recipe: "Recipe") -> "Manifest | None":
    """Return the project's table of cases. Raises click.UsageError for one that cannot be used."""
    from atlaspatch_core.pipeline.patients.manifest import manifest_of

    if not recipe.cases or recipe.project.patients.manifest is None:
        return None
    try:
        manifest = manifest_of(recipe.project)
    except AtlasPatchError as error:
        raise click.UsageError(str(error)) from error
    for omission in manifest.left_out:
        click.echo(f"LEFT OUT: {omission.why}", err=True)
    return manifest


def folder_status(folder: Path, hooks: Hooks, cohorts: Sequence[str] = ()) -> "ProjectStatus":
    """Return the state of every output that the runs of a folder asked for, be the slides still there or not.

    Of ``cohorts`` alone, if there are any; raises UnknownName for one that no slide is of.
    Raises click.UsageError as ``recorded_folder`` does.
    """
    from atlaspatch_core.operations.tracking.folder_status import with_cases
    from atlaspatch_core.operations.tracking.project_status import project_status

    recorded = recorded_folder(folder)
    failures = hooks.failures(recorded.recipe) if hooks.failures and hooks.failures_of_folders else {}
    seen = project_status(recorded.recipe, recorded.discovery, failures, recorded=True)
    seen = with_cases(seen, recorded.cases, failures)
    return _of_cohorts(seen, recorded.discovery, recorded.cases, cohorts)


def write_page(seen: "ProjectStatus", page: Path) -> str:
    """Write the page and return what to say of it. Raises click.ClickException where it cannot be written."""
    from atlaspatch_core.operations.report.status_page import write_status_page

    try:
        counts = write_status_page(seen, page)
    except (OSError, AtlasPatchError) as error:
        raise click.ClickException(f"{page}: the page cannot be written ({error})") from error
    return f"{page} written: {', '.join(f'{count} {name}' for name, count in counts.items())}"
