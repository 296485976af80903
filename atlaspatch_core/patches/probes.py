"""The four-probe test by which AtlasPatch 1.1.0 chooses patches, for all contours of a slide at once."""

from collections.abc import Sequence
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from atlaspatch_core.patches.scale import Sampling

Ring = NDArray[np.int32]
"""Shape (n, 2): x, y of the corners of a closed outline, level-0 px; it may touch or cross itself, or be one point."""
Contours = tuple[Ring, Sequence[Ring]]
"""An exterior and its holes."""


def probe_grid(contours: Sequence[Contours], sampling: Sampling, width: int, height: int) -> NDArray[np.int32]:
    """Return the patches of contours (exterior, holes): x, y of top-left corners, shape (n, 2), level-0 px.

    A patch on the lattice from (0, 0) is kept when a corner of the square of half its size around its centre lies in
    or on the exterior, and its centre in none of the holes. Order: contour by contour, then y, then x. A patch that
    several contours keep stands where the first has it (AtlasPatch writes it again for each). Patches that begin
    outside the slide of ``width`` × ``height`` px are left out; AtlasPatch's own contours never reach there.
    """
    if not contours:
        return np.zeros((0, 2), np.int32)
    size, step = sampling.patch_size_level0, sampling.step_size_level0
    exteriors = [exterior for exterior, _ in contours]
    cells, edges = _cells_around(exteriors, size, step), _edges_upward(exteriors)
    centre = size // 2
    shift = centre // 2
    keep = np.zeros(cells.sizes.sum(), bool)
    for dx, dy in ((-shift, -shift), (shift, -shift), (-shift, shift), (shift, shift)) if shift else ((0, 0),):
        keep |= _locate(edges, cells.moved(centre + dx, centre + dy), step) >= 0
    keep &= ~_in_holes([holes for _, holes in contours], cells.moved(centre, centre), step)
    corners = cells.points(step)[keep]
    corners = corners[(corners < (width, height)).all(axis=1)]
    _, first = np.unique(corners @ (1, width), return_index=True)
    return corners[np.sort(first)].astype(np.int32)


class _Cells(NamedTuple):
    """One block of lattice points per ring, block after block, each row by row; every array of shape (rings,)."""

    x: NDArray[np.int64]
    """Of the first point of the block."""
    y: NDArray[np.int64]
    columns: NDArray[np.int64]
    rows: NDArray[np.int64]

    @property
    def sizes(self) -> NDArray[np.int64]:
        """Points of each block."""
        return self.columns * self.rows

    @property
    def begin(self) -> NDArray[np.int64]:
        """Index of the first point of each block."""
        return np.cumsum(self.sizes) - self.sizes

    def moved(self, dx: int, dy: int) -> Self:
        """Move every point."""
        return self._replace(x=self.x + dx, y=self.y + dy)

    def points(self, step: int) -> NDArray[np.int64]:
        """List x, y of all points that lie ``step`` px apart, shape (n, 2)."""
        block, index = _ranges(np.zeros_like(self.sizes), self.sizes)
        row, column = np.divmod(index, self.columns[block])
        return np.stack([self.x[block] + column * step, self.y[block] + row * step], axis=1)


class _ProbeEdges(NamedTuple):
    """Edges of rings with (y0, x0) ≤ (y1, x1); every array of shape (n,)."""

    x0: NDArray[np.int64]
    y0: NDArray[np.int64]
    x1: NDArray[np.int64]
    y1: NDArray[np.int64]
    ring: NDArray[np.int64]
    """Index of the ring."""


