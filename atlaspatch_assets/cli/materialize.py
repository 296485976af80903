"""The command ``materialize``: all assets of a project in this process, recorded in its Dagster instance."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from atlaspatch_assets.cli.home import ready_home, told_where_home_fails
from atlaspatch_assets.lib.options import FORCE
from atlaspatch_core.cli.declaring import STRICT, STRICT_HELP
from atlaspatch_core.cli.devices import check_devices
from atlaspatch_core.cli.encode_slide import run as encode
from atlaspatch_core.cli.hooks import Hooks
from atlaspatch_core.cli.projects import PROJECT, recipe_of_file
from atlaspatch_core.cli.shards import SHARD_OPTION
from atlaspatch_core.cli.shared_names import tell_shared_names_of
from atlaspatch_core.cli.slides import slides_at_rest, tell_former_results
from atlaspatch_core.cli.values import RunMode
from atlaspatch_core.cli.working import carry_out, signals_end_command, what_remains
from atlaspatch_core.discovery.cohorts import COHORTS, stems_among
from atlaspatch_core.errors import AtlasPatchError, ForeignExit

if TYPE_CHECKING:
    from atlaspatch_core.config.project import Project
    from atlaspatch_core.discovery.shards import Shard
    from atlaspatch_core.discovery.sources import Discovery
    from atlaspatch_core.validity.recipe import Recipe


@click.command()
@click.argument("stems", nargs=-1)
@PROJECT
@click.option(*COHORTS.flags, multiple=True, help=COHORTS.help, show_default=COHORTS.unset)
@click.option(*FORCE.flags, is_flag=True, help=FORCE.help)
@click.option(STRICT, is_flag=True, help=STRICT_HELP)
@SHARD_OPTION
@click.pass_context
def materialize(
    context: click.Context,
    stems: tuple[str, ...],
    project_file: Path,
    cohorts: tuple[str, ...],
    force: bool,
    strict: bool,
    shard: "Shard | None",
) -> None:
    """Materialise all Dagster assets of a project, for all its slides, for some cohorts, or for those named by STEMS.

    Runs in this process, in batches, and is recorded in the Dagster instance in DAGSTER_HOME (~/.atlaspatch/dagster by
    default). What is there already and still valid is reused. A shard of the slides is worked on without Dagster, so
    that nodes need no database; 'atlaspatch record' then tells the instance of all shards.

    Exit code: 0 when every slide is done, 1 when one or more failed or had to be left out, 2 for wrong usage; 130 or
    143 where Ctrl-C or SIGTERM ended it, which cancels the run.
    """

    recipe = recipe_of_file(project_file)
    project = recipe.project
    check_devices(*project.runtime.devices)
    if shard:
        mode = RunMode(context.params, project.output, force, False, strict, shard)
        carry_out(context, lambda hooks: _materialize_shard(recipe, mode, stems, cohorts, hooks), project.output)
    discovery = slides_at_rest(project, strict=strict)
    tell_former_results(recipe)
    tell_shared_names_of(project)
    chosen = _choose_stems(discovery, stems, cohorts)
    try:
        with signals_end_command(what_remains(project.output)):
            code = _materialize(project, chosen, discovery.cohort_by_stem, force=force, strict=strict)
    except ForeignExit as error:
        raise click.UsageError(str(error)) from error
    raise SystemExit(code or int(bool(discovery.left_out and not stems and not cohorts)))


def _materialize_shard(
    recipe: "Recipe", mode: RunMode, stems: Sequence[str], cohorts: Sequence[str], hooks: Hooks
) -> int:
    """Work on a part of the slides as ``encode-slide`` does, and return the exit code."""
    from atlaspatch_core.isolation.leases import start_ahead

    start_ahead(recipe.project.plugins)
    tell_former_results(recipe)
    tell_shared_names_of(recipe.project)
    discovery = slides_at_rest(
        recipe.project,
        strict=mode.strict,
        shard=mode.shard,
        choose=lambda discovery: _choose_stems(discovery, stems, cohorts),
    )
    return encode("materialize", recipe, discovery, mode, (recipe.project.runtime.device,), hooks)


def _choose_stems(discovery: "Discovery", stems: Sequence[str], cohorts: Sequence[str]) -> list[str]:
    """Return the named slides, or all, and of them those of the cohorts that are named.

    Those whose stem several files share come too, and will fail. Raises click.UsageError for what there is not.
    """
    candidates = list(discovery.paths)
    unknown = [stem for stem in stems if stem not in candidates]
    if unknown:
        raise click.UsageError(
            f"the project has no slide called {', '.join(unknown)}; a stem is a file name without suffix"
        )
    try:
        return [*(stems_among(discovery.cohorts, cohorts, list(dict.fromkeys(stems)) or candidates) or ())]
    except AtlasPatchError as error:
        raise click.UsageError(str(error)) from error


def _materialize(
    project: "Project", stems: Sequence[str], cohorts: Mapping[str, str], *, force: bool, strict: bool
) -> int:
    """Run the batches, print what was made and where it lies, and return the exit code."""
    from atlaspatch_core.isolation.leases import start_ahead

    start_ahead(project.plugins)  # it begins while Dagster is imported
    import dagster as dg

    from atlaspatch_assets.cli.local_run import materialize as run
    from atlaspatch_assets.cli.outcome_table import Tables, make_console, relative_path

    home = ready_home()
    tables = Tables(make_console())
    with told_where_home_fails(home), dg.DagsterInstance.get() as instance, tables.shown_where_interrupted():
        crashes = list(run(project, stems, instance, force=force, show=tables.add, cohorts=cohorts))
    tables.conclude(crashes, len(stems))
    click.echo(f"Files: {relative_path(project.output)}   Dagster: {relative_path(home)}")
    return 1 if tables.failed or crashes or (strict and tables.warned) else 0
