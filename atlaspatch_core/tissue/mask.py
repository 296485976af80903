"""Which share of a square is tissue."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Self

import cv2
import numpy as np
import shapely
from numpy.typing import NDArray
from shapely.geometry import Polygon
from shapely.geometry.base import BaseGeometry

MAX_PIXELS = 2**23
"""Most px of the raster: 64 MB of integral image."""
UNITS = 2**16
"""Parts of a raster px that tissue is counted in; whole numbers below 2**53 keep every sum exact."""
EDGES_AT_ONCE = 2**16
"""Bounds the memory of the work on edges to some 30 MB."""


@dataclass(frozen=True, slots=True, eq=False)
class TissueMask:
    """The tissue of one slide, ready to be asked for the tissue share of squares."""

    integral: NDArray[np.float64]
    """Shape (rows + 1, columns + 1): tissue area above and left of every raster corner, in 1/65536 raster px."""
    downsample: int
    """Level-0 px per raster px, a power of two: shares of squares on its multiples are exact."""
    width: int
    """px of level 0."""
    height: int
    """px of level 0."""

    @classmethod
    def from_polygons(cls, polygons: Sequence[Polygon], width: int, height: int, max_pixels: int = MAX_PIXELS) -> Self:
        """Count the tissue of polygons on a raster.

        A raster px holds the exact area of tissue in it, so a polygon [0, 100)² is 100 × 100 px. Where polygons
        overlap, tissue counts once; parts outside the slide do not count.

        Args:
            polygons: Outlines with holes, level-0 px.
            width: Of the slide, level-0 px.
            height: Of the slide, level-0 px.
            max_pixels: Of the raster, at most; bounds memory to 8 bytes each.

        Example:
            >>> from shapely import box
            >>> mask = TissueMask.from_polygons([box(0, 0, 100, 50)], width=200, height=100)
            >>> mask.share
            0.25
            >>> mask.coverage(np.array([[0, 0], [50, 25]]), size_level0=100).tolist()
            [0.5, 0.125]
        """
        downsample = 1
        while -(-width // downsample) * -(-height // downsample) > max_pixels:
            downsample *= 2
        shape = (-(-height // downsample), -(-width // downsample))
        shapes = _clipped(_polygons(polygons), width, height)
        area = _rasterise(_edges(shapes, downsample), shape)
        if area.size and (area.min() < 0 or area.max() > UNITS):  # outlines cross: uniting always would take seconds
            area = _rasterise(_edges(_united(shapes), downsample), shape).clip(0, UNITS)
        integral = np.asarray(cv2.integral(area, sdepth=cv2.CV_64F), dtype=np.float64)
        return cls(integral, downsample, width, height)

    @property
    def share(self) -> float:
        """Tissue share of the whole slide, 0 to 1."""
        return float(self.integral[-1, -1]) / UNITS * self.downsample**2 / (self.width * self.height)

    def coverage(self, corners: NDArray[np.integer], size_level0: int) -> NDArray[np.float32]:
        """Return the tissue share of squares, shape (n,), 0 to 1; no tissue is exactly 0.

        ``corners``: shape (n, 2), x, y of top-left corners, level-0 px; ``size_level0``: side of the squares.
        What lies outside the slide is not tissue. A raster px that a square cuts counts by the part inside.
        """
        left, top = (np.clip(corners[:, axis], 0, end) for axis, end in enumerate((self.width, self.height)))
        right = np.clip(corners[:, 0] + size_level0, 0, self.width)
        bottom = np.clip(corners[:, 1] + size_level0, 0, self.height)
        area = self._area(right, bottom) - self._area(left, bottom) - self._area(right, top) + self._area(left, top)
        return (area * (self.downsample**2 / UNITS / size_level0**2)).clip(0, 1).astype(np.float32)

    def _area(self, x: NDArray[np.integer], y: NDArray[np.integer]) -> NDArray[np.float64]:
        """Interpolate the integral image at points (n,) in the slide; never rounds, ``downsample`` is a power of 2."""
        column = np.minimum(x // self.downsample, self.integral.shape[1] - 2)
        row = np.minimum(y // self.downsample, self.integral.shape[0] - 2)
        right, down = x / self.downsample - column, y / self.downsample - row
        upper = self.integral[row, column] * (1 - right) + self.integral[row, column + 1] * right
        lower = self.integral[row + 1, column] * (1 - right) + self.integral[row + 1, column + 1] * right
        return upper * (1 - down) + lower * down


class _Edges(NamedTuple):
    """Straight pieces of outlines, raster px, each array of shape (n,)."""

    x0: NDArray[np.float64]
    y0: NDArray[np.float64]
    x1: NDArray[np.float64]
    y1: NDArray[np.float64]
    turn: NDArray[np.float64]
    """+1 where tissue begins right of the piece, -1 where it ends."""


def _clipped(shapes: NDArray[np.object_], width: int, height: int) -> NDArray[np.object_]:
    """Cut off what lies outside the slide; an array of Polygons."""
    bounds = shapely.bounds(shapes)
    over = (bounds[:, :2] < 0).any(axis=1) | (bounds[:, 2:] > (width, height)).any(axis=1)
    if not over.any():
        return shapes
    inside = shapely.intersection(_valid(shapes[over]), shapely.box(0, 0, width, height))
    return _polygons([*shapes[~over], *inside])


def _united(shapes: NDArray[np.object_]) -> NDArray[np.object_]:
    """Repair Polygons whose outline crosses itself and unite those that meet; an array of Polygons."""
    shapes = _valid(shapes)
    one, other = shapely.STRtree(shapes).query(shapes, predicate="intersects")
    meets = np.isin(np.arange(len(shapes)), one[one != other])
    return _polygons([*shapes[~meets], shapely.union_all(shapes[meets])])


def _valid(shapes: NDArray[np.object_]) -> NDArray[np.object_]:
    """Repair outlines that cross themselves: every part they go round is kept."""
    crossing = ~shapely.is_valid(shapes)
    repaired = shapely.make_valid(shapes[crossing], method="structure", keep_collapsed=False)
    return _polygons([*shapes[~crossing], *repaired])


def _polygons(shapes: Sequence[BaseGeometry]) -> NDArray[np.object_]:
    """Take apart collections; lines and points, which have no area, are dropped."""
    parts = shapely.get_parts(shapely.get_parts(np.array(shapes, dtype=object)))
    return parts[shapely.get_type_id(parts) == shapely.GeometryType.POLYGON]


def _edges(polygons: NDArray[np.object_], downsample: int) -> _Edges:
    """Return the edges that are not horizontal."""
    rings, polygon = shapely.get_rings(polygons, return_index=True)
    points, ring = shapely.get_coordinates(rings, return_index=True)
    x, y = points.T / downsample
    same_ring = ring[1:] == ring[:-1]
    edges = _Edges(x[:-1], y[:-1], x[1:], y[1:], np.zeros(0))
    twice_area = np.bincount(ring[:-1], same_ring * (edges.x0 * edges.y1 - edges.x1 * edges.y0), len(rings))
    is_exterior = np.diff(polygon, prepend=-1) != 0
    inward = np.where(is_exterior == (twice_area >= 0), -1, 1)
    turn = inward[ring[:-1]] * np.sign(edges.y1 - edges.y0)
    used = same_ring & (turn != 0)
    return _Edges(edges.x0[used], edges.y0[used], edges.x1[used], edges.y1[used], turn[used])


def _rasterise(edges: _Edges, shape: tuple[int, int]) -> NDArray[np.float64]:
    """Return the tissue area in every raster px, 1/65536 px: whole numbers, shape (rows, columns).

    Every edge, cut where it crosses from one px into the next, adds the area right of it to its px and its height to
    all further px of the row: two entries, and one running sum along the row.
    """
    changes = np.zeros(shape[0] * (shape[1] + 1) + 1)
    for begin in range(0, len(edges.turn), EDGES_AT_ONCE):
        _add_changes(changes, _Edges(*(part[begin : begin + EDGES_AT_ONCE] for part in edges)), shape)
    area = changes[:-1].reshape(shape[0], shape[1] + 1)
    np.cumsum(area, axis=1, out=area)
    area *= UNITS
    return np.rint(area, out=area)[:, :-1]


def _add_changes(changes: NDArray[np.float64], edges: _Edges, shape: tuple[int, int]) -> None:
    """Add what the edges change in the coverage from one px to the next of its row of shape[1] + 1 entries."""
    x0, y0, x1, y1, turn = _cut_at_columns(_flipped(_cut_at_columns(_flipped(edges))))
    x, height = (x0 + x1) / 2, turn * np.abs(y1 - y0)
    column = np.floor(x).astype(np.int64).clip(0, shape[1])
    row = np.floor((y0 + y1) / 2).astype(np.int64).clip(0, shape[0] - 1)
    cell = row * (shape[1] + 1) + column
    beyond = height * (x - column)
    np.add.at(changes, cell, height - beyond)
    np.add.at(changes, cell + 1, beyond)


def _flipped(edges: _Edges) -> _Edges:
    """Swap x and y."""
    return _Edges(edges.y0, edges.x0, edges.y1, edges.x1, edges.turn)


def _cut_at_columns(edges: _Edges) -> _Edges:
    """Cut edges wherever x is a whole number; what remains lies within one column."""
    swap = edges.x0 > edges.x1
    x0, x1 = np.where(swap, edges.x1, edges.x0), np.where(swap, edges.x0, edges.x1)
    y0, y1 = np.where(swap, edges.y1, edges.y0), np.where(swap, edges.y0, edges.y1)
    first = np.floor(x0)
    pieces = np.maximum(np.ceil(x1) - first, 1).astype(np.int64)
    edge = np.repeat(np.arange(len(x0)), pieces)
    column = first[edge] + np.arange(len(edge)) - (np.cumsum(pieces) - pieces)[edge]
    slope = np.divide(y1 - y0, x1 - x0, out=np.zeros_like(x0), where=x1 > x0)[edge]
    low, high = np.maximum(column, x0[edge]), np.minimum(column + 1, x1[edge])
    at_low = y0[edge] + slope * (low - x0[edge])
    at_high = y1[edge] - slope * (x1[edge] - high)  # not from ``at_low``: a vertical edge has no slope
    return _Edges(low, at_low, high, at_high, edges.turn[edge])
