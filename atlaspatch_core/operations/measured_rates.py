"""Measuring a project on this machine: a few slides up to their coords, and some seconds of every encoder."""

import tempfile
from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import takewhile
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from atlaspatch_core.config.sections import Geometry
from atlaspatch_core.discovery.sources import SlideSource, open_source
from atlaspatch_core.encoders.batch_size import batch_size_of
from atlaspatch_core.encoders.inference import encode_slide
from atlaspatch_core.encoders.patch_encoders import PatchEncoders
from atlaspatch_core.errors import AtlasPatchError
from atlaspatch_core.operations.patch_counts import decided_by
from atlaspatch_core.operations.rates import Measured, device_of
from atlaspatch_core.patches.grid import PatchGrid
from atlaspatch_core.patches.scale import choose_sampling
from atlaspatch_core.patches.stream import open_stream
from atlaspatch_core.pipeline.loaded_models import Models
from atlaspatch_core.pipeline.processing import process
from atlaspatch_core.storage.hdf5 import read_array
from atlaspatch_core.storage.schema import COORDS, TISSUE_FRACTION
from atlaspatch_core.storage.store import Store
from atlaspatch_core.validity.outcome import Outcome, Status
from atlaspatch_core.validity.recipe import OutputSpec, Recipe, make_recipe

FIRST_KINDS = ("slide", "tissue_mask", "patch_coords")
SECONDS = 10.0
"""For so long an encoder is measured, at least one batch."""
MOST_PATCHES = 4096
"""Neighbouring patches that are read for it, from the middle of a slide."""


Features = dict[str, NDArray[np.float32]]
"""Patch encoder to features (n, dim)."""


@dataclass(slots=True)
class _Meter:
    """What was measured so far."""

    recipe: Recipe
    """Of the project, but with an output folder of its own."""
    tell: Callable[[str], None]
    per_second: dict[str, float] = field(default_factory=dict)
    patches: dict[str, dict[str, int]] = field(default_factory=dict)

    def take_seconds(self, outcomes: Sequence[Outcome]) -> None:
        """Take the mean time of a slide, of every step up to the coords."""
        for stage in self.recipe.stages:
            seconds = [
                outcome.seconds
                for outcome in outcomes
                if outcome.step == stage.step and outcome.status is Status.COMPUTED
            ]
            if seconds:
                self.per_second[str(stage.step)] = len(seconds) / max(sum(seconds), 1e-9)

    def take_patches(self, outcomes: Sequence[Outcome]) -> None:
        """Take how many patches each slide has."""
        for outcome in outcomes:
            if outcome.step.kind == "patch_coords" and outcome.status is Status.COMPUTED:
                self.patches.setdefault(outcome.step.geometry, {})[outcome.stem] = int(outcome.numbers["patches"])


def measure_rates(
    recipe: Recipe, sources: Sequence[SlideSource], *, slides: int = 3, tell: Callable[[str], None] = print
) -> Measured:
    """Return rates and patch counts of a project, measured on some ``slides`` among ``sources``, small and large.

    The work is done for real, in a temporary folder: nothing of the project's output is touched. Weights are fetched
    where a run would fetch them. What cannot be measured is told and left out.
    """
    with tempfile.TemporaryDirectory(prefix="atlaspatch-measure-") as folder:
        scratch_recipe = make_recipe(recipe.project.model_copy(update={"output": Path(folder)}))
        meter = _Meter(scratch_recipe, tell)
        sampled = sample_by_size(sources, slides)
        steps = [stage.step for stage in scratch_recipe.stages if stage.step.kind in FIRST_KINDS]
        outcomes = list(process(sampled, scratch_recipe, steps=steps))
        for outcome in outcomes:
            if outcome.status is Status.FAILED:
                tell(f"not measured: {outcome.why}")
        meter.take_seconds(outcomes)
        meter.take_patches(outcomes)
        for geometry in scratch_recipe.project.geometry:
            _measure_encoders(meter, geometry, sampled)
        at = datetime.now(UTC).isoformat(timespec="seconds")
        return Measured(meter.per_second, meter.patches, device=device_of(recipe), at=at, decided_by=decided_by(recipe))