def _locate(edges: _ProbeEdges, cells: _Cells, step: int) -> NDArray[np.int8]:
    """Tell for each point of each ring's block: 1 inside the ring (even-odd rule), 0 on it, -1 outside; shape (n,).

    Whole-number arithmetic throughout, so the answers are those of OpenCV's ``pointPolygonTest``. Each edge is met
    with the rows of points that it crosses, not with every point.
    """
    top = cells.y[edges.ring]
    last_row = np.minimum((edges.y1 - top) // step, cells.rows[edges.ring] - 1)
    edge, row = _ranges(np.maximum(-((top - edges.y0) // step), 0), last_row + 1)
    ring = edges.ring[edge]
    x0, x1 = edges.x0[edge] - cells.x[ring], edges.x1[edge] - cells.x[ring]
    y0, y1 = edges.y0[edge] - cells.y[ring], edges.y1[edge] - cells.y[ring]
    level = y0 == y1
    # Of a row, an edge lies at x = a / b with b > 0; a level one covers x0 to x1.
    a, b = np.where(level, x0, x0 * (y1 - y0) + (row * step - y0) * (x1 - x0)), np.where(level, 1, y1 - y0) * step
    last = np.where(level, x1 // step, a // b)
    first = -(-a // b)
    columns = cells.columns[ring]
    start = cells.begin[ring] + row * columns
    # A crossing right of all points flips the start of the next row: a row has an even number, so each starts outside.
    flip = (start + np.clip(first, 0, columns))[row * step < y1]
    inside = np.cumsum(np.bincount(flip, minlength=cells.sizes.sum() + 1))[:-1] % 2 == 1
    on = _ranges(start + np.maximum(first, 0), start + np.minimum(last + 1, columns))[1]
    answer = np.where(inside, 1, -1).astype(np.int8)
    answer[on] = 0
    return answer


def _edges_upward(rings: Sequence[Ring]) -> _ProbeEdges:
    """Return the edges of closed rings, each turned to run towards greater y, or greater x where y stays."""
    sizes = np.array([len(points) for points in rings])
    points = np.concatenate(rings).astype(np.int64)
    following = np.arange(1, len(points) + 1)
    following[np.cumsum(sizes) - 1] -= sizes
    (x0, y0), (x1, y1) = points.T, points[following].T
    swap = (y0 > y1) | ((y0 == y1) & (x0 > x1))
    lower = np.where(swap, (x1, y1), (x0, y0))
    upper = np.where(swap, (x0, y0), (x1, y1))
    return _ProbeEdges(lower[0], lower[1], upper[0], upper[1], np.repeat(np.arange(len(rings)), sizes))


def _ranges(start: NDArray[np.int64], stop: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Chain ranges, none where stop ≤ start: for each number the index of its range, and the number."""
    length = np.maximum(stop - start, 0)
    which = np.repeat(np.arange(len(length)), length)
    return which, np.arange(len(which)) + (start - np.cumsum(length) + length)[which]


def _bounds(rings: Sequence[Ring]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the least and greatest x, y of each ring, each (rings, 2)."""
    begin = np.cumsum([0, *(len(points) for points in rings[:-1])])
    points = np.concatenate(rings).astype(np.int64)
    return np.minimum.reduceat(points, begin), np.maximum.reduceat(points, begin)


def _cells_around(rings: Sequence[Ring], size: int, step: int) -> _Cells:
    """Return the top-left corners of the patches that AtlasPatch tries for each exterior."""
    low, high = _bounds(rings)
    start = np.maximum((low - size) // step * step, 0)
    count = np.maximum(-((start - high - 1) // step), 0)
    return _Cells(start[:, 0], start[:, 1], count[:, 0], count[:, 1])


def _in_holes(holes: Sequence[Sequence[Ring]], cells: _Cells, step: int) -> NDArray[np.bool_]:
    """Tell for each point of each exterior's block whether it lies strictly inside a hole of that exterior, (n,)."""
    answer = np.zeros(cells.sizes.sum(), bool)
    rings = [hole for each in holes for hole in each]
    if not rings:
        return answer
    of = np.repeat(np.arange(len(holes)), [len(each) for each in holes])
    low, high = _bounds(rings)
    column, row = (np.maximum(-((at[of] - low[:, i]) // step), 0) for i, at in enumerate((cells.x, cells.y)))
    columns = np.minimum((high[:, 0] - cells.x[of]) // step + 1, cells.columns[of]) - column
    rows = np.minimum((high[:, 1] - cells.y[of]) // step + 1, cells.rows[of]) - row
    start = (cells.x[of] + column * step, cells.y[of] + row * step)
    near = _Cells(*start, np.maximum(columns, 0), np.maximum(rows, 0))
    hole, index = _ranges(np.zeros_like(near.sizes), near.sizes)
    down, right = np.divmod(index, near.columns[hole])
    place = cells.begin[of[hole]] + (row[hole] + down) * cells.columns[of[hole]] + column[hole] + right
    answer[place[_locate(_edges_upward(rings), near, step) > 0]] = True
    return answer
