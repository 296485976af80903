"""Outlines of tissue from which our grid gives the very patches that others have."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import shapely
from shapely import Polygon

from atlaspatch_core.interop.adopt.foreign_slide import Corners, ForeignSlide
from atlaspatch_core.interop.adopt.tested_regions import tested_regions
from atlaspatch_core.patches.grid import lay_grid
from atlaspatch_core.patches.grid_spec import GridSpec
from atlaspatch_core.slides.slide import OutlineFrame, SlideInfo
from atlaspatch_core.tissue.contours import geojson_bytes, in_order, read_geojson
from atlaspatch_core.tissue.outlines import polygons_in

INSETS = (0, 8, 4)
"""Outlines round patches end this part of a patch before its border, so that no neighbour is touched; 0: at it."""


@dataclass(frozen=True, slots=True)
class WantedPatches:
    """Patches that a grid is to give."""

    spec: GridSpec
    side: int
    """Of a patch, level-0 px."""
    corners: Corners


@dataclass(frozen=True, slots=True, eq=False)
class Outlines:
    """Outlines as they would lie in the output."""

    content: bytes
    """GeoJSON."""
    polygons: tuple[Polygon, ...]
    origin: str
    """Where they are from, in words."""


def choose_outlines(info: SlideInfo, candidates: Iterator[Outlines], patch_sets: Sequence[WantedPatches]) -> Outlines:
    """Return the first candidate from which every geometry gives the wanted patches; else that with most of them."""
    best, most = None, -1
    for outlines in candidates:
        exact = sum(grid_gives(info, outlines.polygons, patches) for patches in patch_sets)
        if exact > most:
            best, most = outlines, exact
        if exact == len(patch_sets):
            break
    assert best is not None
    return best


def grid_gives(info: SlideInfo, polygons: Sequence[Polygon], patches: WantedPatches) -> bool:
    """Say whether our grid over these outlines gives exactly the wanted patches, in any order."""
    grid = lay_grid(info, polygons, patches.spec)
    return same_patches(grid.coords.astype(np.int64), patches.corners)


def same_patches(one: Corners, other: Corners) -> bool:
    """Say whether two lists hold the same patches, each once in either, in any order."""
    return len(one) == len(other) and bool(np.array_equal(np.unique(one, axis=0), np.unique(other, axis=0)))


def from_file(path: Path, info: SlideInfo, stem: str, patch_sets: Sequence[WantedPatches]) -> Iterator[Outlines]:
    """Yield the outlines of a file as they are, and simplified as TRIDENT's grid takes them.

    TRIDENT takes all outlines for level-0 px, whoever saved them.
    TRIDENT simplifies by a quarter of the patch size before it measures the tissue of a patch.
    """
    polygons = read_geojson(path, frame=OutlineFrame(0, 0, *info.file_px))
    yield _outlines(polygons, info, stem, "its outlines")
    tolerances = {size / 4: None for patches in patch_sets for size in (patches.spec.patch_size, patches.side)}
    for tolerance in tolerances:
        simple = [part for piece in polygons for part in polygons_in(shapely.simplify(piece, tolerance))]
        yield _outlines(simple, info, stem, f"its outlines, simplified by {tolerance:g} px as its grid takes them")


def round_patches(
    info: SlideInfo, stem: str, slides: Sequence[ForeignSlide], patch_sets: Sequence[WantedPatches]
) -> Iterator[Outlines]:
    """Yield outlines drawn round the patches; one of no tissue where there are no patches."""
    slide = shapely.box(0, 0, info.width, info.height)
    for patches in patch_sets:
        for region in _regions_of(patches):
            pieces = in_order(polygons_in(shapely.intersection(region, slide)))
            yield _outlines(pieces, info, stem, "drawn round the patches")
    if not patch_sets or not slides:
        yield _outlines((), info, stem, "there are no patches")


def _regions_of(patches: WantedPatches) -> Iterator[shapely.Geometry]:
    """Yield what patches cover, less and less of it; by AtlasPatch's rule last what its test tells from others."""
    x, y = patches.corners.T
    squares = shapely.union_all(shapely.box(x, y, x + patches.side, y + patches.side))
    for part in INSETS:
        yield squares.buffer(-patches.side / part, join_style="mitre") if part else squares
    if patches.spec.rule == "atlaspatch" and len(patches.corners):
        yield from tested_regions(patches.corners, patches.side)


def _outlines(polygons: Sequence[Polygon], info: SlideInfo, stem: str, origin: str) -> Outlines:
    content = geojson_bytes(polygons, stem, info.outline_frame)
    return Outlines(content, read_geojson(Path(f"{stem}.geojson"), content, info.outline_frame), origin)
