"""The command ``materialize``: all assets of a project in this process, recorded in its Dagster instance."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from atlaspatch_assets.cli.home import ready_home, told_where_home_fails
from atlaspatch_core.cli.declaring import documented_command, option, panel
from atlaspatch_core.cli.devices import check_devices
from atlaspatch_core.cli.dry_run import WorkPlan, tell_plan
from atlaspatch_core.cli.encode_slide import run as encode
from atlaspatch_core.cli.hooks import Hooks
from atlaspatch_core.cli.options import MESSAGES, MODE
from atlaspatch_core.cli.overrides import OVERRIDES, tell_overrides, with_overrides
from atlaspatch_core.cli.projects import PROJECT, recipe_of_file
from atlaspatch_core.cli.recipe_warnings import tell_recipe
from atlaspatch_core.cli.shards import SHARD_OPTION
from atlaspatch_core.cli.shared_names import tell_shared_names_of
from atlaspatch_core.cli.slides import slides_at_rest, tell_former_results
from atlaspatch_core.cli.values import RunMode, run_mode
from atlaspatch_core.cli.working import carry_out
from atlaspatch_core.discovery.cohorts import COHORTS, stems_among
from atlaspatch_core.errors import AtlasPatchError

if TYPE_CHECKING:
    from atlaspatch_assets.cli.outcome_table import Tables
    from atlaspatch_core.config.project import Project
    from atlaspatch_core.discovery.sources import Discovery
    from atlaspatch_core.validity.recipe import Recipe


@documented_command(
    "materialize",
    section="Process slides",
    summary="Make all that a project file asks for",
    examples=(
        "atlaspatch materialize",
        "atlaspatch materialize slide_1 slide_2 --force",
    ),
)
@click.argument("stems", nargs=-1)
@panel("Slides", PROJECT, option(*COHORTS.flags, multiple=True, help=COHORTS.help, show_default=COHORTS.unset))
@OVERRIDES
@panel("Runtime", SHARD_OPTION)
@MODE
@MESSAGES
@click.pass_context
def materialize(
    context: click.Context, stems: tuple[str, ...], project_file: Path, cohorts: tuple[str, ...], **_: object
) -> None:
    """Materialise all Dagster assets of a project, for all its slides, for some cohorts, or for those named by STEMS.

    Runs in this process, in batches, and is recorded in the Dagster instance in DAGSTER_HOME (~/.atlaspatch/dagster by
    default). What is there already and still valid is reused. A shard of the slides is worked on without Dagster, so
    that nodes need no database; 'atlaspatch record' then tells the instance of all shards.

    Exit code: 0 when every slide is done, 1 when one or more failed or had to be left out, 2 for wrong usage; 130 or
    143 where Ctrl-C or SIGTERM ended it, which cancels the run.
    """

    recipe = recipe_of_file(project_file, lambda project: with_overrides(project, context))
    mode = run_mode(context, output=recipe.project.output)
    chosen = ChosenSlides(stems, cohorts)

    def work(hooks: Hooks) -> int:
        if not mode.dry_run:
            check_devices(*recipe.project.runtime.devices)
        tell_overrides(context)
        tell_former_results(recipe)
        tell_shared_names_of(recipe.project)
        tell_recipe(recipe, strict=mode.strict)
        if mode.dry_run or mode.shard:
            return _without_instance(recipe, mode, chosen, hooks)
        return _materialize(recipe.project, mode, chosen)

    carry_out(context, work, mode.output, verbose=mode.verbose, log_file=mode.log_file)


@dataclass(frozen=True, slots=True)
class ChosenSlides:
    """Which slides were named; all where none was."""

    stems: tuple[str, ...]
    cohorts: tuple[str, ...]

    def among(self, discovery: "Discovery") -> list[str]:
        """Return the named slides, or all, and of them those of the cohorts that are named.

        Those whose stem several files share come too, and will fail. Raises click.UsageError for what there is not.
        """
        candidates = list(discovery.paths)
        unknown = [stem for stem in self.stems if stem not in candidates]
        if unknown:
            raise click.UsageError(
                f"the project has no slide called {', '.join(unknown)}; a stem is a file name without suffix"
            )
        named = list(dict.fromkeys(self.stems)) or candidates
        try:
            return [*(stems_among(discovery.cohorts, self.cohorts, named) or ())]
        except AtlasPatchError as error:
            raise click.UsageError(str(error)) from error


def _without_instance(recipe: "Recipe", mode: RunMode, chosen: ChosenSlides, hooks: Hooks) -> int:
    """Work on a part of the slides as ``encode-slide`` does, or say what there is to do, and return the exit code."""
    from atlaspatch_core.isolation.leases import start_ahead

    start_ahead(recipe.project.plugins)
    discovery = slides_at_rest(recipe.project, strict=mode.strict, shard=mode.shard, choose=chosen.among)
    if mode.dry_run:
        return tell_plan("materialize", WorkPlan(recipe, discovery), mode, hooks)
    return encode("materialize", recipe, discovery, mode, (recipe.project.runtime.device,), hooks)


def _materialize(project: "Project", mode: RunMode, chosen: ChosenSlides) -> int:
    """Run the batches, print what was made and where it lies, and return the exit code."""
    discovery = slides_at_rest(project, strict=mode.strict)
    stems = chosen.among(discovery)

    from atlaspatch_core.isolation.leases import start_ahead

    start_ahead(project.plugins)  # it begins while Dagster is imported
    import dagster as dg

    from atlaspatch_assets.cli.local_run import materialize as run
    from atlaspatch_assets.cli.outcome_table import Tables, make_console, relative_path

    home = ready_home()
    tables = Tables(make_console(to_stderr=mode.as_json), quiet=mode.quiet, keeps_rows=mode.as_json)
    cohorts = discovery.cohort_by_stem
    with told_where_home_fails(home), dg.DagsterInstance.get() as instance, tables.shown_where_interrupted():
        crashes = list(run(project, stems, instance, force=mode.force, show=tables.add, cohorts=cohorts))
    tables.conclude(crashes, len(stems))
    if not mode.quiet:
        click.echo(f"Files: {relative_path(project.output)}   Dagster: {relative_path(home)}", err=mode.as_json)
    is_incomplete = discovery.left_out and not chosen.stems and not chosen.cohorts
    code = 1 if tables.failed or crashes or is_incomplete or (mode.strict and tables.warned) else 0
    if mode.as_json:
        _write_summary(project, code, tables, discovery, crashes)
    return code


def _write_summary(
    project: "Project", code: int, tables: "Tables", discovery: "Discovery", crashes: "Sequence[str]"
) -> None:
    """Print what became of every slide as JSON."""
    from atlaspatch_assets.cli.outcome_table import summary_outputs
    from atlaspatch_core.cli.run_summary import JsonSummary

    slides = summary_outputs(project, tables.rows_by_stem)
    left_out = tuple(omission.why for omission in discovery.left_out)
    JsonSummary("materialize", project.output, code, slides, left_out=left_out, errors=tuple(crashes)).write()
