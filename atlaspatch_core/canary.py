"""A canary: some stored patches encoded again, to see whether a changed encoder gives the same features."""

import random
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from atlaspatch_core.discovery import SlideSource, open_source
from atlaspatch_core.errors import AtlasPatchError, NoPatches, UnreadableOutput
from atlaspatch_core.grid import PatchGrid
from atlaspatch_core.hdf5 import COORDS, TISSUE_FRACTION, read_array, read_kept, read_rows
from atlaspatch_core.identities import sampling_of
from atlaspatch_core.inference import PatchEncoders
from atlaspatch_core.models import Models
from atlaspatch_core.patches import open_stream
from atlaspatch_core.project import Project
from atlaspatch_core.recipe import Recipe, Stage
from atlaspatch_core.scale import Downscale, Sampling
from atlaspatch_core.slide import Slide
from atlaspatch_core.store import Store

NEARLY_AS_NEAR = 1e-3
"""Cosine by which a neighbour may be farther than the nearest one and still count as it: flat patches are all alike."""


@dataclass(frozen=True, slots=True)
class Tolerance:
    """What still counts as the same numbers; another device or file format stays well within."""

    least_cosine: float = 0.9999
    """Of every patch's stored and new features."""
    most_norm_change: float = 0.01
    """Of the ratio of their lengths from 1."""
    most_difference: float = 0.05
    """Of any one feature, as a share of the largest stored feature."""
    least_neighbours: float = 0.99
    """Share of patches whose nearest neighbour stays."""


@dataclass(frozen=True, slots=True)
class CanarySpec:
    """How much is tried."""

    slides: int = 10
    patches: int = 50
    """Of each slide, at most."""
    seed: int = 0
    tolerance: Tolerance = field(default_factory=Tolerance)


@dataclass(frozen=True, slots=True)
class Canary:
    """What came of it: stored features against new ones of the same patches."""

    slides: int
    patches: int
    least_cosine: float
    mean_cosine: float
    least_norm_ratio: float
    """New length over stored length."""
    most_norm_ratio: float
    most_difference: float
    """Of any one feature, as a share of the largest stored one."""
    neighbours: float
    """Share of patches whose nearest neighbour among all tried patches stays."""
    patches_per_second: float
    """Of the new encoder, reading included."""
    tolerance: Tolerance = field(default_factory=Tolerance)

    @property
    def same(self) -> bool:
        """Whether the numbers are the same within the tolerance."""
        return not self.differences

    @property
    def differences(self) -> tuple[str, ...]:
        """What lies outside the tolerance, each with its bound."""
        bounds = self.tolerance
        norm = max(abs(self.least_norm_ratio - 1), abs(self.most_norm_ratio - 1))
        told = [
            (self.least_cosine >= bounds.least_cosine, f"cosine {self.least_cosine:.6f} < {bounds.least_cosine}"),
            (norm <= bounds.most_norm_change, f"norm changes by {norm:.2%} > {bounds.most_norm_change:.2%}"),
            (
                self.most_difference <= bounds.most_difference,
                f"a feature changes by {self.most_difference:.2%} of the largest > {bounds.most_difference:.2%}",
            ),
            (
                self.neighbours >= bounds.least_neighbours,
                f"{self.neighbours:.1%} of the nearest neighbours stay < {bounds.least_neighbours:.1%}",
            ),
        ]
        return tuple(text for held, text in told if not held)

    @property
    def text(self) -> str:
        """The verdict in one sentence."""
        tried = f"{self.patches} patches of {self.slides} slide{'' if self.slides == 1 else 's'}"
        if self.same:
            return f"numerically the same: {tried}, cosine at least {self.least_cosine:.6f}"
        return f"different: {tried}, {'; '.join(self.differences)}"

    @property
    def numbers(self) -> dict[str, int | float]:
        """Return the measures under plain names."""
        return {name: value for name, value in asdict(self).items() if isinstance(value, int | float)}


@dataclass(slots=True)
class _Sample:
    """Stored and new features of the tried patches of one slide, each (n, dim)."""

    stored: NDArray[np.float32]
    new: NDArray[np.float32]
    seconds: float


