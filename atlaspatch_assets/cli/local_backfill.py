"""A backfill here and now, in this process: what ``atlaspatch backfill`` does."""

from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace

import dagster as dg

from atlaspatch_assets.cli.local_run import OutcomeRow, materialize, materialize_cases
from atlaspatch_assets.defs.patients.requests import cases_to_make, describe_amount, register_cases
from atlaspatch_assets.defs.patients.states import case_validities
from atlaspatch_assets.defs.validity.backfill import (
    BackfillPlan,
    Order,
    choose_steps,
    measure_rates,
    plan_backfill,
    select_validities,
)
from atlaspatch_assets.defs.validity.failed_slides import find_gone_slides, plan_remarks
from atlaspatch_assets.defs.validity.jobs import WriteLine, try_canaries
from atlaspatch_assets.lib.events import outcome_events
from atlaspatch_assets.lib.names import ProjectNames
from atlaspatch_assets.lib.recorded import recorded_validities
from atlaspatch_assets.lib.verdicts import OpenFailures
from atlaspatch_core.discovery.find import find_slides
from atlaspatch_core.operations.estimate import estimate
from atlaspatch_core.validity.outcome import Outcome, OutputKey, Status
from atlaspatch_core.validity.recipe import Recipe
from atlaspatch_core.validity.states import State, Validity

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
    *,
    dry_run: bool,
    canary: bool,
    show: Callable[[OutcomeRow], None],
    write_line: WriteLine,
) -> BackfillResult | None:
    """Make the outputs in these states; None where nothing was to be done, or only to be said.

    Raises UnknownName for an asset that does not exist, NoSlides.
    """
    names, steps = ProjectNames.of(recipe.project), choose_steps(recipe, assets)
    if State.MISSING in states:
        register_cases(recipe, instance)
        names.slides.register(instance, (source.stem for source in find_slides(recipe.project).sources))
    validities = recorded_validities(recipe, instance)
    gone_stems = find_gone_slides(recipe.project, {validity.stem for validity in validities})
    todo = plan_backfill(recipe, validities, states, steps, gone_stems)
    of_cases = select_validities(case_validities(recipe, instance, validities), states, steps)
    _write_summary(recipe, todo, of_cases, instance, write_line)
    if dry_run or not (todo.orders or of_cases):
        return None
    if canary and State.STALE in states:
        open_failures = OpenFailures(names, instance)
        for outcome in try_canaries(
            recipe, [validity for validity in todo.outputs if validity.state is State.STALE], write_line
        ):
            _report_restamped(outcome, open_failures, show)
        todo = plan_backfill(recipe, recorded_validities(recipe, instance), states, steps, gone_stems)
    done = _compute(recipe, todo.orders, instance, show)
    return _with_cases(recipe, instance, states, steps, {validity.stem for validity in of_cases}, done, show)


def _write_summary(
    recipe: Recipe,
    todo: BackfillPlan,
    of_cases: Sequence[Validity],
    instance: dg.DagsterInstance,
    write_line: WriteLine,
) -> None:
    for what, outputs in (("slide", todo.outputs), ("case", of_cases)):
        reasons = Counter((validity.step, validity.why or validity.state.value) for validity in outputs)
        for (step, why), count in reasons.most_common(MOST_REASONS):
            write_line(f"{step}: {count} {what}{'' if count == 1 else 's'}: {why}")
        if len(reasons) > MOST_REASONS:
            write_line(f"{len(reasons) - MOST_REASONS} more reasons, each for fewer {what}s or as few")
    for remark in plan_remarks(recipe.project, instance, todo):
        write_line(remark)
    write_line(
        f"To compute: {describe_amount(estimate(recipe, todo.outputs, measure_rates(recipe, instance)).text, of_cases)}"
    )


def _report_restamped(outcome: Outcome, open_failures: OpenFailures, show: Callable[[OutcomeRow], None]) -> None:
    """Tell Dagster of a result that got the new identity; one that did not is computed like the others."""
    if outcome.status is not Status.RESTAMPED:
        return
    for event in outcome_events(outcome, open_failures):
        open_failures.report(event)
    numbers = {name: value for name, value in outcome.numbers.items() if name == "canary_least_cosine"}
    asset = open_failures.names.asset_key(outcome.step).to_user_string()
    show(OutcomeRow(outcome.stem, asset, outcome.status, outcome.why, numbers, outcome.seconds, outcome.path))


def _compute(
    recipe: Recipe, todo: Sequence[Order], instance: dg.DagsterInstance, show: Callable[[OutcomeRow], None]
) -> BackfillResult:
    names = ProjectNames.of(recipe.project)
    crashes: list[str] = []
    for order in todo:
        assets = names.asset_keys(order.steps)
        crashes += materialize(recipe.project, order.stems, instance, force=False, show=show, assets=assets)
    return BackfillResult(len({stem for order in todo for stem in order.stems}), tuple(crashes))


def _with_cases(
    recipe: Recipe,
    instance: dg.DagsterInstance,
    states: Collection[State],
    steps: Collection[OutputKey],
    selected: Collection[str],
    done: BackfillResult,
    show: Callable[[OutcomeRow], None],
) -> BackfillResult:
    """Make the embeddings of cases, now that their slides are done; a slide that failed leaves its cases out.

    A case that was ``selected`` because a slide of it failed is missing, or stale, once that slide is well.
    """
    crashes = list(done.crashes)
    slides, among = recorded_validities(recipe, instance), None
    if State.FAILED in states:
        states, among = set(State) - {State.FRESH}, selected
    for request in cases_to_make(recipe, instance, slides, states, steps, {}, "", among=among):
        crashes += materialize_cases(recipe.project, request, instance, show)
    return replace(done, crashes=tuple(crashes))
