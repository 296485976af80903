"""Slides without patches: which they are, as Dagster recorded their coords, and their embeddings, told again.

Such a slide has every embedding that it can have, as soon as its features are what the project asks for. Nothing is
made of it then, so no run would tell Dagster, to which the output would be missing, or of another version, for good.
"""

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Collection, Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice

import dagster as dg

from atlaspatch_assets.dagster_internals import data_versions, latest_materializations
from atlaspatch_assets.lib.events import materialization
from atlaspatch_assets.lib.names import ProjectNames
from atlaspatch_core.validity.identities import identity_of
from atlaspatch_core.validity.outcome import Outcome, OutputKey, Status
from atlaspatch_core.validity.recipe import OutputSpec, Recipe
from atlaspatch_core.validity.states import State, Validity

STEMS_PER_READ = 200
"""Coords whose events are read at once: whoever asks about a slide asks about those after it, too."""


@dataclass(slots=True)
class SlidesWithoutPatches(Container[str]):
    """Slides whose latest coords have no patch; events are read as slides are asked about."""

    instance: dg.DagsterInstance
    coords: dg.AssetKey
    stems: Sequence[str]
    """Slides that have coords, sorted."""
    _answers: dict[str, bool] = field(default_factory=dict)

    def __contains__(self, stem: object) -> bool:
        if stem not in self._answers:
            self._read(str(stem))
        return self._answers[str(stem)]

    def _read(self, stem: str) -> None:
        """Read the events of a slide and of those that come after it."""
        start = bisect_left(self.stems, stem)
        following = self.stems[start : start + STEMS_PER_READ]
        latest = latest_materializations(self.instance, self.coords, following)
        self._answers |= {each: _has_no_patches(event) for each, event in latest.items()}
        self._answers.setdefault(stem, False)


def _has_no_patches(coords: dg.AssetMaterialization) -> bool:
    patches = coords.metadata.get("patches")
    return patches is not None and patches.value == 0


def slides_without_patches(
    names: ProjectNames, instance: dg.DagsterInstance, versions: Mapping[OutputKey, Collection[str]]
) -> dict[str, SlidesWithoutPatches]:
    """Return geometry to its slides without patches, of those that have coords; ``versions``: output to slides."""
    return {
        step.geometry: SlidesWithoutPatches(instance, names.asset_key(step), sorted(stems))
        for step, stems in versions.items()
        if step.kind == "patch_coords"
    }


def retold_embeddings(
    recipe: Recipe, instance: dg.DagsterInstance, outputs: Iterable[Validity], most: int
) -> Iterator[dg.AssetMaterialization]:
    """Yield the events of fresh embeddings of slides without patches that Dagster knows not, or by another version.

    At most so many of an asset; ``outputs`` are the states of outputs as they are now.
    """
    fresh: defaultdict[OutputKey, list[str]] = defaultdict(list)
    for output in outputs:
        if output.step.kind == "slide_embedding" and output.state is State.FRESH:
            fresh[output.step].append(output.stem)
    names = ProjectNames.of(recipe.project)
    for step, stems in fresh.items():
        outcomes = _outcomes_to_tell(names, instance, recipe.stage(step), stems)
        yield from (materialization(names, outcome, instance) for outcome in islice(outcomes, most))


def _outcomes_to_tell(
    names: ProjectNames, instance: dg.DagsterInstance, stage: OutputSpec, stems: Iterable[str]
) -> Iterator[Outcome]:
    from atlaspatch_core.pipeline.steps.embedding import NO_PATCHES

    steps = (stage.step, *stage.upstream)
    versions = {step: data_versions(instance, names.asset_key(step)) for step in steps}
    bare = slides_without_patches(names, instance, versions)[stage.step.geometry]
    spec, code_version = stage.spec, stage.code_version
    for stem in stems:
        if any(stem not in versions[step] for step in stage.upstream):
            continue
        inputs = {step: versions[step][stem] for step in stage.upstream}
        fingerprint = identity_of(stage, inputs, spec=spec).fingerprint
        if versions[stage.step].get(stem) != fingerprint and stem in bare:
            of_names = {str(step): version for step, version in inputs.items()}
            details = {"why": NO_PATCHES, "inputs": of_names, "recipe": spec}
            yield Outcome(stem, stage.step, Status.SKIPPED, fingerprint, code_version, **details)
