"""Is what lies in the files sound? Looks at values, not only at fingerprints; nothing is computed anew.

A file whose fingerprint is right may still be damaged on disk, or hold numbers that no network should give.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from atlaspatch_core.discovery.find import SlideSource
from atlaspatch_core.errors import AtlasPatchError, UnreadableOutput
from atlaspatch_core.slides.content_hash import content_fingerprint, file_signature
from atlaspatch_core.storage.disk import open_file
from atlaspatch_core.storage.records import read_record
from atlaspatch_core.storage.schema import (
    COORDS,
    EDGE,
    FINGERPRINT,
    LEVEL0_HEIGHT,
    LEVEL0_WIDTH,
    PASSPORTS,
    PATCH_SIZE_LEVEL0,
    STEP_SIZE_LEVEL0,
    TISSUE_FRACTION,
)
from atlaspatch_core.storage.store import Store
from atlaspatch_core.tissue.quality import QualityFinding
from atlaspatch_core.validity.outcome import OutputKey
from atlaspatch_core.validity.recipe import OutputSpec, Recipe

LARGEST_RATIO_OF_NORMS = 100.0
"""Longest to median norm of a slide's patch features; encoders stay below 10, broken pixels and overflows do not."""
ROWS = 8192
"""Rows of features in memory at a time."""


@dataclass(frozen=True, slots=True)
class Inspected:
    """What was found in one output of one slide."""

    stem: str
    step: OutputKey
    findings: tuple[QualityFinding, ...]
    """Passed or not, in the order in which they were looked at."""

    @property
    def sound(self) -> bool:
        """Whether everything passed."""
        return all(finding.passed for finding in self.findings)

    @property
    def why(self) -> str:
        """What did not pass, in words."""
        return "; ".join(finding.text for finding in self.findings if not finding.passed)


def inspect_slide(
    recipe: Recipe, source: SlideSource | None, stem: str, recorded: Mapping[OutputKey, str]
) -> list[Inspected]:
    """Return what was found in every output of a slide that is recorded; a file that cannot be read is a finding.

    Args:
        recipe: The project's.
        source: Where the slide lies now, None when it is gone.
        stem: The slide.
        recorded: Output to the fingerprint that it should have.

    Returns:
        One entry an output, each with findings: name, value, bound and whether it passed.

    Example:
        >>> coords = OutputKey("patch_coords", None, "")
        >>> recorded = {coords: stored_in_files(recipe).fingerprints[coords]["CMU-1-Small-Region"]}
        >>> [inspected] = inspect_slide(recipe, sources[0], "CMU-1-Small-Region", recorded)
        >>> inspected.sound, [finding.name for finding in inspected.findings][:3]
        (True, ['readable', 'fingerprint', 'patches'])
    """
    store = Store(recipe.project.output)
    stages = [stage for stage in recipe.stages if stage.step in recorded]
    return [
        Inspected(stem, stage.step, tuple(_findings(store, stage, source, stem, recorded[stage.step])))
        for stage in stages
        if stage.step.kind in ("slide", "patch_coords", "patch_features", "slide_embedding")
    ]


def _findings(
    store: Store, stage: OutputSpec, source: SlideSource | None, stem: str, recorded: str
) -> Iterator[QualityFinding]:
    if stage.step.kind == "slide":
        yield from of_source(store.record(stem), source, recorded)
        return
    path = store.h5(stem, stage.step.geometry)
    try:
        with _opened(path) as file:
            if stage.dataset not in file and stage.step.kind == "slide_embedding" and _without_patches(file):
                yield held("readable", 1, 1, "", "the slide has no patches, so there is nothing to embed", least=True)
                return
            if stage.dataset not in file:
                yield held("readable", 0, 1, f"{path} has no {stage.dataset}", "the file can be read", least=True)
                return
            yield held("readable", 1, 1, "", f"{path.name} can be read", least=True)
            yield of_fingerprint(file[stage.dataset], recorded)  # type: ignore[arg-type]
            yield from OF_KIND[stage.step.kind](file, file[stage.dataset])  # type: ignore[arg-type]
    except (OSError, AtlasPatchError, KeyError, ValueError) as error:
        yield held("readable", 0, 1, f"{path} cannot be read: {error}", "", least=True)


def _without_patches(file: h5py.File) -> bool:
    return COORDS in file and file[COORDS].shape[0] == 0  # type: ignore[union-attr]


def _opened(path: Path) -> h5py.File:
    try:
        return open_file(path)
    except OSError as error:
        raise UnreadableOutput(f"{path.stem}: {error}") from error


def held(name: str, value: float, bound: float, wrong: str, right: str, *, least: bool = False) -> QualityFinding:
    """Return a value held against its bound, at most or, with ``least``, at least."""
    passed = value >= bound if least else value <= bound
    return QualityFinding(name, bool(passed), float(value), float(bound), right if passed else wrong)


def of_source(record: Path, source: SlideSource | None, recorded: str) -> Iterator[QualityFinding]:
    """Yield whether the slide is still the one whose record lies here; a file that openly changed is not judged."""
    try:
        known = read_record(record).slide
    except AtlasPatchError as error:
        known, wrong = None, str(error)
    else:
        wrong = f"{record} is gone"
    yield held("readable", known is not None, 1, wrong, "the record can be read", least=True)
    if known is None:
        return
    same = known.identity.fingerprint == recorded
    wrong = f"the record is of version {known.identity.fingerprint}, the recorded one of {recorded}"
    yield held("fingerprint", same, 1, wrong, "the record is the recorded version", least=True)
    if source and source.path.exists() and file_signature(source.path) == known.signature:
        whole = content_fingerprint(source.path, full_hash=known.full_hash) == known.identity.spec.get("content")
        wrong = f"{source.path} has another content, though its size and time are the same"
        yield held("content", whole, 1, wrong, "the content is the same", least=True)