def sample_by_size(sources: Sequence[SlideSource], count: int) -> list[SlideSource]:
    """Return ``count`` slides from small files to large ones, at even ranks; all where there are not more."""
    ranked = sorted(sources, key=lambda source: (_size(source.path), source.stem))
    picks = np.unique(np.linspace(0, len(ranked) - 1, min(count, len(ranked)) + 2).round().astype(int)[1:-1])
    return [ranked[pick] for pick in picks] if len(ranked) > count else ranked


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _measure_encoders(meter: _Meter, geometry: Geometry, sources: Sequence[SlideSource]) -> None:
    """Measure the encoders of a geometry on the slide with most patches."""
    counts = meter.patches.get(geometry.name, {})
    stages = [*meter.recipe.stages_of("patch_features", geometry), *meter.recipe.stages_of("slide_embedding", geometry)]
    source = max(sources, key=lambda source: counts.get(source.stem, 0))
    if stages and not counts.get(source.stem):
        meter.tell(f"not measured: the encoders of {geometry.name or 'the geometry'}, as no slide has patches")
        return
    models = Models(meter.recipe.project.runtime)
    features: Features = {}
    patches = round(sum(counts.values()) / len(counts)) if counts else 0
    for stage in stages:
        try:
            rate = _rate(meter.recipe, stage, source, models.get(stage), features, patches)
        except AtlasPatchError as error:
            meter.tell(f"not measured: {error}")
        else:
            meter.per_second[str(stage.step)] = rate


def _rate(
    recipe: Recipe,
    stage: OutputSpec,
    source: SlideSource,
    model: Any,
    features: Features,
    patches: int,
) -> float:
    """Return patches per second of a patch encoder, whose features are added, or slides per second of a slide encoder.

    ``patches`` is what an embedding is measured with. Raises what reading and encoding raise.
    """
    assert stage.geometry is not None
    grid = _grid(recipe, source, stage.geometry)
    if stage.step.kind == "patch_features":
        features[model.encoder.name], rate = _time_encoding(recipe, stage.geometry, source, model, grid)
        return rate
    upstream = [str(step.encoder) for step in stage.features]
    if lacking := [name for name in upstream if name not in features]:
        raise AtlasPatchError(f"{stage.step}: there are no features of {lacking[0]} to measure it with")
    rows = np.arange(max(patches, 1))
    values = tuple(features[name][rows % len(features[name])] for name in upstream)
    since = perf_counter()
    encode_slide(model, values, grid.coords[rows % len(grid.coords)], grid.sampling.patch_size_level0)
    return 1 / max(perf_counter() - since, 1e-9)


def _grid(recipe: Recipe, source: SlideSource, geometry: Geometry) -> PatchGrid:
    """Return the patches of a slide that was measured: neighbours in its middle."""
    store = Store(recipe.project.output)
    slide = store.read_record(source.stem).slide
    assert slide is not None
    path = store.h5(source.stem, geometry.name)
    corners, fraction = read_array(path, COORDS)[:, :2], read_array(path, TISSUE_FRACTION)
    first = max(0, (len(corners) - MOST_PATCHES) // 2)
    rows = slice(first, first + MOST_PATCHES)
    return PatchGrid(corners[rows], fraction[rows], choose_sampling(slide.info, geometry.spec))


def _time_encoding(
    recipe: Recipe, geometry: Geometry, source: SlideSource, model: Any, grid: PatchGrid
) -> tuple[NDArray[np.float32], float]:
    """Return features of some patches, and patches per second with reading; the first batch only warms up."""
    encoders = PatchEncoders([model])
    with closing(_batches(recipe, geometry, source, grid, model)) as batches:
        encoders.encode(next(batches))
    since = perf_counter()
    with closing(_batches(recipe, geometry, source, grid, model)) as batches:
        in_time = takewhile(lambda _: perf_counter() - since < SECONDS, batches)
        encoded = [values for _, (values,) in encoders.encode_stream((None, batch) for batch in in_time)]
    features = np.concatenate(encoded)
    return features, len(features) / max(perf_counter() - since, 1e-9)


def _batches(
    recipe: Recipe, geometry: Geometry, source: SlideSource, grid: PatchGrid, model: Any
) -> Generator[NDArray[np.uint8]]:
    runtime = recipe.project.runtime
    with open_source(source, recipe.project.slides) as slide:
        size = batch_size_of(runtime.feature_batch_size, [model], geometry.patch_size)
        readers = runtime.readers
        with open_stream(slide, grid, batch_size=size, workers=readers, downscale=geometry.downscale) as stream:
            for batch in stream:
                yield batch.patches
