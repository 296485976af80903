"""From a tissue mask to outlines in level-0 px."""

from collections.abc import Iterable

import cv2
import numpy as np
import shapely
from numpy.typing import NDArray

from atlaspatch_core.slide import SlideInfo

ATLASPATCH_LEAST_HOLE = 16
"""AtlasPatch 1.1.0 drops holes below this area, px² of its mask."""
ATLASPATCH_MOST_HOLES = 10
"""AtlasPatch 1.1.0 keeps this many holes of a slide, the largest."""

Contour = NDArray[np.int32]
"""Shape (n, 2): x, y of the corners of one closed ring."""


def atlaspatch_contours(
    mask: NDArray[np.bool_], width: int, height: int, tissue_thresh: float = 0.0
) -> list[tuple[Contour, list[Contour]]]:
    """Return each outer contour with its holes, level-0 px, in OpenCV's order, as AtlasPatch 1.1.0 has them.

    ``mask`` covers a slide of ``width`` × ``height`` level-0 px. An outer contour must cover ``tissue_thresh`` of the
    mask; rings are not simplified, run through the indices of the outermost pixels (so they lose a mask pixel of width)
    and are truncated to whole px. Only the four-probe grid rule wants these; all else wants ``mask_to_polygons``.
    """
    rings, parents = _rings(mask, cv2.CHAIN_APPROX_NONE)
    scale = np.array([width / mask.shape[1], height / mask.shape[0]])
    areas = [cv2.contourArea(ring) for ring in rings]
    outer = [i for i, parent in enumerate(parents) if parent < 0 and areas[i] >= tissue_thresh * mask.size]
    kept = set(outer)
    holes = [i for i, parent in enumerate(parents) if parent in kept and areas[i] >= ATLASPATCH_LEAST_HOLE]
    holes = sorted(holes, key=lambda i: -areas[i])[:ATLASPATCH_MOST_HOLES]
    scaled = [(ring * scale).astype(np.int32) for ring in rings]
    return [(scaled[i], [scaled[hole] for hole in holes if parents[hole] == i]) for i in outer]


def _rings(mask: NDArray[np.bool_], chain: int) -> tuple[list[Contour], list[int]]:
    """Return the rings of a mask, each (n, 2) mask px, and for each the index of the ring it is a hole of, or -1."""
    found, hierarchy = cv2.findContours(mask.astype(np.uint8), cv2.RETR_CCOMP, chain)
    if hierarchy is None:
        return [], []
    return [ring.reshape(-1, 2).astype(np.int32) for ring in found], [int(parent) for parent in hierarchy[0, :, 3]]


def mask_to_polygons(
    mask: NDArray[np.bool_], downsample: float, info: SlideInfo, tolerance: float
) -> tuple[shapely.Polygon, ...]:
    """Return the pieces of a mask as valid, disjoint polygons with holes, from top to bottom; whole level-0 px.

    ``downsample`` is level-0 px per px of the mask; outlines run along the outer borders of its pixels, within
    ``tolerance`` level-0 px, and end at the slide's edge.
    """
    rings, parents = _rings(mask, cv2.CHAIN_APPROX_SIMPLE)
    pieces = [_piece(rings, parents, i) for i, parent in enumerate(parents) if parent < 0]
    scaled = [shapely.transform(piece, lambda points: points * downsample) for piece in pieces]
    whole = shapely.union_all([shapely.simplify(piece, tolerance) for piece in scaled])
    slide = shapely.box(0, 0, info.width, info.height)
    return in_order(explode(shapely.set_precision(shapely.intersection(whole, slide), 1.0)))


def explode(geometry: shapely.Geometry) -> list[shapely.Polygon]:
    """Return the polygons in a geometry of any type; lines and points fall away."""
    parts = shapely.get_parts(geometry).tolist()
    nested = [explode(part) if hasattr(part, "geoms") else [part] for part in parts]
    return [part for group in nested for part in group if isinstance(part, shapely.Polygon) and not part.is_empty]


def in_order(polygons: Iterable[shapely.Polygon]) -> tuple[shapely.Polygon, ...]:
    """Return polygons sorted by the top, then the left of their bounds, in canonical form."""
    return tuple(
        sorted(shapely.normalize(list(polygons)).tolist(), key=lambda piece: (piece.bounds[1], piece.bounds[0]))
    )


def _piece(rings: list[Contour], parents: list[int], outer: int) -> shapely.Geometry:
    """Return one piece with its holes, mask px.

    OpenCV's rings run through the centres of the outermost pixels, also round a hole: half a pixel more is the border.
    """
    holes = [rings[i] + 0.5 for i, parent in enumerate(parents) if parent == outer and len(rings[i]) > 2]
    centres = rings[outer] + 0.5
    if len(centres) < 3:
        return shapely.box(*(centres.min(axis=0) - 0.5), *(centres.max(axis=0) + 0.5))
    drawn = shapely.make_valid(shapely.Polygon(centres, holes))
    return drawn.buffer(0.5, cap_style="square", join_style="mitre", mitre_limit=2)