def of_fingerprint(dataset: h5py.Dataset, recorded: str) -> QualityFinding:
    """Return whether the file holds the recorded version."""
    stored = str(dataset.attrs.get(FINGERPRINT, "none"))
    wrong = f"{dataset.name} is of version {stored}, the recorded one of {recorded}"
    return held("fingerprint", stored == recorded, 1, wrong, "the file is the recorded version", least=True)


def of_coords(file: h5py.File, dataset: h5py.Dataset) -> Iterator[QualityFinding]:
    """Yield how many patches there are, whether they lie in the slide, and whether what goes with them fits."""
    coords: NDArray[np.int64] = np.asarray(dataset[()], np.int64).reshape(-1, dataset.shape[-1])
    count = len(coords)
    yield held("patches", count, 1, "there is no patch", f"{count} patches", least=True)
    most = _most_patches(file.attrs)
    yield held("most_patches", count, most, f"{count} patches, more than the {most} places", f"at most {most} places")
    outside = _outside(coords[:, :2], file.attrs)
    yield held("outside", outside, 0, f"{outside} patches lie outside the slide", "all patches lie in the slide")
    twice = count - len(np.unique(coords[:, :2], axis=0))
    yield held("twice", twice, 0, f"{twice} patches occur twice", "every patch occurs once")
    for name in (PASSPORTS, TISSUE_FRACTION):
        yield of_rows(len(file[name]) if name in file else 0, count, name)  # type: ignore[arg-type]


def _most_patches(attributes: Mapping[str, Any]) -> int:
    step = int(attributes[STEP_SIZE_LEVEL0])
    sides = (int(attributes[f"level0_{side}"]) for side in ("width", "height"))
    across, down = (-(-side // step) + 1 for side in sides)
    return across * down


def _outside(corners: NDArray[np.int64], attributes: Mapping[str, Any]) -> int:
    """Count the patches whose top-left corner lies outside the slide, or that reach over an edge they may not."""
    size = np.array([attributes[LEVEL0_WIDTH], attributes[LEVEL0_HEIGHT]], np.int64)
    reach = int(attributes[PATCH_SIZE_LEVEL0]) if attributes.get(EDGE) == "drop" else 1
    return int(np.count_nonzero(((corners < 0) | (corners + reach > size)).any(axis=1)))


def of_rows(rows: int, patches: int, name: str) -> QualityFinding:
    """Return whether there is one row per patch."""
    wrong = f"{name} has {rows} rows for {patches} patches"
    return held(f"rows_{name}" if name in (PASSPORTS, TISSUE_FRACTION) else "rows", abs(rows - patches), 0, wrong, "")


def of_features(file: h5py.File, dataset: h5py.Dataset) -> Iterator[QualityFinding]:
    """Yield whether there is a row per patch, all of it numbers, not all the same, of norms that are alike."""
    yield of_rows(dataset.shape[0], file[COORDS].shape[0], str(dataset.name))  # type: ignore[union-attr]
    strange, norms = 0, [np.empty(0)]
    low, high = np.full(dataset.shape[1], np.inf), np.full(dataset.shape[1], -np.inf)
    for start in range(0, dataset.shape[0], ROWS):
        rows = np.asarray(dataset[start : start + ROWS], np.float32)
        strange += int((~np.isfinite(rows)).any(axis=1).sum())
        norms.append(np.linalg.norm(rows, axis=1))
        low, high = np.minimum(low, rows.min(axis=0)), np.maximum(high, rows.max(axis=0))
    yield held("not_finite", strange, 0, f"{strange} rows are not finite", "all rows are finite")
    if dataset.shape[0] > 1 and not strange:
        varying = int((high > low).sum())
        yield held("varying", varying, 1, "all rows are the same", f"{varying} dims vary", least=True)
    if dataset.shape[0] and not strange:
        yield _norms(np.concatenate(norms))


def _norms(norms: NDArray[np.floating]) -> QualityFinding:
    median = float(np.median(norms))
    ratio = float(norms.max()) / median if median else np.inf
    wrong = f"the longest row is {ratio:.4g} times as long as the median one ({median:.4g})"
    return held("norms", ratio, LARGEST_RATIO_OF_NORMS, wrong, f"median norm {median:.4g}")


def of_embedding(_: h5py.File, dataset: h5py.Dataset) -> Iterator[QualityFinding]:
    """Yield whether an embedding is finite and more than one number over and over."""
    vector = np.asarray(dataset[()], np.float32).ravel()
    strange = int((~np.isfinite(vector)).sum())
    yield held("not_finite", strange, 0, f"{strange} numbers are not finite", "all numbers are finite")
    if not strange:
        varying = len(np.unique(vector))
        yield held("varying", varying, 2, "all numbers are the same", f"norm {np.linalg.norm(vector):.4g}", least=True)


OF_KIND = {"patch_coords": of_coords, "patch_features": of_features, "slide_embedding": of_embedding}
