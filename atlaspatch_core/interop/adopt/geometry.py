"""The results of one slide in one geometry: planned, written at once, then proven or accepted."""

from collections.abc import Iterator
from pathlib import Path

from atlaspatch_core.config.sections import Geometry
from atlaspatch_core.errors import OutOfDate
from atlaspatch_core.interop.adopt.coords import AdoptedCoords, ForeignPatches, adopt_coords
from atlaspatch_core.interop.adopt.proof import has_more_to_show, prove_vectors
from atlaspatch_core.interop.adopt.provenance import Marks
from atlaspatch_core.interop.adopt.result import AdoptOutcome, AdoptStatus
from atlaspatch_core.interop.adopt.settings import AdoptTarget
from atlaspatch_core.interop.adopt.vectors import AdoptedVectors, accepted, adopted_vectors
from atlaspatch_core.pipeline.slide_work import SlideWork
from atlaspatch_core.pipeline.steps.coords import datasets_of, file_attributes
from atlaspatch_core.storage.hdf5_changes import write_new
from atlaspatch_core.storage.hdf5_writing import Writer
from atlaspatch_core.storage.store import Store
from atlaspatch_core.validity.outcome import OutputKey


def adopt_patches(target: AdoptTarget, work: SlideWork, cut: ForeignPatches) -> Iterator[AdoptOutcome]:
    """Take over coords, features and embeddings of one slide in one geometry, and yield what became of each."""
    store, geometry, settings = target.store, cut.geometry, target.settings
    results = store.stored_results(work.stem, geometry.name)
    coords = adopt_coords(work, cut, store, results, Marks(target.origin, settings.accept))
    yield _outcome_of(work, geometry, "coords", coords.fate, coords.why)
    if coords.identity is None:
        return
    work.fingerprints[OutputKey("patch_coords", None, geometry.name)] = coords.identity.fingerprint
    marks_at_once = Marks(target.origin, settings.accept and not settings.verify)
    parts = list(adopted_vectors(work, cut, coords, results, marks_at_once))
    if not settings.dry_run:
        _write(store, work, geometry, coords, parts)
    for part in parts:
        last = _proven_or_accepted(target, work, cut, coords, part)
        yield _outcome_of(work, geometry, last.name, last.fate, last.why)


def _proven_or_accepted(
    target: AdoptTarget, work: SlideWork, cut: ForeignPatches, coords: AdoptedCoords, part: AdoptedVectors
) -> AdoptedVectors:
    """Return an unverified part, or one of a smaller sample, once rows were tried, and what is left was accepted."""
    settings = target.settings
    if not (settings.verify and part.stage and coords.valid and part.sound and _is_open(target, work, cut, part)):
        return part
    marks = Marks(target.origin, settings.accept)
    proven = prove_vectors(work, cut, part, target.store, settings.verify, marks, dry_run=settings.dry_run)
    if proven.fate is AdoptStatus.UNVERIFIED and settings.accept and not settings.dry_run:
        proven = accepted(work, proven, coords, marks)
        if proven.stamp:
            target.store.restamp(work.stem, cut.geometry.name, [proven.stamp])
    if proven.stage and proven.identity:
        work.fingerprints[proven.stage.step] = proven.identity.fingerprint
    return proven


def _is_open(target: AdoptTarget, work: SlideWork, cut: ForeignPatches, part: AdoptedVectors) -> bool:
    """Tell whether rows are to be tried: of what is unverified, or was verified on fewer rows."""
    is_valid_there = part.fate is AdoptStatus.THERE and not part.why
    if not is_valid_there and part.fate is not AdoptStatus.UNVERIFIED:
        return False
    return has_more_to_show(target.store.h5(work.stem, cut.geometry.name), part, target.settings.verify)


def _write(
    store: Store, work: SlideWork, geometry: Geometry, coords: AdoptedCoords, parts: list[AdoptedVectors]
) -> None:
    """Write a new file with all that is taken over, or add to the one there is; nothing in that is replaced."""
    datasets = [part.dataset for part in parts if part.dataset]
    assert coords.identity is not None
    if coords.grid is not None:
        path = store.h5(work.stem, geometry.name)
        of_coords = datasets_of(work.stem, work.slide_info(), geometry, coords.grid, coords.identity, coords.claim)
        attributes = file_attributes(work.slide_info(), geometry, coords.grid)
        write = write_new(path, [*of_coords, *datasets], attributes, store.write_rows)
        store.write_coords(work.stem, geometry.name, lambda target: _unless_there(path, write, target))
        return
    stamps = [part.stamp for part in (coords, *parts) if part.stamp]
    if stamps:
        store.restamp(work.stem, geometry.name, stamps)
    if datasets:
        store.write_results(work.stem, geometry.name, coords.identity, datasets)


def _unless_there(path: Path, write: Writer, target: Path) -> None:
    if path.exists():
        raise OutOfDate(f"{path.stem}: another process has meanwhile written {path}; adopt again")
    write(target)


def _outcome_of(work: SlideWork, geometry: Geometry, what: str, fate: AdoptStatus, why: str) -> AdoptOutcome:
    return AdoptOutcome(work.stem, f"{geometry.name}/{what}" if geometry.name else what, fate, why)
