"""What is stored of all slides: the fingerprints in their files, read in bulk and remembered."""

from collections.abc import Container, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from atlaspatch_core.errors import AtlasPatchError
from atlaspatch_core.fingerprint import Identity
from atlaspatch_core.storage.file_index import FileIndex
from atlaspatch_core.storage.schema import COORDS
from atlaspatch_core.storage.slide_index import SlideIndex, read_slide_index
from atlaspatch_core.storage.store import Store, read_own_results
from atlaspatch_core.validity.outcome import OutputKey
from atlaspatch_core.validity.recipe import SLIDE, TISSUE_MASK, OutputSpec, Recipe
from atlaspatch_core.validity.rules import (
    has_all_rows,
)

VERSION = 3


@dataclass(frozen=True, slots=True)
class Stored:
    """What there is of all slides: in the files, or as they were recorded elsewhere."""

    fingerprints: Mapping[OutputKey, Mapping[str, str]]
    """Step to stem to fingerprint."""
    failed: Mapping[OutputKey, Mapping[str, str]] = field(default_factory=dict)
    """Step to stem to the reason why the last attempt failed."""
    without_patches: Mapping[str, Container[str]] = field(default_factory=dict)
    """Geometry to the slides that have no patches, and so no embedding."""


def stored_in_files(recipe: Recipe, slide_index: SlideIndex | None = None, *, remember: bool = True) -> Stored:
    """Return what lies in the output folder. HDF5 files are opened, but for those that were before and lie untouched.

    Args:
        recipe: Which outputs to look for, and where.
        slide_index: The index of slides, where it was read already.
        remember: False writes nothing, not even caches.

    Returns:
        Fingerprints by output and stem. Features whose rows are not those of the coords do not count.

    Example:
        >>> stored = stored_in_files(recipe)
        >>> {str(step): list(stems) for step, stems in stored.fingerprints.items()}["tissue_mask"]
        ['CMU-1-Small-Region']
    """
    store = Store(recipe.project.output)
    slide_index = slide_index or read_slide_index(store, recipe.project.slides.masks_origin, remember=remember)
    fingerprints: dict[OutputKey, dict[str, str]] = {
        SLIDE: {stem: slide.fingerprint for stem, slide in slide_index.slides.items()},
        TISSUE_MASK: dict(slide_index.polygons),
    }
    empty, failed = {}, {}
    for geometry in recipe.project.geometry:
        rows = _read_files(store, geometry.name, remember=remember)
        files = {stem: row for stem, row in rows.items() if not isinstance(row, str)}
        of_coords = OutputKey("patch_coords", None, geometry.name)
        failed[of_coords] = {stem: row for stem, row in rows.items() if isinstance(row, str)}
        empty[geometry.name] = {stem for stem, results in files.items() if results.get(COORDS, (None, 1))[1] == 0}
        for stage in recipe.stages:
            if stage.geometry is not None and stage.step.geometry == geometry.name:
                fingerprints[stage.step] = _of_stage(stage, files)
    return Stored(fingerprints, failed, empty)


def read_results(store: Store, geometry: str) -> dict[str, dict[str, tuple[str | None, int, int]]]:
    """Return stem to dataset to fingerprint, length and width of what the HDF5 files of a geometry hold."""
    return {stem: row for stem, row in _read_files(store, geometry).items() if not isinstance(row, str)}


def _read_files(store: Store, geometry: str, *, remember: bool = True) -> dict[str, Any]:
    """Return what ``read_results`` does, and of a file that cannot be used what is wrong with it."""
    cache = store.index(f"results{'_' if geometry else ''}{geometry}")
    return FileIndex(cache, _results, VERSION, remember).read_values(
        store.results(geometry), lambda stem: store.h5(stem, geometry)
    )


def _results(path: Path) -> Any:
    try:
        results = read_own_results(path)
    except AtlasPatchError as error:
        return str(error)
    return {name: (result.fingerprint, result.shape[0], result.shape[-1]) for name, result in results.items()}


def _of_stage(stage: OutputSpec, files: Mapping[str, Mapping[str, tuple[str | None, int, int]]]) -> dict[str, str]:
    fingerprints = {}
    for stem, results in files.items():
        fingerprint, rows, _ = results.get(stage.dataset, (None, 0, 0))
        whole = has_all_rows(stage.step, rows, results.get(COORDS, (None, -1, 0))[1])
        if fingerprint and whole:
            fingerprints[stem] = fingerprint
    return fingerprints


def stored_identity(store: Store, stem: str, stage: OutputSpec) -> Identity | None:
    """Return what decided an output as its file says; None where there is none that can be read."""
    try:
        if stage.step == SLIDE:
            record = store.read_record(stem).slide
            return record.identity if record else None
        result = store.stored_results(stem, stage.step.geometry).get(stage.dataset)
        return result.identity if result else None
    except AtlasPatchError:
        return None
