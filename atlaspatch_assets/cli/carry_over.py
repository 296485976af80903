"""``atlaspatch carry-over``: results of a geometry that got a name, or another one, taken over by links."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from atlaspatch_assets.cli.home import ready_home, told_where_home_fails
from atlaspatch_assets.lib.options import DRY_RUN
from atlaspatch_core.cli.declaring import documented_command
from atlaspatch_core.cli.projects import PROJECT, recipe_of_file
from atlaspatch_core.cli.slides import slides_of
from atlaspatch_core.errors import AtlasPatchError
from atlaspatch_core.wording import format_count

if TYPE_CHECKING:
    from atlaspatch_core.validity.recipe import Recipe


@documented_command(
    "carry-over",
    section="Results from and for others",
    summary="Take over results of a renamed geometry",
    examples=(
        "atlaspatch carry-over --dry-run",
        "atlaspatch carry-over",
    ),
)
@PROJECT
@click.option(*DRY_RUN.flags, is_flag=True, help="Only say what would be taken over.")
def carry_over(project_file: Path, dry_run: bool) -> None:
    """Take over results that lie where a geometry of the project had no name, or another one.

    A name decides where files lie and what outputs are called, and no result. The files of slides whose patches there
    are those that the geometry asks for get a second path, without taking room twice; under the former name all stays.
    The Dagster instance in DAGSTER_HOME (~/.atlaspatch/dagster by default) is told of what is valid. Done again, it
    does the rest.

    Exit code: 0, also when there was nothing; 1 when a file could not be written, 2 for wrong usage.
    """
    from atlaspatch_core.operations import former_results

    recipe = recipe_of_file(project_file)
    all_former = former_results.find_former_results(recipe)
    for former in all_former:
        try:
            stems = former.stems if dry_run else list(former_results.carry_over(recipe, former))
        except AtlasPatchError as error:
            raise click.ClickException(str(error)) from error
        name = former.geometry or "the geometry without a name"
        click.echo(f"{name}: {format_count(len(stems), 'slide')} taken over from {former.folder}, where all stays")
    if dry_run or not all_former:
        click.echo("Nothing was done." if all_former else "Nothing lies under a former name of a geometry.")
    if not dry_run:
        _tell_dagster(recipe)


def _tell_dagster(recipe: "Recipe") -> None:
    """Record the outputs that are valid as they lie and that the instance does not know."""
    import dagster as dg

    from atlaspatch_assets.lib.landed import record_folder
    from atlaspatch_core.validity.states import State, validities
    from atlaspatch_core.validity.stored import stored_in_files

    discovery = slides_of(recipe.project)
    outputs = validities(recipe, sorted(discovery.by_stem), stored_in_files(recipe))
    fresh = [output for output in outputs if output.state is State.FRESH]
    with told_where_home_fails(ready_home()), dg.DagsterInstance.get() as instance:
        counts = record_folder(recipe, discovery, fresh, instance)
    click.echo(f"Dagster was told of {format_count(counts.results, 'result')}.")
