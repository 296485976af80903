"""A canary: some stored patches encoded again, to see whether a changed encoder gives the same features."""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter

import numpy as np
from numpy.typing import NDArray

from atlaspatch_core.config.project import Project
from atlaspatch_core.discovery.sources import SlideSource, open_source
from atlaspatch_core.encoders.inference import PatchEncoders
from atlaspatch_core.errors import AtlasPatchError, NoPatches, UnreadableOutput
from atlaspatch_core.patches.grid import PatchGrid
from atlaspatch_core.patches.grid_spec import Downscale
from atlaspatch_core.patches.scale import Sampling
from atlaspatch_core.patches.stream import open_stream
from atlaspatch_core.pipeline.loaded_models import Models
from atlaspatch_core.slides.slide import Slide
from atlaspatch_core.storage.hdf5 import read_array, read_rows, read_stored_results
from atlaspatch_core.storage.schema import COORDS, TISSUE_FRACTION
from atlaspatch_core.storage.store import Store
from atlaspatch_core.upgrades.comparison import Canary, CanarySample, Tolerance, compare
from atlaspatch_core.validity.identities import sampling_of
from atlaspatch_core.validity.recipe import OutputSpec, Recipe


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
    since = perf_counter()
    try:
        patches, stored = _patches(recipe, stage, source, spec)
    except AtlasPatchError:
        return
    if len(patches):
        (new,) = encoders.encode(patches)
        yield CanarySample(stored, new, perf_counter() - since)


def _patches(
    recipe: Recipe, stage: OutputSpec, source: SlideSource, spec: CanarySpec
) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Return pixels (n, side, side, 3) and stored features (n, dim) of patches drawn from a slide."""
    geometry, store = stage.geometry, Store(recipe.project.output)
    assert geometry is not None
    path = store.h5(source.stem, geometry.name)
    corners, fraction = read_array(path, COORDS)[:, :2], read_array(path, TISSUE_FRACTION)
    sampling = _sampling(path)
    count = min(spec.patches, len(corners))
    rows = sorted(random.Random(f"{spec.seed} {source.stem}").sample(range(len(corners)), count))
    stored = read_rows(path, stage.dataset, rows)
    with open_source(source, recipe.project.slides) as slide:
        grid = PatchGrid(corners[rows], fraction[rows], sampling)
        return _pixels(slide, grid, recipe.project, (stage.settings or {}).get("downscale", "area")), stored


def _sampling(path: Path) -> Sampling:
    """Return how the stored coords of a file are cut. Raises UnreadableOutput where that is not known."""
    coords = read_stored_results(path).get(COORDS)
    identity = coords.identity if coords else None
    if identity is None or "sampling" not in identity.spec:
        raise UnreadableOutput(f"{path.stem}: {path} does not say how its patches were cut; lay them anew")
    return sampling_of(identity)


def _pixels(slide: Slide, grid: PatchGrid, project: Project, downscale: Downscale) -> NDArray[np.uint8]:
    """Return the pixels of every patch of a grid, read as for features."""
    side, runtime = grid.sampling.patch_size, project.runtime
    pixels = np.empty((len(grid.coords), side, side, 3), np.uint8)
    if not len(pixels):
        return pixels
    with open_stream(slide, grid, batch_size=len(pixels), workers=runtime.readers, downscale=downscale) as stream:
        for batch in stream:
            pixels[batch.rows] = batch.patches
    return pixels
