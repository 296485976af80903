"""Which tiles each patch needs, and in which order everything is read."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from atlaspatch_core.tiles.layout import TiledLevel


@dataclass(frozen=True, slots=True, eq=False)
class TilePlan:
    """The patches that tiles can serve, in the order in which their last tile lies in the file."""

    rows: NDArray[np.int64]
    """Shape (n,): their rows in the grid."""
    corners: NDArray[np.int64]
    """Shape (n, 2): x, y, px of the level."""
    starts: NDArray[np.int64]
    """Shape (n + 1,): the tiles of patch i are ``needs[starts[i] : starts[i + 1]]``."""
    needs: NDArray[np.int64]
    """Numbers of tiles, which count row by row from 0."""
    first_patch: NDArray[np.int64]
    """Shape (tile rows × tile columns,): the first patch that needs a tile; n where none does."""
    uses: NDArray[np.int64]
    """Shape (tile rows × tile columns,): how many patches need a tile."""
    others: NDArray[np.int64]
    """Rows of the grid that tiles cannot serve exactly: between px of the level, or where no tile is stored."""

    @property
    def tiles(self) -> NDArray[np.int64]:
        """Ascending numbers of all the tiles that some patch needs."""
        return np.flatnonzero(self.uses)


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
    rows = np.flatnonzero(exact)
    rows = rows[np.lexsort((last[rows, 0], last[rows, 1]))]
    starts, needs = _needs(first[rows], last[rows], level.offsets.shape[1])
    first_patch = np.full(level.offsets.size, len(rows))
    np.minimum.at(first_patch, needs, np.repeat(np.arange(len(rows)), np.diff(starts)))
    return TilePlan(
        rows=rows,
        corners=corners[rows],
        starts=starts,
        needs=needs,
        first_patch=first_patch,
        uses=np.bincount(needs, minlength=level.offsets.size),
        others=np.flatnonzero(~exact),
    )


def _touched(marked: NDArray[np.bool_], first: NDArray[np.int64], last: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return (n,): how many marked tiles lie in each rectangle of tiles."""
    sums = np.pad(marked.astype(np.int64).cumsum(0).cumsum(1), ((1, 0), (1, 0)))
    (left, top), (right, bottom) = first.T, last.T + 1
    return sums[bottom, right] - sums[top, right] - sums[bottom, left] + sums[top, left]


def _needs(
    first: NDArray[np.int64], last: NDArray[np.int64], columns: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return starts (n + 1,) and the numbers of the tiles in each rectangle of tiles, row by row."""
    across, down = (last - first + 1).T
    starts = np.concatenate([[0], np.cumsum(across * down)])
    patch = np.repeat(np.arange(len(first)), across * down)
    row, column = np.divmod(np.arange(starts[-1]) - starts[patch], across[patch])
    return starts, (first[patch, 1] + row) * columns + first[patch, 0] + column
