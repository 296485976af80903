"""Outlines of tissue, level-0 px: from a mask, to GeoJSON that QuPath opens, and back from what people save."""

import hashlib
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import shapely
from numpy.typing import NDArray
from shapely.geometry.polygon import orient

from atlaspatch_core.slides.slide import WHOLE_SLIDE, OutlineFrame, SlideInfo
from atlaspatch_core.tissue.outline_origin import ORIGIN, OURS, Origin
from atlaspatch_core.tissue.outlines import DECIMALS, polygons_in, read_outlines

MORE_DECIMALS = 8
"""Of coordinates that are written in px of another size."""
TISSUE_CLASS = {"name": "Tissue", "color": [220, 0, 0]}
"""The class under which QuPath shows the outlines."""
ATLASPATCH_LEAST_HOLE = 16
"""AtlasPatch 1.1.0 drops holes below this area, px² of its mask."""
ATLASPATCH_MOST_HOLES = 10
"""AtlasPatch 1.1.0 keeps this many holes of a slide, the largest."""

ROUNDING_OF_AREA = 0.25
"""px² of a mask; what its rings go round is a multiple of a half."""

Contour = NDArray[np.int32]
"""Shape (n, 2): x, y of the corners of one closed ring."""


def atlaspatch_contours(
    mask: NDArray[np.bool_], width: int, height: int, tissue_thresh: float = 0.0
) -> list[tuple[Contour, list[Contour]]]:
    """Return each outer contour with its holes, level-0 px, in OpenCV 5's order, as AtlasPatch 1.1.0 has them.

    ``mask`` covers a slide of ``width`` × ``height`` level-0 px. An outer contour must cover ``tissue_thresh`` of the
    mask; rings are not simplified, run through the indices of the outermost pixels (so they lose a mask pixel of width)
    and are truncated to whole px. Only the four-probe grid rule wants these; all else wants ``mask_to_polygons``.
    """
    rings, parents = _rings(mask, cv2.CHAIN_APPROX_NONE)
    scale = np.array([width / mask.shape[1], height / mask.shape[0]])
    areas = [cv2.contourArea(ring) for ring in rings]
    outer = [i for i, parent in enumerate(parents) if parent < 0 and areas[i] >= tissue_thresh * mask.size]
    outer.sort(key=lambda i: first_point(rings[i]), reverse=True)
    outer_set = set(outer)
    holes = [i for i, parent in enumerate(parents) if parent in outer_set and areas[i] >= ATLASPATCH_LEAST_HOLE]
    holes = sorted(holes, key=lambda i: -areas[i])[:ATLASPATCH_MOST_HOLES]
    scaled = [(ring * scale).astype(np.int32) for ring in rings]
    return [(scaled[i], [scaled[hole] for hole in holes if parents[hole] == i]) for i in outer]


def first_point(ring: Contour) -> tuple[int, int]:
    """Return y, x of the point of a ring that a scan from the top left meets first; OpenCV 5 lists these backwards."""
    top = ring[:, 1].min()
    return int(top), int(ring[ring[:, 1] == top, 0].min())


def _rings(mask: NDArray[np.bool_], chain: int) -> tuple[list[Contour], list[int]]:
    """Return the rings of a mask, each (n, 2) mask px, and for each the index of the ring it is a hole of, or -1."""
    rings, hierarchy = cv2.findContours(mask.astype(np.uint8), cv2.RETR_CCOMP, chain)
    if hierarchy is None:
        return [], []
    return [ring.reshape(-1, 2).astype(np.int32) for ring in rings], [int(parent) for parent in hierarchy[0, :, 3]]


def mask_to_polygons(
    mask: NDArray[np.bool_], downsample: float | NDArray[np.float64], info: SlideInfo, tolerance: float
) -> tuple[shapely.Polygon, ...]:
    """Return the pieces of a mask as valid, disjoint polygons with holes, from top to bottom; whole level-0 px.

    ``downsample`` is level-0 px per px of the mask, or that along x and y, shape (2,); outlines run along the outer
    borders of its pixels, within ``tolerance`` level-0 px, and end at the slide's edge.
    """
    rings, parents = _rings(mask, cv2.CHAIN_APPROX_SIMPLE)
    pieces = [_piece(rings, parents, i) for i, parent in enumerate(parents) if parent < 0]
    scaled = [shapely.transform(piece, lambda points: points * downsample) for piece in pieces]
    whole = shapely.union_all([shapely.simplify(piece, tolerance) for piece in scaled])
    slide = shapely.box(0, 0, info.width, info.height)
    return in_order(polygons_in(shapely.set_precision(shapely.intersection(whole, slide), 1.0)))


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
    drawn = _made_valid(centres, holes)
    return drawn.buffer(0.5, cap_style="square", join_style="mitre", mitre_limit=2)


def _made_valid(outer: NDArray[Any], holes: Sequence[NDArray[Any]]) -> Any:
    """Return the geometry of what a ring goes round without its holes, and the lines that rings run along twice.

    GEOS fills a hole that shares a side with the outer ring or with another hole: one that meets the glass outside, or
    the other, at the corner of a pixel. Then holes are taken away one by one.
    """
    drawn = shapely.make_valid(shapely.Polygon(outer, holes))
    if not holes:
        return drawn
    solid, *empty = (shapely.get_parts(shapely.make_valid(shapely.Polygon(ring))).tolist() for ring in (outer, *holes))
    hollow = shapely.union_all([hole for parts in empty for part in parts for hole in polygons_in(part)])
    lines = [part for parts in empty for part in parts if not polygons_in(part)]
    apart = shapely.GeometryCollection([*(shapely.difference(part, hollow) for part in solid), *lines])
    return apart if drawn.area - apart.area > ROUNDING_OF_AREA else drawn


