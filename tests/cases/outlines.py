"""Outlines as a person draws them, and what they go round by winding numbers, without GeoJSON, shapely or OpenCV."""

from typing import Any

import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray

Ring = list[tuple[int, int]]
Places = NDArray[np.bool_]
"""Shape (height, width): px of level 0 whose centre lies in what was drawn."""
WIDTH, HEIGHT = 288, 192
COLUMNS, ROWS = np.meshgrid(np.arange(WIDTH) + 0.5, np.arange(HEIGHT) + 0.5)

points = st.tuples(st.integers(0, WIDTH), st.integers(0, HEIGHT))


def area_of(ring: Ring) -> float:
    x, y = np.array(ring, float).T
    return float(np.abs(np.dot(x, np.roll(y, 1)) - np.dot(y, np.roll(x, 1)))) / 2


lassos = st.lists(points, min_size=3, max_size=7, unique=True).filter(lambda ring: area_of(ring) > 100)
"""Closed walks: convex, concave, or crossing themselves."""
boxes = st.builds(
    lambda x, y, width, height: [(x, y), (x + width, y), (x + width, y + height), (x, y + height)],
    st.integers(0, WIDTH - 100), st.integers(0, HEIGHT - 100), st.integers(70, 200), st.integers(70, 150),
)  # fmt: skip


def gone_round(ring: Ring) -> Places:
    """Return the px that a walk goes round: its winding number there is not 0."""
    winding = np.zeros(COLUMNS.shape, int)
    for (x0, y0), (x1, y1) in zip(ring, [*ring[1:], ring[0]], strict=True):
        left = (x1 - x0) * (ROWS - y0) - (COLUMNS - x0) * (y1 - y0)
        winding += (y0 <= ROWS) & (y1 > ROWS) & (left > 0)
        winding -= (y0 > ROWS) & (y1 <= ROWS) & (left < 0)
    return winding != 0


def closed(ring: Ring) -> list[list[int]]:
    return [list(point) for point in [*ring, ring[0]]]


@st.composite
def polygons(draw) -> tuple[list[Any], Places]:
    """Draw the rings of one polygon, and its px: a lasso, or a box, perhaps with a hole."""
    ring = draw(st.one_of(boxes, lassos))
    if len(ring) != 4 or ring[0][1] != ring[1][1] or not draw(st.booleans()):
        return [closed(ring)], gone_round(ring)
    (left, top), _, (right, bottom), _ = ring
    hole = [(left + 20, top + 10), (left + 20, bottom - 15), (right - 5, bottom - 15), (right - 5, top + 10)]
    return [closed(ring), closed(hole)], gone_round(ring) & ~gone_round(hole)


@st.composite
def drawings(draw) -> tuple[dict[str, Any], Places]:
    """Draw a GeoJSON of several features, and the px that it calls tissue."""
    tissue, ignored = np.zeros((2, HEIGHT, WIDTH), bool)
    features = []
    for _ in range(draw(st.integers(1, 4))):
        kind = draw(st.sampled_from(["Polygon", "MultiPolygon", "GeometryCollection", "LineString"]))
        parts = draw(st.lists(polygons(), min_size=1, max_size=1 if kind in ("Polygon", "LineString") else 3))
        if kind == "LineString":
            ring = draw(lassos)
            parts, geometry = [([], gone_round(ring))], {"type": kind, "coordinates": closed(ring)}
        elif kind == "GeometryCollection":
            geometry = {"type": kind, "geometries": [{"type": "Polygon", "coordinates": rings} for rings, _ in parts]}
        else:
            rings = [rings for rings, _ in parts]
            geometry = {"type": kind, "coordinates": rings[0] if kind == "Polygon" else rings}
        name = draw(st.sampled_from(["Tissue", "Tumor", "Region*", "Ignore*"]))
        places = np.any([places for _, places in parts], axis=0)
        ignored, tissue = (ignored | places, tissue) if name == "Ignore*" else (ignored, tissue | places)
        features.append({"type": "Feature", "geometry": geometry, "properties": {"classification": {"name": name}}})
    return {"type": "FeatureCollection", "features": features}, tissue & ~ignored
