"""What Dagster adds to the commands of the core: what failed, how fast runs were, what ``doctor`` looks at."""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import click

from atlaspatch_assets.cli.home import ready_home
from atlaspatch_assets.lib.home import DEFAULT_HOME, VARIABLE, home_fault
from atlaspatch_core.cli.hooks import Hooks
from atlaspatch_core.cli.projects import FILE_NAME
from atlaspatch_core.validity.outcome import Outcome, OutputKey

if TYPE_CHECKING:
    from dagster import DagsterInstance

    from atlaspatch_assets.lib.reporting import Reporter
    from atlaspatch_core.operations.doctor.values import Check, DoctorFinding, Subject
    from atlaspatch_core.operations.rates import Rate
    from atlaspatch_core.operations.report.values import Failures
    from atlaspatch_core.validity.recipe import Recipe

K = TypeVar("K")
T = TypeVar("T")


WORKSPACE = """\
# What 'dagster dev' in this folder loads: the project that ATLASPATCH_PROJECT names, or ./atlaspatch.toml.
load_from:
  - python_module:
      module_name: atlaspatch_assets.definitions
      location_name: atlaspatch
"""


def make_hooks() -> Hooks:
    """Return what Dagster adds to the commands of the core: all where ``DAGSTER_HOME`` is set.

    Without, what needs no telling is asked of the default home that ``materialize`` writes to, where it is there.
    """
    always = Hooks(
        more_checks=_checks, files_beside_project=(("workspace.yaml", WORKSPACE),), next_commands=_next_commands
    )
    of_instance = replace(always, failures=_failures, rates=_rates, unfinished_runs=_unfinished_runs)
    if os.environ.get(VARIABLE):
        return replace(of_instance, report=_make_report())
    return replace(of_instance, failures_of_folders=False) if DEFAULT_HOME.expanduser().is_dir() else always


def _next_commands(project_file: Path) -> str:
    option, place = ("", "") if project_file == Path(FILE_NAME) else (f" --project {project_file}", f" {project_file}")
    return f"'atlaspatch materialize{option}' computes, 'atlaspatch ui{place}' opens the web UI and computes there"


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
