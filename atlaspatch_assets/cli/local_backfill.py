"""A backfill here and now, in this process: what ``atlaspatch backfill`` does."""

from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace

import dagster as dg

from atlaspatch_assets.cli.local_run import OutcomeRow, materialize, materialize_cases
from atlaspatch_assets.defs.patients.requests import amount, cases_to_make, register_cases
from atlaspatch_assets.defs.patients.states import case_validities
from atlaspatch_assets.defs.validity.backfill import BackfillPlan, Order, chosen_steps, plan, rates, wanted
from atlaspatch_assets.defs.validity.failed_slides import gone_slides, remarks
from atlaspatch_assets.defs.validity.jobs import Tell, try_canaries
from atlaspatch_assets.lib import runless
from atlaspatch_assets.lib.events import events
from atlaspatch_assets.lib.partitions import SLIDES
from atlaspatch_assets.lib.recorded import recorded_validities
from atlaspatch_assets.lib.stages import asset_key
from atlaspatch_assets.lib.verdicts import OpenFailures
from atlaspatch_core.discovery.find import find_slides
from atlaspatch_core.operations.estimate import estimate
from atlaspatch_core.validity.outcome import Outcome, OutputKey, Status
from atlaspatch_core.validity.recipe import Recipe
from atlaspatch_core.validity.states import State, Validity

MOST_REASONS = 20
"""Reasons that are told one by one."""


@dataclass(frozen=True, slots=True)
class Done:
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
    tell: Tell,
) -> Done | None:
    """Make the outputs in these states; None where nothing was to be done, or only to be said.

    Raises UnknownName for an asset that does not exist, NoSlides.
    """
    steps = chosen_steps(recipe, assets)
    if State.MISSING in states:
        register_cases(recipe, instance)
        SLIDES.register(instance, (source.stem for source in find_slides(recipe.project).sources))
    found = recorded_validities(recipe, instance)
    gone = gone_slides(recipe.project, {it.stem for it in found})
    todo = plan(recipe, found, states, steps, gone)
    of_cases = wanted(case_validities(recipe, instance, found), states, steps)
    _tell_what(recipe, todo, of_cases, instance, tell)
    if dry_run or not (todo.orders or of_cases):
        return None
    if canary and State.STALE in states:
        standing = OpenFailures(instance)
        for outcome in try_canaries(recipe, [it for it in todo.outputs if it.state is State.STALE], tell):
            _keep(outcome, standing, show)
        todo = plan(recipe, recorded_validities(recipe, instance), states, steps, gone)
    done = _compute(recipe, todo.orders, instance, show)
    return _with_cases(recipe, instance, states, steps, {it.stem for it in of_cases}, done, show)


def _tell_what(
    recipe: Recipe,
    todo: BackfillPlan,
    of_cases: Sequence[Validity],
    instance: dg.DagsterInstance,
    tell: Tell,
) -> None:
    for what, found in (("slide", todo.outputs), ("case", of_cases)):
        reasons = Counter((it.step, it.why or it.state.value) for it in found)
        for (step, why), count in reasons.most_common(MOST_REASONS):
            tell(f"{step}: {count} {what}{'' if count == 1 else 's'}: {why}")
        if len(reasons) > MOST_REASONS:
            tell(f"{len(reasons) - MOST_REASONS} more reasons, each for fewer {what}s or as few")
    for remark in remarks(recipe.project, instance, todo):
        tell(remark)
    tell(f"To compute: {amount(estimate(recipe, todo.outputs, rates(recipe, instance)).text, of_cases)}")


def _keep(outcome: Outcome, standing: OpenFailures, show: Callable[[OutcomeRow], None]) -> None:
    """Tell Dagster of a result that got the new identity; one that did not is computed like the others."""
    if outcome.status is not Status.RESTAMPED:
        return
    for event in events(outcome, standing):
        runless.report_event(standing.instance, event)
    numbers = {name: value for name, value in outcome.numbers.items() if name == "canary_least_cosine"}
    asset = asset_key(outcome.step).to_user_string()
    show(OutcomeRow(outcome.stem, asset, outcome.status, outcome.why, numbers, outcome.seconds, outcome.path))


def _compute(
    recipe: Recipe, todo: Sequence[Order], instance: dg.DagsterInstance, show: Callable[[OutcomeRow], None]
) -> Done:
    crashes: list[str] = []
    for order in todo:
        crashes += materialize(recipe.project, order.stems, instance, force=False, show=show, assets=order.keys)
    return Done(len({stem for order in todo for stem in order.stems}), tuple(crashes))


def _with_cases(
    recipe: Recipe,
    instance: dg.DagsterInstance,
    states: Collection[State],
    steps: Collection[OutputKey],
    asked: Collection[str],
    done: Done,
    show: Callable[[OutcomeRow], None],
) -> Done:
    """Make the embeddings of cases, now that their slides are done; a slide that failed leaves its cases out.

    A case that was ``asked`` for because a slide of it failed is missing, or stale, once that slide is well.
    """
    crashes = list(done.crashes)
    slides, among = recorded_validities(recipe, instance), None
    if State.FAILED in states:
        states, among = set(State) - {State.FRESH}, asked
    for request in cases_to_make(recipe, instance, slides, states, steps, {}, "", among=among):
        crashes += materialize_cases(recipe.project, request, instance, show)
    return replace(done, crashes=tuple(crashes))
