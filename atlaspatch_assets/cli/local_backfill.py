"""A backfill here and now, in this process: what ``atlaspatch backfill`` does."""

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass

import dagster as dg

from atlaspatch_assets.cli.local_run import OutcomeRow, run_requests
from atlaspatch_assets.defs.patients.requests import cases_to_make, register_cases
from atlaspatch_assets.defs.validity.backfill import build_requests, choose_steps
from atlaspatch_assets.defs.validity.jobs import WriteLine, try_canaries
from atlaspatch_assets.defs.validity.repair import plan_repair, reason_lines
from atlaspatch_assets.lib.events import outcome_events
from atlaspatch_assets.lib.names import ProjectNames
from atlaspatch_assets.lib.recorded import MOST_VERDICTS, recorded_validities
from atlaspatch_assets.lib.verdicts import OpenFailures
from atlaspatch_assets.lib.without_patches import retold_embeddings
from atlaspatch_core.discovery.find import find_slides
from atlaspatch_core.validity.outcome import Outcome, OutputKey, Status
from atlaspatch_core.validity.recipe import Recipe
from atlaspatch_core.validity.states import State

MOST_REASONS = 20
"""Reasons that are told one by one."""


@dataclass(frozen=True, slots=True)
class BackfillResult:
    """What a backfill came to, beside the rows that were shown."""

    slides: int
    """Slides that were computed."""
    crashes: tuple[str, ...]
    """What went wrong with runs, beside slides that failed."""


def backfill(
    recipe: Recipe,
    instance: dg.DagsterInstance,
    states: Sequence[State],
    assets: Sequence[str],
    cohorts: Sequence[str] = (),
    *,
    dry_run: bool,
    canary: bool,
    show: Callable[[OutcomeRow], None],
    write_line: WriteLine,
) -> BackfillResult | None:
    """Make the outputs in these states, of all slides or of ``cohorts``; None where nothing was to be done, or said.

    Raises UnknownName for an asset that does not exist or a cohort that no slide is of, NoSlides.
    """
    names, steps = ProjectNames.of(recipe.project), choose_steps(recipe, assets)
    if State.MISSING in states:
        register_cases(recipe, instance)
        names.slides.register(instance, find_slides(recipe.project).by_stem)
    repair = plan_repair(recipe, instance, states, steps, cohorts)
    need = repair.estimate(repair.slides.outputs)
    for line in (
        *reason_lines(repair.slides.outputs, MOST_REASONS),
        *reason_lines(repair.cases, MOST_REASONS),
        *repair.remarks(),
        f"To compute: {repair.describe(need)}",
    ):
        write_line(line)
    if dry_run:
        return None
    open_failures = OpenFailures(names, instance)
    _tell_embeddings(recipe, open_failures)
    if not (repair.slides.orders or repair.cases):
        return None
    orders = repair.slides.orders
    if canary and State.STALE in states:
        stale = [validity for validity in repair.slides.outputs if validity.state is State.STALE]
        for outcome in try_canaries(recipe, stale, write_line):
            _report_restamped(outcome, open_failures, show)
        _tell_embeddings(recipe, open_failures)
        orders = plan_repair(recipe, instance, states, steps, cohorts).slides.orders
    requests = build_requests(names, orders, recipe.project.runtime.slides_per_run, "", {}, repair.cohorts)
    crashes = list(run_requests(recipe.project, names.slides, requests, instance, show))
    selected = {validity.stem for validity in repair.cases} if cohorts or State.FAILED in states else None
    crashes += _make_cases(recipe, instance, states, steps, selected, show)
    return BackfillResult(len({stem for order in orders for stem in order.stems}), tuple(crashes))


def _tell_embeddings(recipe: Recipe, open_failures: OpenFailures) -> None:
    """Tell Dagster of the embeddings of slides without patches that are what is asked for now."""
    current = recorded_validities(recipe, open_failures.instance)
    for event in retold_embeddings(recipe, open_failures.instance, current, MOST_VERDICTS):
        open_failures.report(event)


def _report_restamped(outcome: Outcome, open_failures: OpenFailures, show: Callable[[OutcomeRow], None]) -> None:
    """Tell Dagster of a result that got the new identity; one that did not is computed like the others."""
    if outcome.status is not Status.RESTAMPED:
        return
    for event in outcome_events(outcome, open_failures):
        open_failures.report(event)
    numbers = {name: value for name, value in outcome.numbers.items() if name == "canary_least_cosine"}
    asset = open_failures.names.asset_key(outcome.step).to_user_string()
    show(OutcomeRow(outcome.stem, asset, outcome.status, outcome.why, numbers, outcome.seconds, outcome.path))


def _make_cases(
    recipe: Recipe,
    instance: dg.DagsterInstance,
    states: Collection[State],
    steps: Collection[OutputKey],
    selected: Collection[str] | None,
    show: Callable[[OutcomeRow], None],
) -> Iterator[str]:
    """Make the embeddings of cases, now that their slides are done; a slide that failed leaves its cases out.

    Of all cases, or of those ``selected``: one that was because a slide of it failed is missing, or stale, once that
    slide is well.
    """
    slides = recorded_validities(recipe, instance)
    if State.FAILED in states:
        states = set(State) - {State.FRESH}
    requests = cases_to_make(recipe, instance, slides, states, steps, {}, "", among=selected)
    cases = ProjectNames.of(recipe.project).cases
    yield from run_requests(recipe.project, cases, requests, instance, show) if requests else ()
