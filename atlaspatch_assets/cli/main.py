"""The console script ``atlaspatch``: the commands of the core, and those that need Dagster.

Dagster is imported inside the commands, so that ``--help`` and a plain ``encode-slide`` do not wait for it.
"""

import logging
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import click

from atlaspatch_assets.cli.carry_over import carry_over
from atlaspatch_assets.cli.dead_runs import end_dead_runs
from atlaspatch_assets.cli.home import ready_home, told_where_home_fails
from atlaspatch_assets.cli.pages import pages
from atlaspatch_assets.cli.up import up
from atlaspatch_assets.lib.home import DEFAULT_HOME, VARIABLE, home_fault
from atlaspatch_assets.lib.options import ASSETS, DRY_RUN, FORCE
from atlaspatch_core.cli.declaring import STRICT, STRICT_HELP
from atlaspatch_core.cli.hooks import Hooks
from atlaspatch_core.cli.main import cli
from atlaspatch_core.cli.projects import PROJECT, recipe_of_file
from atlaspatch_core.cli.shared_names import tell_shared_names_of
from atlaspatch_core.cli.slides import slides_at_rest, tell_former_results
from atlaspatch_core.cli.working import signals_end_command
from atlaspatch_core.discovery.cohorts import COHORTS, stems_among
from atlaspatch_core.errors import AtlasPatchError, ForeignExit
from atlaspatch_core.operations.tracking.signals import exit_at_signals, send_lost_signals_again
from atlaspatch_core.validity.outcome import Outcome, OutputKey

if TYPE_CHECKING:
    from dagster import DagsterInstance

    from atlaspatch_assets.lib.reporting import Reporter
    from atlaspatch_core.config.project import Project
    from atlaspatch_core.discovery.sources import Discovery
    from atlaspatch_core.operations.doctor.values import Check, DoctorFinding, Subject
    from atlaspatch_core.operations.rates import Rate
    from atlaspatch_core.operations.report.values import Failures
    from atlaspatch_core.validity.recipe import Recipe
    from atlaspatch_core.validity.states import State

K = TypeVar("K")
T = TypeVar("T")


def main() -> None:
    """Run ``atlaspatch``. ``status`` and ``report`` ask the Dagster instance what failed, ``estimate`` how fast runs
    were, and ``doctor`` looks at it. With ``DAGSTER_HOME`` set, ``encode-slide`` tells it what it made.
    """
    # it logs tracebacks of Ctrl-C and signals that end a command while a connection is closed, and goes on raising them
    logging.getLogger("sqlalchemy.pool").setLevel(logging.CRITICAL)
    send_lost_signals_again()
    try:
        cli(obj=make_hooks())
    finally:
        with suppress(OSError):  # nobody reads any more
            sys.stdout.flush()
        exit_at_signals()


def make_hooks() -> Hooks:
    """Return what Dagster adds to the commands of the core: all where ``DAGSTER_HOME`` is set.

    Without, what needs no telling is asked of the default home that ``materialize`` writes to, where it is there.
    """
    if os.environ.get(VARIABLE):
        return Hooks(_make_report(), _failures, rates=_rates, unfinished_runs=_unfinished_runs, more_checks=_checks)
    if DEFAULT_HOME.expanduser().is_dir():
        return Hooks(
            failures=_failures,
            failures_of_folders=False,
            rates=_rates,
            unfinished_runs=_unfinished_runs,
            more_checks=_checks,
        )
    return Hooks(more_checks=_checks)


def _make_report() -> "Callable[[Recipe, Outcome], None]":
    """Return what tells the instance of one command; Dagster is imported with the first outcome."""

    @cache
    def reporter() -> "Reporter":
        from atlaspatch_assets.lib.reporting import Reporter

        return Reporter()

    return lambda recipe, outcome: reporter()(recipe, outcome)


