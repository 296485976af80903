"""Which tiles each patch needs, and in which order everything is read."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from atlaspatch_core.tiles.layout import TiledLevel


@dataclass(frozen=True, slots=True, eq=False)
class TilePlan:
    """The patches that tiles can serve, in the order in which their last tile comes by."""

    rows: NDArray[np.int64]
    """Shape (n,): their rows in the grid."""
    corners: NDArray[np.int64]
    """Shape (n, 2): x, y, px of the level."""
    first_tiles: NDArray[np.int64]
    """Shape (n, 2): column and row of the tile that holds the top-left px."""
    last_tiles: NDArray[np.int64]
    """Shape (n, 2): column and row of the tile that holds the bottom-right px inside the level."""
    last_numbers: NDArray[np.int64]
    """Shape (n,), ascending: number of the last tile of each."""
    tiles: NDArray[np.int64]
    """Ascending numbers (row by row from 0) of all the tiles they need."""
    uses: NDArray[np.int32]
    """Shape (tile rows × tile columns,): how many of the patches need a tile."""
    others: NDArray[np.int64]
    """Rows of the grid that tiles cannot serve exactly: between px of the level, or where no tile is stored."""


def plan_tiles(level: TiledLevel, coords_level0: NDArray[np.int32], downsample: float, read_size: int) -> TilePlan:
    """Return which tiles the squares of ``read_size`` px of the level need that begin at ``coords_level0`` (n, 2)."""
    positions = coords_level0 / downsample
    corners = np.floor(positions).astype(np.int64)
    size = np.array([level.width, level.height])
    tile_size = np.array([level.tile_width, level.tile_height])
    first, last = corners // tile_size, (np.minimum(corners + read_size, size) - 1) // tile_size
    exact = ((corners == positions) & (corners >= 0) & (corners < size)).all(axis=1)
    if level.padded:
        exact &= (corners + read_size <= size).all(axis=1)
    exact[exact] = _touched(level.byte_counts == 0, first[exact], last[exact]) == 0
    columns = level.offsets.shape[1]
    rows = np.flatnonzero(exact)
    rows = rows[np.argsort(last[rows] @ (1, columns), kind="stable")]
    first, last = first[rows], last[rows]
    uses = _uses(level.offsets.shape, first, last)
    return TilePlan(
        rows=rows,
        corners=corners[rows],
        first_tiles=first,
        last_tiles=last,
        last_numbers=last @ np.array([1, columns]),
        tiles=np.flatnonzero(uses),
        uses=uses,
        others=np.flatnonzero(~exact),
    )


def _touched(marked: NDArray[np.bool_], first: NDArray[np.int64], last: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return (n,): how many marked tiles lie in each rectangle of tiles."""
    sums = np.pad(marked.astype(np.int64).cumsum(0).cumsum(1), ((1, 0), (1, 0)))
    (left, top), (right, bottom) = first.T, last.T + 1
    return sums[bottom, right] - sums[top, right] - sums[bottom, left] + sums[top, left]


def _uses(shape: tuple[int, ...], first: NDArray[np.int64], last: NDArray[np.int64]) -> NDArray[np.int32]:
    """Return, for every tile, in how many of the rectangles of tiles it lies; flat, row by row."""
    steps = np.zeros((shape[0] + 1, shape[1] + 1), np.int32)
    (left, top), (right, bottom) = first.T, last.T + 1
    for row, column, sign in ((top, left, 1), (top, right, -1), (bottom, left, -1), (bottom, right, 1)):
        np.add.at(steps, (row, column), sign)
    return np.ascontiguousarray(steps.cumsum(0).cumsum(1)[:-1, :-1], np.int32).ravel()
