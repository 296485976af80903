"""Patches as tiles for QuPath, coloured by tissue share, by a feature, or by what features have most in common."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from atlaspatch_core.errors import InvalidProject
from atlaspatch_core.interop.export.files import digest
from atlaspatch_core.interop.export.tiles import tile_features, write_features
from atlaspatch_core.interop.export.values import (
    Artifact,
    ExportLayout,
    ExportResult,
    GeometryResults,
    Options,
    SlideResults,
    Target,
)
from atlaspatch_core.slides.slide import WHOLE_SLIDE
from atlaspatch_core.storage.schema import TISSUE_FRACTION

VERSION = 1
COMPONENTS = ("pc1", "pc2", "pc3")
COLOURS = (
    (68, 1, 84),
    (70, 50, 127),
    (54, 92, 141),
    (39, 127, 142),
    (31, 161, 135),
    (74, 194, 109),
    (159, 218, 58),
    (253, 231, 37),
)
"""From low to high; one class each, with as many patches in each as in any other. Tissue shares have equal steps."""


def check_column(options: Options) -> None:
    """Raise InvalidProject for a column that no slide can have."""
    if options.column not in (TISSUE_FRACTION, "norm", *COMPONENTS) and not options.column.isdecimal():
        raise InvalidProject(
            f"column {options.column!r}: give {', '.join((TISSUE_FRACTION, 'norm', *COMPONENTS))} or the number "
            "of a feature, from 0 on"
        )


def kinds(options: Options) -> frozenset[str]:
    """Return what is exported: tissue shares need no features."""
    return frozenset() if options.column == TISSUE_FRACTION else frozenset({"patch_features"})


def artifacts(slide: SlideResults, target: Target) -> Iterator[Artifact]:
    """Yield one file per patch encoder, or one where it is tissue shares that are shown."""
    column = target.options.column
    for geometry in slide.geometries:
        for result in (None,) if column == TISSUE_FRACTION else geometry.features:
            folder = f"features_{result.name}_{column}" if result else column
            frame = [slide.written_frame[:2]] if any(slide.written_frame[:2]) else []
            frame += [slide.written_frame[2:]] if slide.written_frame[2:] != WHOLE_SLIDE[2:] else []
            of = digest("geojson", VERSION, column, (result or geometry.coords).fingerprint, *frame)
            path = geometry.home / folder / f"{slide.stem}.geojson"
            yield Artifact(path, of, _writer(slide, geometry, result, column))


def _writer(slide: SlideResults, geometry: GeometryResults, result: ExportResult | None, column: str):
    def write(to: Path) -> None:
        fraction = geometry.read_tissue_fraction()
        values = column_values(slide.stem, result.read_features(), column) if result else fraction.astype(np.float64)
        about = {"stem": slide.stem, "encoder": result.name if result else "", "column": column}
        about |= {"origin": slide.written_frame[:2]} if any(slide.written_frame[:2]) else {}
        classes = tissue_classes(values) if column == TISSUE_FRACTION else rank_classes(values)
        name = f"feature {column}" if column.isdecimal() else column
        named = [(f"{name} {shade + 1} of {len(COLOURS)}", COLOURS[shade]) for shade in classes.tolist()]
        features = tile_features(geometry, slide.written_frame, {TISSUE_FRACTION: fraction, name: values}, named)
        write_features(to, about | (result or geometry.coords).provenance(), features)

    return write


def column_values(stem: str, features: NDArray[Any], column: str) -> NDArray[np.float64]:
    """Return one number per patch, shape (n,). Raises InvalidProject for a feature that there is not."""
    if column == "norm":
        return np.linalg.norm(features.astype(np.float64), axis=1)
    if column in COMPONENTS:
        return principal(features, COMPONENTS.index(column))
    number = int(column)
    if number >= features.shape[1]:
        raise InvalidProject(
            f"{stem}: column {number} of {features.shape[1]} features; give 0 to {features.shape[1] - 1}"
        )
    return features[:, number].astype(np.float64)


def principal(features: NDArray[Any], component: int) -> NDArray[np.float64]:
    """Return the patches along a principal component of the slide, from 0 on; shape (n,).

    The feature that weighs most in it counts positive. Zeros where the patches have no such component.
    """
    count = len(features)
    centred = features.astype(np.float64) - (features.mean(axis=0, dtype=np.float64) if count else 0)
    if component >= min(centred.shape):
        return np.zeros(count)
    _, axes = np.linalg.eigh(centred.T @ centred)
    axis = axes[:, -1 - component]
    return centred @ (axis * np.sign(axis[np.abs(axis).argmax()]))


def tissue_classes(shares: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return the class of each tissue share, by equal steps from 0 to 1."""
    whole = np.nan_to_num(shares, nan=0.0)
    return np.clip((whole * len(COLOURS)).astype(np.int64), 0, len(COLOURS) - 1)


def rank_classes(values: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return the class of each value: equal numbers of patches in each, equal values in the same."""
    lower = np.searchsorted(np.sort(values), values, side="left")
    return lower * len(COLOURS) // max(1, len(values))


GEOJSON = ExportLayout(
    "geojson",
    "patches as tiles for QuPath, with tissue share and one more number each, coloured by it",
    artifacts,
    options=frozenset({"column"}),
    check=check_column,
    kinds=kinds,
)
