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

from atlaspatch_core.discovery.sources import SlideSource
from atlaspatch_core.errors import AtlasPatchError, UnreadableOutput
from atlaspatch_core.layouts.hdf5_files import CANNOT
from atlaspatch_core.layouts.soundness import (
    check_embedding,
    check_features,
    check_rows,
    check_written,
    count_beyond,
    count_negative,
    hold_against,
    text_of,
)
from atlaspatch_core.remote.places import shown_path
from atlaspatch_core.slides.content_hash import content_fingerprint, file_signature
from atlaspatch_core.storage.disk import open_file, read_whole
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
    attention_of,
)
from atlaspatch_core.storage.store import Store
from atlaspatch_core.tissue.quality import QualityFinding
from atlaspatch_core.validity.outcome import OutputKey
from atlaspatch_core.validity.recipe import OutputSpec, Recipe


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
        return text_of(self.findings)


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
        (True, ['readable', 'fingerprint', 'damaged'])
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
                yield hold_against(
                    "readable", 1, 1, "", "the slide has no patches, so there is nothing to embed", least=True
                )
                return
            if stage.dataset not in file:
                yield hold_against(
                    "readable", 0, 1, f"{path} has no {stage.dataset}", "the file can be read", least=True
                )
                return
            yield hold_against("readable", 1, 1, "", f"{path.name} can be read", least=True)
            yield of_fingerprint(file[stage.dataset], recorded)  # type: ignore[arg-type]
            of_coords = stage.step.kind == "patch_coords"
            names = (COORDS, PASSPORTS, TISSUE_FRACTION) if of_coords else _with_attention(stage.dataset)
            written = check_written(file, names, whole=of_coords)
            yield written
            yield from () if not written.passed else OF_KIND[stage.step.kind](file, file[stage.dataset])  # type: ignore[arg-type]
    except (AtlasPatchError, *CANNOT) as error:
        yield hold_against("readable", 0, 1, f"{path} cannot be read: {error}", "", least=True)


def _with_attention(dataset: str) -> list[str]:
    return [name for name in (dataset, attention_of(dataset)) if name]


def _without_patches(file: h5py.File) -> bool:
    return COORDS in file and file[COORDS].shape[0] == 0  # type: ignore[union-attr]


def _opened(path: Path) -> h5py.File:
    try:
        return open_file(path)
    except OSError as error:
        raise UnreadableOutput(f"{path.stem}: {error}") from error


def of_source(record: Path, source: SlideSource | None, recorded: str) -> Iterator[QualityFinding]:
    """Yield whether the slide is still the one whose record lies here; a file that openly changed is not judged."""
    try:
        slide = read_record(record).slide
    except AtlasPatchError as error:
        slide, wrong = None, str(error)
    else:
        wrong = f"{record} is gone"
    yield hold_against("readable", slide is not None, 1, wrong, "the record can be read", least=True)
    if slide is None:
        return
    same = slide.identity.fingerprint == recorded
    wrong = f"the record is of version {slide.identity.fingerprint}, the recorded one of {recorded}"
    yield hold_against("fingerprint", same, 1, wrong, "the record is the recorded version", least=True)
    if source and source.path.exists() and file_signature(source.path) == slide.signature:
        whole = content_fingerprint(source.readable, full_hash=slide.full_hash) == slide.identity.spec.get("content")
        wrong = f"{shown_path(source.path)} has another content, though its size and time are the same"
        yield hold_against("content", whole, 1, wrong, "the content is the same", least=True)


def of_fingerprint(dataset: h5py.Dataset, recorded: str) -> QualityFinding:
    """Return whether the file holds the recorded version."""
    stored = str(dataset.attrs.get(FINGERPRINT, "none"))
    wrong = f"{dataset.name} is of version {stored}, the recorded one of {recorded}"
    return hold_against("fingerprint", stored == recorded, 1, wrong, "the file is the recorded version", least=True)


def of_coords(file: h5py.File, dataset: h5py.Dataset) -> Iterator[QualityFinding]:
    """Yield how many patches there are, whether they lie in the slide, and whether what goes with them fits."""
    coords: NDArray[np.int64] = np.asarray(read_whole(dataset), np.int64).reshape(-1, dataset.shape[-1])
    count = len(coords)
    yield hold_against("patches", count, 1, "there is no patch", f"{count} patches", least=True)
    most = _most_patches(file.attrs)
    yield hold_against(
        "most_patches", count, most, f"{count} patches, more than the {most} places", f"at most {most} places"
    )
    outside = _outside(coords[:, :2], file.attrs)
    yield hold_against(
        "outside", outside, 0, f"{outside} patches lie outside the slide", "all patches lie in the slide"
    )
    twice = count - len(np.unique(coords[:, :2], axis=0))
    yield hold_against("twice", twice, 0, f"{twice} patches occur twice", "every patch occurs once")
    for name in (PASSPORTS, TISSUE_FRACTION):
        yield check_rows(len(file[name]) if name in file else 0, count, f"rows_{name}")  # type: ignore[arg-type]


def _most_patches(attributes: Mapping[str, Any]) -> int:
    step = int(attributes[STEP_SIZE_LEVEL0])
    sides = (int(attributes[side]) for side in (LEVEL0_WIDTH, LEVEL0_HEIGHT))
    across, down = (-(-side // step) + 1 for side in sides)
    return across * down


def _outside(corners: NDArray[np.int64], attributes: Mapping[str, Any]) -> int:
    """Count the patches whose top-left corner lies outside the slide, or that reach over an edge they may not."""
    size = (int(attributes[LEVEL0_WIDTH]), int(attributes[LEVEL0_HEIGHT]))
    reach = int(attributes[PATCH_SIZE_LEVEL0]) if attributes.get(EDGE) == "drop" else 1
    return count_negative(corners) + count_beyond(corners[(corners >= 0).all(axis=1)], size, reach)


def of_features(file: h5py.File, dataset: h5py.Dataset) -> Iterator[QualityFinding]:
    """Yield whether there is a row per patch, and whether the values are sound."""
    yield check_rows(dataset.shape[0], file[COORDS].shape[0])  # type: ignore[union-attr]
    yield from check_features(dataset)


OF_KIND = {
    "patch_coords": of_coords,
    "patch_features": of_features,
    "slide_embedding": lambda _, dataset: check_embedding(dataset),
}
