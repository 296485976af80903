"""Outputs that a changed project asks for anew: of an encoder that came, or took the place of another."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence

import dagster as dg

from atlaspatch_assets.dagster_internals import data_versions
from atlaspatch_assets.lib.names import ProjectNames
from atlaspatch_assets.lib.project_runs import busy_keys
from atlaspatch_core.validity.outcome import OutputKey
from atlaspatch_core.validity.recipe import SLIDE, Recipe
from atlaspatch_core.validity.states import State, Validity

OF_ENCODERS = ("patch_features", "slide_embedding")


def new_outputs(names: ProjectNames, instance: dg.DagsterInstance, outputs: Sequence[Validity]) -> list[Validity]:
    """Return what is missing of slides that a run has seen, and that no run is about to make."""
    busy = busy_keys(names.slides, instance)
    seen = {output.stem for output in outputs if output.step == SLIDE and output.state in (State.FRESH, State.STALE)}
    return [output for output in outputs if output.state is State.MISSING and output.stem in seen - busy]


def depends_on_stale(recipe: Recipe, missing: Iterable[Validity], outputs: Iterable[Validity]) -> bool:
    """Tell whether making what is missing would compute stale outputs anew, before a canary was sent."""
    stale = {(output.stem, output.step) for output in outputs if output.state is State.STALE}
    return any((output.stem, step) in stale for output in missing for step in _upstream(recipe, output.step))


def _upstream(recipe: Recipe, step: OutputKey) -> Iterator[OutputKey]:
    for before in recipe.stage(step).upstream:
        yield before
        yield from _upstream(recipe, before)


def replacement_lines(recipe: Recipe, instance: dg.DagsterInstance, missing: Iterable[Validity]) -> Iterator[str]:
    """Yield a sentence for each encoder whose outputs slides have, which the project no longer asks for."""
    stems: defaultdict[OutputKey, set[str]] = defaultdict(set)
    for output in missing:
        stems[output.step].add(output.stem)
    for step, lacking in stems.items():
        for former, had in _former_outputs(recipe, instance, step):
            if both := lacking & had:
                slides = f"{len(both)} slide{'' if len(both) == 1 else 's'}"
                text = "which the project no longer asks for; what is stored of that stays"
                yield f"{step} is missing for {slides} with {former}, {text}"


def _former_outputs(recipe: Recipe, instance: dg.DagsterInstance, step: OutputKey) -> Iterator[tuple[str, set[str]]]:
    """Yield assets of the same kind and geometry that were made once and are none of the project now, with slides."""
    if step.kind not in OF_ENCODERS:
        return
    names = ProjectNames.of(recipe.project)
    current = set(names.asset_keys(stage.step for stage in recipe.stages))
    prefix = names.asset_key(OutputKey(step.kind, None, step.geometry)).path
    for key in instance.get_asset_keys(prefix=prefix):
        if key not in current and (versions := data_versions(instance, key)):
            yield key.to_user_string(), set(versions)
