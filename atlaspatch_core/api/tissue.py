"""The tissue of one slide, as the pipeline finds it."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray

from atlaspatch_core.slides.slide import SlideInfo
from atlaspatch_core.wording import format_count


@dataclass(frozen=True, slots=True)
class SlideTissue:
    """The tissue of one slide: outlines, and what follows from them."""

    info: SlideInfo
    """The slide."""
    polygons: tuple[shapely.Polygon, ...]
    """Valid, disjoint, with holes; whole level-0 px; from top to bottom."""
    numbers: Mapping[str, float] = field(default_factory=dict)
    """``tissue_share`` (of the slide), ``tissue_area_mm2``, ``fragments``, ``holes``, and the segmenter's own."""

    @property
    def area_mm2(self) -> float:
        """Area of the tissue without its holes, mm²."""
        return sum(piece.area for piece in self.polygons) * self.info.mpp**2 / 1e6

    @property
    def contours(self) -> list[NDArray[np.float64]]:
        """All rings, outer ones and holes: x, y of corners, level-0 px, shape (n, 2) each, first and last the same.

        ``matplotlib.pyplot.plot(*ring.T)`` draws one.
        """
        rings = (ring for piece in self.polygons for ring in (piece.exterior, *piece.interiors))
        return [shapely.get_coordinates(ring) for ring in rings]

    @property
    def geometry(self) -> shapely.MultiPolygon:
        """The tissue as one shape for shapely, level-0 px."""
        return shapely.MultiPolygon(self.polygons)

    @property
    def __geo_interface__(self) -> dict[str, Any]:
        """What libraries of GeoJSON ask for: the shape, level-0 px."""
        return shapely.geometry.mapping(self.geometry)

    def mask(self, longest: int = 1024) -> NDArray[np.bool_]:
        """Return where tissue is, bool (height, width), in the pixels of ``slide.thumbnail(longest)``."""
        from atlaspatch_core.pipeline.preview import mask_picture, picture_size

        width, height = picture_size(self.info, longest)
        return mask_picture((height, width), self.polygons, self.info) > 0

    def geojson(self) -> dict[str, Any]:
        """Return the outlines as the pipeline writes them for QuPath, which counts from the corner of what it shows."""
        return json.loads(self._as_written())

    def write_geojson(self, path: str | Path) -> None:
        """Write the outlines as a file that QuPath opens, and that ``--masks`` takes back."""
        Path(path).write_bytes(self._as_written())

    def _as_written(self) -> bytes:
        from atlaspatch_core.tissue.contours import geojson_bytes

        info = self.info
        return geojson_bytes(self.polygons, info.stem, info.outline_frame, is_stated=any(info.corner))

    def __repr__(self) -> str:
        pieces = format_count(len(self.polygons), "piece")
        holes = format_count(sum(len(piece.interiors) for piece in self.polygons), "hole")
        return f"<tissue of {self.info.stem}: {self.area_mm2:.4g} mm², {pieces}, {holes}>"


def polygons_of(tissue: SlideTissue | shapely.Geometry | Iterable[shapely.Polygon]) -> tuple[shapely.Polygon, ...]:
    """Return the polygons, level-0 px, of what stands for tissue: a result of ``segment``, or shapes of shapely."""
    if isinstance(tissue, SlideTissue):
        return tissue.polygons
    shapes = [tissue] if isinstance(tissue, shapely.Geometry) else list(tissue)
    parts = shapely.get_parts(np.asarray(shapes, object)).tolist()
    return tuple(part for part in parts if isinstance(part, shapely.Polygon))
