"""``atlaspatch carry-over``: results of a geometry that got a name, or another one, taken over by links."""

from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from atlaspatch_assets.cli.home import ready_home, told_where_home_fails
from atlaspatch_assets.lib.options import DRY_RUN
from atlaspatch_core.cli.projects import PROJECT, recipe_of_file
from atlaspatch_core.cli.slides import slides_of
from atlaspatch_core.errors import AtlasPatchError
from atlaspatch_core.wording import format_count

if TYPE_CHECKING:
    from dagster import DagsterInstance

    from atlaspatch_core.validity.outcome import Outcome, OutputKey
    from atlaspatch_core.validity.recipe import Recipe


@click.command("carry-over")
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
    """Record the outputs that are valid as they lie and that the instance knows nothing of."""
    import dagster as dg

    from atlaspatch_assets.lib.names import ProjectNames
    from atlaspatch_assets.lib.reporting import report_outcomes
    from atlaspatch_assets.lib.verdicts import OpenFailures

    with told_where_home_fails(ready_home()), dg.DagsterInstance.get() as instance:
        count = 0
        for outcome in _unknown_outcomes(recipe, instance):
            report_outcomes([outcome], OpenFailures(ProjectNames.of(recipe.project), instance, [outcome.stem]))
            count += 1
    click.echo(f"Dagster was told of {format_count(count, 'result')}.")


def _unknown_outcomes(recipe: "Recipe", instance: "DagsterInstance") -> "Iterator[Outcome]":
    """Yield the outcomes of outputs that are fresh in the files and missing in Dagster; nothing is computed."""
    from atlaspatch_assets.lib.names import ProjectNames
    from atlaspatch_assets.lib.recorded import recorded_validities
    from atlaspatch_core.pipeline.processing import process
    from atlaspatch_core.validity.states import State, validities
    from atlaspatch_core.validity.stored import stored_in_files

    sources = slides_of(recipe.project).by_stem
    ProjectNames.of(recipe.project).slides.register(instance, sources)
    recorded = recorded_validities(recipe, instance)
    missing = {(output.stem, output.step) for output in recorded if output.state is State.MISSING}
    steps: defaultdict[str, list[OutputKey]] = defaultdict(list)
    for output in validities(recipe, sorted(sources), stored_in_files(recipe)):
        if output.state is State.FRESH and (output.stem, output.step) in missing:
            steps[output.stem].append(output.step)
    groups: defaultdict[tuple[OutputKey, ...], list[str]] = defaultdict(list)
    for stem, of_slide in steps.items():
        groups[tuple(of_slide)].append(stem)
    for of_group, stems in groups.items():
        yield from process([sources[stem] for stem in stems], recipe, steps=of_group)
