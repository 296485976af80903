"""From states of outputs to runs: which slides go together, and what they take by measured rates."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256

import dagster as dg

from atlaspatch_assets.batches import batch_config, in_batches
from atlaspatch_assets.jobs import JOB_NAME
from atlaspatch_assets.stages import asset_key
from atlaspatch_core.errors import UnknownName
from atlaspatch_core.estimate import Rate
from atlaspatch_core.outcome import Step
from atlaspatch_core.recipe import Recipe
from atlaspatch_core.validity import State, Validity

LATEST = 50
"""Materialisations of an asset by which its rate is known."""


@dataclass(frozen=True, slots=True)
class Order:
    """Slides that need the same steps."""

    stems: tuple[str, ...]
    steps: tuple[Step, ...]
    """Upstream first."""

    @property
    def keys(self) -> list[dg.AssetKey]:
        """Assets to materialise."""
        return [asset_key(step) for step in self.steps]


def chosen_steps(recipe: Recipe, assets: Collection[str]) -> set[Step]:
    """Return the steps of assets by their key or the last part of it; all for none. Raises UnknownName."""
    stages = (*recipe.stages, *recipe.cases)
    names = {stage.step: asset_key(stage.step).to_user_string() for stage in stages}
    unknown = [name for name in assets if not any(_is(name, key) for key in names.values())]
    if unknown:
        raise UnknownName(f"there is no asset {', '.join(unknown)}; choose among {', '.join(names.values())}")
    return {step for step, key in names.items() if not assets or any(_is(name, key) for name in assets)}


def _is(name: str, key: str) -> bool:
    return name == key or key.endswith(f"/{name}")


def wanted(found: Iterable[Validity], states: Collection[State], steps: Collection[Step]) -> list[Validity]:
    """Return the outputs in one of these states, of these steps."""
    return [validity for validity in found if validity.state in states and validity.step in steps]


def orders(recipe: Recipe, found: Sequence[Validity], asked: Iterable[Validity]) -> list[Order]:
    """Return what to run so that the outputs asked for become fresh: they, and what upstream of them is not.

    What is downstream of a failed output is left out: it needs a person.
    """
    states: defaultdict[str, dict[Step, State]] = defaultdict(dict)
    for validity in found:
        states[validity.stem][validity.step] = validity.state
    by_stem: defaultdict[str, set[Step]] = defaultdict(set)
    for validity in asked:
        by_stem[validity.stem] |= _with_upstream(recipe, validity.step, states[validity.stem]) or set()
    groups: defaultdict[tuple[Step, ...], list[str]] = defaultdict(list)
    for stem, steps in by_stem.items():
        if steps:
            groups[tuple(stage.step for stage in recipe.stages if stage.step in steps)].append(stem)
    return [Order(tuple(stems), steps) for steps, stems in groups.items()]


def _with_upstream(recipe: Recipe, step: Step, states: Mapping[Step, State]) -> set[Step] | None:
    """Return a step and all that is not fresh upstream of it; None where something there failed."""
    found = {step}
    for upstream in recipe.stage(step).upstream:
        if states[upstream] is State.FAILED:
            return None
        more = set() if states[upstream] is State.FRESH else _with_upstream(recipe, upstream, states)
        if more is None:
            return None
        found |= more
    return found


def requests(
    orders: Iterable[Order], slides_per_run: int, occasion: str, tags: Mapping[str, str]
) -> Iterator[dg.RunRequest]:
    """Yield the requests for runs of the job ``process_slides``; of one ``occasion`` each is granted once."""
    for order in orders:
        for batch in in_batches(order.stems, slides_per_run):
            text = "\n".join((occasion, *map(str, order.steps), *batch))
            yield dg.RunRequest(
                run_key=sha256(text.encode()).hexdigest()[:16],
                job_name=JOB_NAME,
                partition_key=batch[0],
                run_config=batch_config(batch),
                asset_selection=order.keys,
                tags=dict(tags),
            )


def rates(recipe: Recipe, instance: dg.DagsterInstance) -> dict[Step, Rate]:
    """Return how fast each step went in the latest runs that computed it; steps that never did are left out."""
    found = {stage.step: _rate(stage.step, instance) for stage in recipe.stages}
    return {step: rate for step, rate in found.items() if rate is not None}


def _rate(step: Step, instance: dg.DagsterInstance) -> Rate | None:
    """Return the mean of patches per second, by patches, or of seconds, by slides."""
    records = instance.fetch_materializations(asset_key(step), limit=LATEST).records
    events = [record.asset_materialization.metadata for record in records if record.asset_materialization]
    values = [{name: entry.value for name, entry in metadata.items()} for metadata in events]
    made = [it for it in values if it.get("status") == "computed"]
    if step.kind == "patch_features":
        measured = [(_number(it, "patches"), _number(it, "patches_per_second")) for it in made]
        amount = sum(patches for patches, rate in measured if rate)
        seconds = sum(patches / rate for patches, rate in measured if rate)
    else:
        amount, seconds = float(len(made)), sum(_number(it, "seconds") for it in made)
    return Rate(amount / seconds) if amount and seconds else None


def _number(values: Mapping[str, object], name: str) -> float:
    value = values.get(name, 0)
    return float(value) if isinstance(value, int | float) else 0.0