def canary_spec(project: Project) -> CanarySpec:
    """Return how much a project wants to be tried, and what it takes for the same."""
    wanted = project.upgrades
    tolerance = Tolerance(least_cosine=wanted.least_cosine)
    return CanarySpec(wanted.canary_slides, wanted.canary_patches, tolerance=tolerance)


def send_canary(recipe: Recipe, stage: Stage, sources: Sequence[SlideSource], spec: CanarySpec) -> Canary:
    """Encode stored patches of some of these slides by a stage's encoder as it is now, and compare.

    Slides and patches are drawn by the seed; slides that cannot be read, or have no patches, are passed over.
    Raises NoPatches when none is left, and what loading the encoder raises.
    """
    model = Models(recipe.project.runtime).get(stage)
    encoders = PatchEncoders([model])
    samples: list[_Sample] = []
    for source in _drawn(sources, spec.seed):
        if len(samples) == spec.slides:
            break
        samples += _try(recipe, stage, source, encoders, spec)
    if not samples:
        raise NoPatches(f"{stage.step}: no slide has stored features and can be read, so there is nothing to compare")
    return compare(samples, spec.tolerance)


def _drawn(sources: Sequence[SlideSource], seed: int) -> list[SlideSource]:
    drawn = sorted(sources, key=lambda source: source.stem)
    random.Random(seed).shuffle(drawn)
    return drawn


def _try(
    recipe: Recipe, stage: Stage, source: SlideSource, encoders: PatchEncoders, spec: CanarySpec
) -> Iterator[_Sample]:
    """Yield the sample of a slide; nothing where there is none to be had."""
    since = perf_counter()
    try:
        patches, stored = _patches(recipe, stage, source, spec)
    except AtlasPatchError:
        return
    if len(patches):
        (new,) = encoders.encode(patches)
        yield _Sample(stored, new, perf_counter() - since)


def _patches(
    recipe: Recipe, stage: Stage, source: SlideSource, spec: CanarySpec
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
    coords = read_kept(path).get(COORDS)
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


def compare(samples: Sequence[Any], tolerance: Tolerance) -> Canary:
    """Return how new features differ from stored ones; features of another length have nothing in common."""
    stored = np.concatenate([sample.stored for sample in samples]).astype(np.float64)
    new = np.concatenate([sample.new for sample in samples]).astype(np.float64)
    rate = len(new) / max(sum(sample.seconds for sample in samples), 1e-9)
    if stored.shape != new.shape:
        return Canary(len(samples), len(new), -1.0, -1.0, 0.0, 0.0, float("inf"), 0.0, rate, tolerance)
    lengths = np.linalg.norm(stored, axis=1), np.linalg.norm(new, axis=1)
    cosines = (stored * new).sum(axis=1) / np.maximum(lengths[0] * lengths[1], 1e-30)
    ratios = lengths[1] / np.maximum(lengths[0], 1e-30)
    difference = np.abs(new - stored).max() / max(np.abs(stored).max(), 1e-30)
    return Canary(
        slides=len(samples),
        patches=len(new),
        least_cosine=float(cosines.min()),
        mean_cosine=float(cosines.mean()),
        least_norm_ratio=float(ratios.min()),
        most_norm_ratio=float(ratios.max()),
        most_difference=float(difference),
        neighbours=_neighbours(stored, new),
        patches_per_second=rate,
        tolerance=tolerance,
    )


def _neighbours(stored: NDArray[np.float64], new: NDArray[np.float64]) -> float:
    """Return the share of rows whose nearest other row, by cosine, stays the nearest, or nearly so."""
    if len(stored) < 2:
        return 1.0
    before, after = _similarity(stored), _similarity(new)
    rows = np.arange(len(stored))
    stays = after[rows, before.argmax(axis=1)] >= after.max(axis=1) - NEARLY_AS_NEAR
    return float(stays.mean())


def _similarity(features: NDArray[np.float64]) -> NDArray[np.float64]:
    unit = features / np.maximum(np.linalg.norm(features, axis=1, keepdims=True), 1e-30)
    cosine = unit @ unit.T
    np.fill_diagonal(cosine, -2)
    return cosine
