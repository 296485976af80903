"""From states of outputs to runs: which slides go together, and what they take by measured rates."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import dagster as dg

from atlaspatch_assets.lib.batches import cohort_batches
from atlaspatch_assets.lib.names import ProjectNames, cohort_tags
from atlaspatch_core.errors import UnknownName
from atlaspatch_core.fingerprint import short_hash
from atlaspatch_core.operations.estimate import Rate
from atlaspatch_core.validity.outcome import OutputKey
from atlaspatch_core.validity.recipe import Recipe
from atlaspatch_core.validity.states import State, Validity

LATEST = 50
"""Materialisations of an asset by which its rate is known."""


@dataclass(frozen=True, slots=True)
class Order:
    """Slides that need the same steps."""

    stems: tuple[str, ...]
    steps: tuple[OutputKey, ...]
    """Upstream first."""


def choose_steps(recipe: Recipe, assets: Collection[str]) -> set[OutputKey]:
    """Return the steps of assets by their key or the last part of it; all for none. Raises UnknownName."""
    stages = (*recipe.stages, *recipe.cases)
    project = ProjectNames.of(recipe.project)
    names = {stage.step: project.asset_key(stage.step).to_user_string() for stage in stages}
    unknown = [name for name in assets if not any(_is_name_of(name, key) for key in names.values())]
    if unknown:
        raise UnknownName(f"there is no asset {', '.join(unknown)}; choose among {', '.join(names.values())}")
    return {step for step, key in names.items() if not assets or any(_is_name_of(name, key) for name in assets)}


def _is_name_of(name: str, key: str) -> bool:
    return name == key or key.endswith(f"/{name}")


def select_validities(
    validities: Iterable[Validity], states: Collection[State], steps: Collection[OutputKey]
) -> list[Validity]:
    """Return the outputs in one of these states, of these steps."""
    return [validity for validity in validities if validity.state in states and validity.step in steps]


@dataclass(frozen=True, slots=True)
class BackfillPlan:
    """What becomes of the outputs that are asked for."""

    outputs: tuple[Validity, ...]
    """Those that will be made; with failed ones that are tried again, all that depends on them and is not fresh."""
    held_up: tuple[Validity, ...]
    """Those that are left out: something upstream of them failed, and is not tried again."""
    gone: tuple[Validity, ...]
    """Those that are left out: their slide's file is gone."""
    orders: tuple[Order, ...]
    """What to run: the outputs, and what upstream of them is not fresh."""


def plan_backfill(
    recipe: Recipe,
    validities: Sequence[Validity],
    states: Collection[State],
    steps: Collection[OutputKey],
    gone: Collection[str] = (),
) -> BackfillPlan:
    """Return what to run so that the outputs of these steps in these states become fresh; ``gone`` slides cannot.

    Where failed outputs are among them, what of ``steps`` depends on these is run, too, fresh or not: they may come out
    otherwise than before. Where they are not, what depends on failed outputs is left out: it needs a person.
    """
    below = _dependants(recipe) if State.FAILED in states else {}
    by_stem: defaultdict[str, dict[OutputKey, Validity]] = defaultdict(dict)
    for validity in validities:
        if validity.stem not in gone:
            by_stem[validity.stem][validity.step] = validity
    outputs: list[Validity] = []
    run: defaultdict[str, set[OutputKey]] = defaultdict(set)
    for stem, of_slide in by_stem.items():
        for step in _steps_to_make(of_slide, states, steps, below):
            outputs += [] if of_slide[step].state is State.FRESH else [of_slide[step]]
            run[stem] |= _with_upstream(recipe, step, of_slide, states) or set()
    makeable = tuple(output for output in outputs if output.step in run[output.stem])
    held_up = tuple(output for output in outputs if output.step not in run[output.stem])
    lost = tuple(select_validities((validity for validity in validities if validity.stem in gone), states, steps))
    return BackfillPlan(makeable, held_up, lost, tuple(_group_orders(recipe, run)))


