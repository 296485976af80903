"""A backfill here and now, in this process: what ``atlaspatch backfill`` does."""

from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace

import dagster as dg

from atlaspatch_assets import runless
from atlaspatch_assets.backfill import chosen_steps, orders, rates, wanted
from atlaspatch_assets.case_requests import cases_to_make, in_words, register_cases
from atlaspatch_assets.case_validity import judge_cases
from atlaspatch_assets.checks import Standing
from atlaspatch_assets.events import events
from atlaspatch_assets.local_run import Row, materialize, materialize_cases
from atlaspatch_assets.partitions import register
from atlaspatch_assets.stages import asset_key
from atlaspatch_assets.upgrades import Tell, settle
from atlaspatch_assets.validity import judge
from atlaspatch_core.discovery import find_slides
from atlaspatch_core.estimate import estimate
from atlaspatch_core.outcome import Outcome, Status, Step
from atlaspatch_core.recipe import Recipe
from atlaspatch_core.validity import State, Validity


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
    show: Callable[[Row], None],
    tell: Tell,
) -> Done | None:
    """Make the outputs in these states; None where nothing was to be done, or only to be said.

    Raises UnknownName for an asset that does not exist, NoSlides.
    """
    steps = chosen_steps(recipe, assets)
    if State.MISSING in states:
        register_cases(recipe, instance)
        register(instance, (source.stem for source in find_slides(recipe.project).sources))
    found = judge(recipe, instance)
    asked = wanted(found, states, steps)
    of_cases = wanted([it.validity for it in judge_cases(recipe, instance, found)], states, steps)
    _tell_what(recipe, asked, of_cases, instance, tell)
    if dry_run or not (asked or of_cases):
        return None
    if canary and State.STALE in states:
        standing = Standing(instance)
        for outcome in settle(recipe, [it for it in asked if it.state is State.STALE], tell):
            _keep(outcome, standing, show)
        found = judge(recipe, instance)
        asked = wanted(found, states, steps)
    done = _compute(recipe, found, asked, instance, show)
    return _with_cases(recipe, instance, states, steps, done, show)


def _tell_what(
    recipe: Recipe,
    asked: Sequence[Validity],
    of_cases: Sequence[Validity],
    instance: dg.DagsterInstance,
    tell: Tell,
) -> None:
    for what, found in (("slide", asked), ("case", of_cases)):
        reasons = Counter((it.step, it.why or it.state.value) for it in found)
        for (step, why), count in reasons.most_common(20):
            tell(f"{step}: {count} {what}{'' if count == 1 else 's'}: {why}")
    tell(f"To compute: {in_words(estimate(recipe, asked, rates(recipe, instance)).text, of_cases)}")


def _keep(outcome: Outcome, standing: Standing, show: Callable[[Row], None]) -> None:
    """Tell Dagster of a result that got the new identity; one that did not is computed like the others."""
    if outcome.status is not Status.RESTAMPED:
        return
    for event in events(outcome, standing):
        runless.tell(standing.instance, event)
    numbers = {name: value for name, value in outcome.numbers.items() if name == "canary_least_cosine"}
    asset = asset_key(outcome.step).to_user_string()
    show(Row(outcome.stem, asset, outcome.status, outcome.why, numbers, outcome.seconds, outcome.path))


def _compute(
    recipe: Recipe,
    found: Sequence[Validity],
    asked: Sequence[Validity],
    instance: dg.DagsterInstance,
    show: Callable[[Row], None],
) -> Done:
    crashes: list[str] = []
    todo = orders(recipe, found, asked)
    for order in todo:
        crashes += materialize(recipe.project, order.stems, instance, force=False, show=show, assets=order.keys)
    return Done(len({stem for order in todo for stem in order.stems}), tuple(crashes))


def _with_cases(
    recipe: Recipe,
    instance: dg.DagsterInstance,
    states: Sequence[State],
    steps: Collection[Step],
    done: Done,
    show: Callable[[Row], None],
) -> Done:
    """Make the embeddings of cases, now that their slides are done; a slide that failed leaves its cases out."""
    crashes = list(done.crashes)
    for request in cases_to_make(recipe, instance, judge(recipe, instance), states, steps, {}, ""):
        crashes += materialize_cases(recipe.project, request, instance, show)
    return replace(done, crashes=tuple(crashes))
