"""A canary: some stored patches encoded again, to see whether a changed encoder gives the same features."""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter

import numpy as np

from atlaspatch_core.config.project import Project
from atlaspatch_core.discovery.sources import SlideSource, open_source
from atlaspatch_core.encoders.patch_encoders import PatchEncoders
from atlaspatch_core.errors import AtlasPatchError, NoPatches, UnreadableOutput
from atlaspatch_core.patches.grid import PatchGrid
from atlaspatch_core.patches.scale import Sampling
from atlaspatch_core.patches.stream import open_stream
from atlaspatch_core.pipeline.loaded_models import Models
from atlaspatch_core.storage.hdf5 import read_array, read_rows, read_stored_results
from atlaspatch_core.storage.schema import COORDS, TISSUE_FRACTION
from atlaspatch_core.storage.store import Store
from atlaspatch_core.upgrades.comparison import Canary, CanarySample, Tolerance, compare
from atlaspatch_core.validity.identities import sampling_of
from atlaspatch_core.validity.recipe import OutputSpec, Recipe

BATCH = 64
"""Patches that are encoded at a time."""


@dataclass(frozen=True, slots=True)
class CanarySpec:
    """How much is tried."""

    slides: int = 10
    patches: int = 50
    """Of each slide, at most."""
    seed: int = 0
    tolerance: Tolerance = field(default_factory=Tolerance)


def canary_spec(project: Project) -> CanarySpec:
    """Return how much a project wants to be tried, and what it takes for the same."""
    settings = project.upgrades
    tolerance = Tolerance(least_cosine=settings.least_cosine)
    return CanarySpec(settings.canary_slides, settings.canary_patches, tolerance=tolerance)


def run_canary(recipe: Recipe, stage: OutputSpec, sources: Sequence[SlideSource], spec: CanarySpec) -> Canary:
    """Encode stored patches of some of these slides by a stage's encoder as it is now, and compare.

    Slides and patches are drawn by the seed; slides that cannot be read, or have no patches, are passed over.
    Raises NoPatches when none is left, and what loading the encoder raises.
    """
    model = Models(recipe.project.runtime).get(stage)
    encoders = PatchEncoders([model])
    samples: list[CanarySample] = []
    for source in _draw_sources(sources, spec.seed):
        if len(samples) == spec.slides:
            break
        samples += _sample_of(recipe, stage, source, encoders, spec)
    if not samples:
        raise NoPatches(f"{stage.step}: no slide has stored features and can be read, so there is nothing to compare")
    return compare(samples, spec.tolerance)


def _draw_sources(sources: Sequence[SlideSource], seed: int) -> list[SlideSource]:
    drawn = sorted(sources, key=lambda source: source.stem)
    random.Random(seed).shuffle(drawn)
    return drawn


def _sample_of(
    recipe: Recipe, stage: OutputSpec, source: SlideSource, encoders: PatchEncoders, spec: CanarySpec
) -> Iterator[CanarySample]:
    """Yield the sample of a slide; nothing where there is none to be had."""
    assert stage.geometry is not None
    try:
        grid = stored_grid(Store(recipe.project.output).h5(source.stem, stage.geometry.name))
        drawn = random.Random(f"{spec.seed} {source.stem}").sample(range(len(grid)), min(spec.patches, len(grid)))
        if drawn:
            yield encode_again(recipe, stage, source, grid, sorted(drawn), encoders)
    except AtlasPatchError:
        return


def stored_grid(path: Path) -> PatchGrid:
    """Return the patches whose features a slide's file holds. Raises UnreadableOutput."""
    return PatchGrid(read_array(path, COORDS)[:, :2], read_array(path, TISSUE_FRACTION), _sampling(path))


def encode_again(
    recipe: Recipe,
    stage: OutputSpec,
    source: SlideSource,
    grid: PatchGrid,
    rows: Sequence[int],
    encoders: PatchEncoders,
) -> CanarySample:
    """Return stored features of some rows of a slide's grid, in rising order, and those of its encoder as it is now.

    Raises what reading the slide or the stored features raises.
    """
    since, geometry = perf_counter(), stage.geometry
    assert geometry is not None
    stored = read_rows(Store(recipe.project.output).h5(source.stem, geometry.name), stage.dataset, list(rows))
    drawn = PatchGrid(grid.coords[rows], grid.tissue_fraction[rows], grid.sampling)
    new = np.empty((len(drawn), encoders.encoders[0].dim), np.float32)
    settings = {"workers": recipe.project.runtime.readers, "downscale": (stage.settings or {}).get("downscale", "area")}
    with (
        open_source(source, recipe.project.slides) as slide,
        open_stream(slide, drawn, batch_size=BATCH, **settings) as stream,
    ):
        for rows_read, (values,) in encoders.encode_stream((batch.rows, batch.patches) for batch in stream):
            new[rows_read] = values
    return CanarySample(stored, new, perf_counter() - since)


def _sampling(path: Path) -> Sampling:
    """Return how the stored coords of a file are cut. Raises UnreadableOutput where that is not known."""
    coords = read_stored_results(path).get(COORDS)
    identity = coords.identity if coords else None
    if identity is None or "sampling" not in identity.spec:
        raise UnreadableOutput(f"{path.stem}: {path} does not say how its patches were cut; lay them anew")
    return sampling_of(identity)