def _steps_to_make(
    of_slide: Mapping[OutputKey, Validity],
    states: Collection[State],
    steps: Collection[OutputKey],
    below: Mapping[OutputKey, Collection[OutputKey]],
) -> list[OutputKey]:
    """Return the steps of a slide that are in these states, or depend on one that failed and is tried again."""
    failed = [step for step in below if step in steps and of_slide[step].state is State.FAILED]
    follow = {later for step in failed for later in below[step]}
    return [
        step for step, validity in of_slide.items() if step in steps and (validity.state in states or step in follow)
    ]


def _dependants(recipe: Recipe) -> dict[OutputKey, set[OutputKey]]:
    """Return step to all that is computed from it, directly or not."""
    dependants: dict[OutputKey, set[OutputKey]] = {stage.step: set() for stage in recipe.stages}
    for stage in reversed(recipe.stages):
        for upstream in stage.upstream:
            dependants[upstream] |= {stage.step} | dependants[stage.step]
    return dependants


def _with_upstream(
    recipe: Recipe, step: OutputKey, of_slide: Mapping[OutputKey, Validity], states: Collection[State]
) -> set[OutputKey] | None:
    """Return a step and all that is not fresh upstream of it; None where something there failed and is to stay so."""
    run = {step}
    for upstream in recipe.stage(step).upstream:
        state = of_slide[upstream].state
        if state is State.FRESH:
            continue
        more = _with_upstream(recipe, upstream, of_slide, states)
        if more is None or (state is State.FAILED and state not in states):
            return None
        run |= more
    return run


def _group_orders(recipe: Recipe, run: Mapping[str, Collection[OutputKey]]) -> Iterator[Order]:
    """Yield one order for all slides that need the same steps."""
    groups: defaultdict[tuple[OutputKey, ...], list[str]] = defaultdict(list)
    for stem, steps in run.items():
        if steps:
            groups[tuple(stage.step for stage in recipe.stages if stage.step in steps)].append(stem)
    yield from (Order(tuple(stems), steps) for steps, stems in groups.items())


def build_requests(
    names: ProjectNames,
    orders: Iterable[Order],
    slides_per_run: int,
    occasion: str,
    tags: Mapping[str, str],
    cohorts: Mapping[str, str] = MappingProxyType({}),
) -> Iterator[dg.RunRequest]:
    """Yield the requests for runs of the job ``process_slides``; of one ``occasion`` each is granted once.

    Slides of one of the ``cohorts``, by stem, go together.
    """
    for order in orders:
        for batch in cohort_batches(order.stems, cohorts, slides_per_run):
            run_key = short_hash("\n".join((occasion, *map(str, order.steps), *batch)))
            of_cohort = cohort_tags(cohorts.get(stem, "") for stem in batch)
            yield names.slides.request(batch, run_key, tags={**tags, **of_cohort}, assets=names.asset_keys(order.steps))


def measure_rates(recipe: Recipe, instance: dg.DagsterInstance) -> dict[OutputKey, Rate]:
    """Return how fast each step went in the latest runs that computed it; steps that never did are left out."""
    names = ProjectNames.of(recipe.project)
    by_step = {stage.step: _measure_rate(names, stage.step, instance) for stage in recipe.stages}
    return {step: rate for step, rate in by_step.items() if rate is not None}


def _measure_rate(names: ProjectNames, step: OutputKey, instance: dg.DagsterInstance) -> Rate | None:
    """Return the mean of patches per second, by patches, or of seconds, by slides."""
    records = instance.fetch_materializations(names.asset_key(step), limit=LATEST).records
    events = [record.asset_materialization.metadata for record in records if record.asset_materialization]
    values = [{name: entry.value for name, entry in metadata.items()} for metadata in events]
    computed = [event for event in values if event.get("status") == "computed"]
    if step.kind == "patch_features":
        measured = [(_number(event, "patches"), _number(event, "patches_per_second")) for event in computed]
        amount = sum(patches for patches, rate in measured if rate)
        seconds = sum(patches / rate for patches, rate in measured if rate)
    else:
        amount, seconds = float(len(computed)), sum(_number(event, "seconds") for event in computed)
    return Rate(amount / seconds) if amount and seconds else None


def _number(values: Mapping[str, object], name: str) -> float:
    value = values.get(name, 0)
    return float(value) if isinstance(value, int | float) else 0.0