def write_geojson(path: Path, polygons: Sequence[shapely.Polygon], stem: str) -> None:
    """Write ``geojson_bytes``; whoever must not be seen half way writes the bytes another way."""
    path.write_bytes(geojson_bytes(polygons, stem))


def geojson_bytes(
    polygons: Sequence[shapely.Polygon], stem: str, frame: OutlineFrame = WHOLE_SLIDE, *, is_stated: bool = False
) -> bytes:
    """Return a FeatureCollection of outlines in level-0 px, one line per polygon; equal polygons give equal bytes.

    Each feature is a QuPath annotation of class Tissue with ``tissue_id`` from 0, as TRIDENT numbers them. Coordinates
    count as ``frame`` says, which is as QuPath's do: from the corner of the slide's bounds, where each feature says so,
    and with ``is_stated`` in any case, and in px of the file.
    """
    is_stated |= any(frame[:2])
    features = ",\n".join(
        _dump(_feature(piece, index, frame, is_stated=is_stated)) for index, piece in enumerate(polygons)
    )
    head = f'{{"type":"FeatureCollection","name":{_dump(stem)},"features":['
    return f"{head}\n{features}\n]}}\n".encode() if polygons else f"{head}]}}\n".encode()


def read_geojson(
    path: Path, content: bytes | None = None, frame: OutlineFrame = WHOLE_SLIDE, origin: Origin = "auto"
) -> tuple[shapely.Polygon, ...]:
    """Return the tissue of ``<stem>.geojson``, or of ``content``, as ``read_outlines`` reads it; level-0 px."""
    return read_outlines(path, content, frame, origin).polygons


def written_frame(frame: OutlineFrame, origin: Origin) -> OutlineFrame:
    """Return how coordinates for QuPath are to count on a slide of this ``frame``.

    Who states that masks count from the slide has a QuPath that shows all of it; every other counts from the bounds.
    """
    return frame._replace(x=0, y=0) if origin == "slide" else frame


def polygons_fingerprint(polygons: Iterable[shapely.Polygon]) -> str:
    """Return the identity of a mask, 16 hex digits.

    Independent of the order of polygons and holes, of where a ring starts and of its direction; a vertex that moves by
    0.01 px or more, or one that is added, changes it.
    """
    canonical = sorted([_canonical(piece.exterior), *sorted(map(_canonical, piece.interiors))] for piece in polygons)
    return hashlib.sha256(json.dumps(canonical).encode()).hexdigest()[:16]


def _feature(piece: shapely.Polygon, index: int, frame: OutlineFrame, *, is_stated: bool) -> dict[str, Any]:
    """Return one polygon as a QuPath annotation."""
    rings = [_points(ring, frame) for ring in rings_of(piece)]
    return {
        "type": "Feature",
        "geometry": {"type": "Polygon", "coordinates": rings},
        "properties": {
            "objectType": "annotation",
            "classification": TISSUE_CLASS,
            OURS: index,
            "name": f"Tissue {index + 1}",
            **({ORIGIN: list(frame[:2])} if is_stated else {}),
        },
    }


def oriented(piece: shapely.Polygon) -> shapely.Polygon:
    """Return a polygon whose outer ring runs counter-clockwise in the axes of a file, and its holes clockwise.

    So RFC 7946 (3.1.6) asks of GeoJSON; an area by the order of the points is positive then.
    """
    return orient(piece, 1.0)


def rings_of(piece: shapely.Polygon) -> list[shapely.LinearRing]:
    """Return the outer ring and the holes as they are written to GeoJSON."""
    piece = oriented(piece)
    return [piece.exterior, *piece.interiors]


def _points(ring: shapely.LinearRing, frame: OutlineFrame) -> list[list[float | int]]:
    """Return x, y pairs as ``frame`` counts with ``DECIMALS`` decimals; whole numbers as integers.

    In px of another size they have more decimals: level-0 px come back with as many as they had.
    """
    decimals = DECIMALS if frame[2:] == WHOLE_SLIDE[2:] else MORE_DECIMALS
    rounded = np.round((shapely.get_coordinates(ring) - frame[:2]) * frame[2:], decimals).tolist()
    return [[int(value) if value == int(value) else value for value in point] for point in rounded]


def _dump(value: object) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def _canonical(ring: shapely.LinearRing) -> list[list[int]]:
    """Return the points of a ring in hundredths of a px, from the least one on, in the direction of positive area."""
    points = np.floor(shapely.get_coordinates(ring)[:-1] * 10**DECIMALS + 0.5).astype(np.int64)
    if not shapely.is_ccw(ring):
        points = points[::-1]
    least = points[np.lexsort((points[:, 1], points[:, 0]))[0]]
    starts = np.flatnonzero((points == least).all(axis=1))
    return min(_from(points, int(start)) for start in starts)


def _from(points: NDArray[np.int64], start: int) -> list[list[int]]:
    return np.roll(points, -start, axis=0).tolist()
