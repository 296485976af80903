"""The command ``backfill``: what is stale, missing or failed, computed in this process."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from atlaspatch_assets.cli.home import ready_home, told_where_home_fails
from atlaspatch_assets.lib.options import ASSETS, DRY_RUN
from atlaspatch_core.cli.declaring import documented_command
from atlaspatch_core.cli.devices import check_devices
from atlaspatch_core.cli.projects import PROJECT, recipe_of_file
from atlaspatch_core.cli.shared_names import tell_shared_names_of
from atlaspatch_core.cli.working import signals_end_command, what_remains
from atlaspatch_core.discovery.cohorts import COHORTS
from atlaspatch_core.errors import AtlasPatchError

if TYPE_CHECKING:
    from atlaspatch_core.validity.recipe import Recipe
    from atlaspatch_core.validity.states import State


@documented_command(
    "backfill",
    section="Process slides",
    summary="Make what is stale, missing or failed",
    examples=(
        "atlaspatch backfill --stale --missing --dry-run",
        "atlaspatch backfill --failed --asset patch_features/uni_v2",
    ),
)
@click.option("--stale", is_flag=True, help="Outputs that are not what the project asks for now.")
@click.option("--missing", is_flag=True, help="Outputs that were never made.")
@click.option("--failed", is_flag=True, help="Outputs that failed, whatever the reason, and what depends on them.")
@click.option(*ASSETS.flags, multiple=True, help=ASSETS.help, show_default=ASSETS.unset)
@click.option(*COHORTS.flags, multiple=True, help=COHORTS.help, show_default=COHORTS.unset)
@click.option(*DRY_RUN.flags, is_flag=True, help=DRY_RUN.help)
@click.option("--no-canary", is_flag=True, help="Compute without trying a changed patch encoder on stored patches.")
@PROJECT
def backfill(
    stale: bool,
    missing: bool,
    failed: bool,
    assets: tuple[str, ...],
    cohorts: tuple[str, ...],
    dry_run: bool,
    no_canary: bool,
    project_file: Path,
) -> None:
    """Make the outputs of a project that are stale, missing or failed, as its Dagster instance knows them.

    Says first how many slides, patches, hours and gigabytes that is, and how many slides failed that nobody mended:
    these fail again. A changed patch encoder is then tried on some stored patches: where the numbers are the same,
    results keep their rows and get the new identity. What is left is computed in this process, in batches that the
    Dagster instance in DAGSTER_HOME records.

    Exit code: 0 when all is done, 1 when something failed, 2 for wrong usage.
    """
    from atlaspatch_core.validity.states import State

    chosen = {State.STALE: stale, State.MISSING: missing, State.FAILED: failed}
    if not any(chosen.values()):
        raise click.UsageError("say what to make: --stale, --missing, --failed, or several of them")
    states = [state for state, selected in chosen.items() if selected]
    recipe = recipe_of_file(project_file)
    if not dry_run:
        check_devices(*recipe.project.runtime.devices)
    tell_shared_names_of(recipe.project)
    try:
        with told_where_home_fails(ready_home()), signals_end_command(what_remains(recipe.project.output)):
            code = _backfill(recipe, states, assets, cohorts, dry_run=dry_run, canary=not no_canary)
        raise SystemExit(code)
    except AtlasPatchError as error:
        raise click.UsageError(str(error)) from error


def _backfill(
    recipe: "Recipe",
    states: "Sequence[State]",
    assets: Sequence[str],
    cohorts: Sequence[str],
    *,
    dry_run: bool,
    canary: bool,
) -> int:
    """Do it, print what was done, and return the exit code."""
    import dagster as dg

    from atlaspatch_assets.cli.local_backfill import backfill
    from atlaspatch_assets.cli.outcome_table import Tables, make_console

    tables = Tables(make_console())
    with dg.DagsterInstance.get() as instance, tables.shown_where_interrupted():
        done = backfill(
            recipe,
            instance,
            states,
            assets,
            cohorts,
            dry_run=dry_run,
            canary=canary,
            show=tables.add,
            write_line=click.echo,
        )
    if done is None:
        return 0
    tables.conclude(done.crashes, done.slides)
    return 1 if tables.failed or done.crashes else 0
