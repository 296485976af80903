"""Patches as GeoJSON that QuPath reads: a tile each, with measurements and a colour."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from atlaspatch_core.interop.export.values import GeometryResults
from atlaspatch_core.slides.slide import WHOLE_SLIDE, OutlineFrame
from atlaspatch_core.storage.schema import PATCH_SIZE_LEVEL0

Class = tuple[str, Sequence[int]]
"""Name of a class of QuPath, and its colour, RGB."""


def tile_features(
    geometry: GeometryResults, frame: OutlineFrame, measures: Mapping[str, NDArray[Any]], classes: Iterable[Class]
) -> Iterator[dict[str, Any]]:
    """Yield a tile a patch, in the order of its rows; coordinates count as ``frame`` says, which is as QuPath's do.

    Args:
        geometry: Whose patches they are.
        frame: From where coordinates count, and in which px.
        measures: Name to a number a patch, shape (n,); those that are not finite are left out.
        classes: One a patch.
    """
    sides = [int(geometry.file[PATCH_SIZE_LEVEL0]) * px for px in frame[2:]]
    width, height = sides if frame[2:] != WHOLE_SLIDE[2:] else map(int, sides)
    corners = geometry.read_coords() - frame[:2]
    corners = corners if frame[2:] == WHOLE_SLIDE[2:] else corners * frame[2:]
    columns = [values.tolist() for values in measures.values()]
    for (x, y), (name, colour), *numbers in zip(corners.tolist(), classes, *columns, strict=True):
        ring = [[x, y], [x + width, y], [x + width, y + height], [x, y + height], [x, y]]
        yield {
            "type": "Feature",
            "geometry": {"type": "Polygon", "coordinates": [ring]},
            "properties": {
                "objectType": "tile",
                "classification": {"name": name, "color": colour},
                "measurements": {key: n for key, n in zip(measures, numbers, strict=True) if np.isfinite(n)},
            },
        }


def write_features(path: Path, about: Mapping[str, Any], features: Iterable[Mapping[str, Any]]) -> None:
    """Write a collection, a line a feature; ``about`` stands under ``atlaspatch``, where others pass over it."""
    head = {"type": "FeatureCollection", "atlaspatch": about}
    with path.open("w", encoding="utf-8") as file:
        file.write(json.dumps(head, ensure_ascii=False)[:-1] + ', "features": [')
        for index, feature in enumerate(features):
            file.write((",\n" if index else "\n") + json.dumps(feature, allow_nan=False))
        file.write("\n]}\n")
