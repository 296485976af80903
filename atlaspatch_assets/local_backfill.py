"""A backfill here and now, in this process: what ``atlaspatch backfill`` does."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import dagster as dg

from atlaspatch_assets import runless
from atlaspatch_assets.backfill import chosen_steps, orders, rates, wanted
from atlaspatch_assets.checks import Standing
from atlaspatch_assets.events import events
from atlaspatch_assets.local_run import Row, materialize
from atlaspatch_assets.partitions import register
from atlaspatch_assets.stages import asset_key
from atlaspatch_assets.upgrades import Tell, settle
from atlaspatch_assets.validity import judge
from atlaspatch_core.discovery import find_slides
from atlaspatch_core.estimate import estimate
from atlaspatch_core.outcome import Outcome, Status
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
        register(instance, (source.stem for source in find_slides(recipe.project).sources))
    found = judge(recipe, instance)
    asked = wanted(found, states, steps)
    _tell_what(recipe, asked, instance, tell)
    if dry_run or not asked:
        return None
    if canary and State.STALE in states:
        standing = Standing(instance)
        for outcome in settle(recipe, [it for it in asked if it.state is State.STALE], tell):
            _keep(outcome, standing, show)
        found = judge(recipe, instance)
        asked = wanted(found, states, steps)
    return _compute(recipe, found, asked, instance, show)


def _tell_what(recipe: Recipe, asked: Sequence[Validity], instance: dg.DagsterInstance, tell: Tell) -> None:
    reasons = Counter((it.step, it.why or it.state.value) for it in asked)
    for (step, why), count in reasons.most_common(20):
        tell(f"{step}: {count} slide{'' if count == 1 else 's'}: {why}")
    tell(f"To compute: {estimate(recipe, asked, rates(recipe, instance)).text}")


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