def _failures(recipe: "Recipe") -> "Failures":
    from atlaspatch_assets.defs.report.assets import failures

    return _ask_instance(lambda instance: failures(recipe, instance))


def _rates(recipe: "Recipe") -> "Mapping[OutputKey, Rate]":
    from atlaspatch_assets.defs.validity.backfill import measure_rates

    return _ask_instance(lambda instance: measure_rates(recipe, instance))


def _unfinished_runs(recipe: "Recipe") -> "Mapping[str, Sequence[str]]":
    from atlaspatch_assets.cli.unfinished_runs import describe_unfinished_runs

    return _ask_instance(lambda instance: describe_unfinished_runs(recipe, instance))


def _ask_instance(ask: "Callable[[DagsterInstance], Mapping[K, T]]") -> "Mapping[K, T]":
    """Return what the instance answers. One that nobody named and that cannot be asked is told of, and has nothing."""
    import dagster as dg

    named = os.environ.get(VARIABLE)
    try:
        ready_home()
        with dg.DagsterInstance.get() as instance:
            return ask(instance)
    except Exception as error:  # whatever a storage raises
        if named and (fault := home_fault(Path(named).expanduser())):
            raise click.ClickException(fault) from error
        if named:
            raise
        _tell_unasked(" ".join(str(error).split())[:300])
        return {}
    finally:
        if not named:
            os.environ.pop(VARIABLE, None)


@cache
def _tell_unasked(cause: str) -> None:
    """Tell once, however often it is asked."""
    click.echo(f"{DEFAULT_HOME}: Dagster was not asked ({cause}); 'atlaspatch doctor' looks at it", err=True)


def _checks() -> "tuple[Check, ...]":
    from atlaspatch_core.operations.doctor.values import Check

    return (Check("dagster", _findings, 60, "see whether Dagster's storage answers"),)


def _findings(subject: "Subject") -> "Iterator[DoctorFinding]":
    from atlaspatch_assets.cli.doctor import dagster_findings

    yield from dagster_findings(subject.project)


cli.add_command(carry_over)
cli.add_command(pages)
cli.add_command(end_dead_runs)
cli.add_command(up)


@cli.command()
@click.argument("stems", nargs=-1)
@PROJECT
@click.option(*COHORTS.flags, multiple=True, help=COHORTS.help, show_default=COHORTS.unset)
@click.option(*FORCE.flags, is_flag=True, help=FORCE.help)
@click.option(STRICT, is_flag=True, help=STRICT_HELP)
def materialize(
    stems: tuple[str, ...], project_file: Path, cohorts: tuple[str, ...], force: bool, strict: bool
) -> None:
    """Materialise all Dagster assets of a project, for all its slides, for some cohorts, or for those named by STEMS.

    Runs in this process, in batches, and is recorded in the Dagster instance in DAGSTER_HOME (~/.atlaspatch/dagster by
    default). What is there already and still valid is reused.

    Exit code: 0 when every slide is done, 1 when one or more failed or had to be left out, 2 for wrong usage; 130 or
    143 where Ctrl-C or SIGTERM ended it, which cancels the run.
    """

    recipe = recipe_of_file(project_file)
    project = recipe.project
    discovery = slides_at_rest(project, strict=strict)
    tell_former_results(recipe)
    tell_shared_names_of(project)
    chosen = _choose_stems(discovery, stems, cohorts)
    try:
        with signals_end_command(_what_remains(project)):
            code = _materialize(project, chosen, discovery.cohort_by_stem, force=force, strict=strict)
    except ForeignExit as error:
        raise click.UsageError(str(error)) from error
    raise SystemExit(code or int(bool(discovery.left_out and not stems and not cohorts)))


@cli.command()
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
    try:
        with told_where_home_fails(ready_home()), signals_end_command(_what_remains(recipe.project)):
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


def _what_remains(project: "Project") -> str:
    return f"what was finished stays in {project.output}; run again to go on"


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
