"""Which tiles each patch needs, and in which order everything is read."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from atlaspatch_core.slides.tiles.layout import TiledLevel

MOST_OPEN_BYTES = 256 * 2**20
"""px of patches that may be begun and not whole. Where more would be, the level is read in bands from top to bottom."""


@dataclass(frozen=True, slots=True, eq=False)
class TilePlan:
    """The tiles in the order in which they lie in the file, and the patches in the order in which they are whole then.

    Very wide levels with patches that overlap are read in bands: then the order is that of the file within a band, and
    a tile on the border of two is decoded once for each.
    """

    rows: NDArray[np.int64]
    """Shape (n,): the rows in the grid of the patches that tiles can serve."""
    corners: NDArray[np.int64]
    """Shape (n, 2): x, y, px of the level."""
    tiles: NDArray[np.int64]
    """Shape (t,): numbers of the tiles, which count row by row from 0."""
    starts: NDArray[np.int64]
    """Shape (t + 1,): the patches under tile i are ``patches[starts[i] : starts[i + 1]]``."""
    patches: NDArray[np.int64]
    """Places of patches in ``rows``."""
    last: NDArray[np.int64]
    """Shape (n,), ascending: the place in ``tiles`` of the last tile that a patch needs."""
    others: NDArray[np.int64]
    """Rows of the grid that tiles cannot serve exactly: between px of the level, or where no tile is stored."""


def plan_tiles(
    level: TiledLevel, coords_level0: NDArray[np.int32], downsamples: tuple[float, float], read_size: int
) -> TilePlan:
    """Return which tiles the squares of ``read_size`` px of the level need that begin at ``coords_level0`` (n, 2).

    ``downsamples`` are those of the level along x and y.
    """
    positions = coords_level0 / downsamples
    corners = np.floor(positions).astype(np.int64)
    size = np.array([level.width, level.height])
    tile_size = np.array([level.tile_width, level.tile_height])
    first, last = corners // tile_size, (np.minimum(corners + read_size, size) - 1) // tile_size
    exact = ((corners == positions) & (corners >= 0) & (corners < size)).all(axis=1)
    if level.padded:
        exact &= (corners + read_size <= size).all(axis=1)
    exact[exact] = _touched(level.byte_counts == 0, first[exact], last[exact]) == 0
    rows = np.flatnonzero(exact)
    first, last = first[rows], last[rows]
    bands = _bands(first, last, 3 * read_size**2)
    order = np.lexsort((last[:, 0], last[:, 1], bands))
    first, last, bands, rows = first[order], last[order], bands[order], rows[order]
    patches, visits = _visits(first, last, bands, level.offsets.shape)
    by_visit = np.argsort(visits, kind="stable")
    visited, starts = np.unique(visits[by_visit], return_index=True)
    ends = (bands * level.offsets.shape[0] + last[:, 1]) * level.offsets.shape[1] + last[:, 0]
    return TilePlan(
        rows=rows,
        corners=corners[rows],
        tiles=visited % level.offsets.size,
        starts=np.append(starts, len(visits)),
        patches=patches[by_visit],
        last=np.searchsorted(visited, ends),
        others=np.flatnonzero(~exact),
    )


def _touched(marked: NDArray[np.bool_], first: NDArray[np.int64], last: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return (n,): how many marked tiles lie in each rectangle of tiles."""
    sums = np.pad(marked.astype(np.int64).cumsum(0).cumsum(1), ((1, 0), (1, 0)))
    (left, top), (right, bottom) = first.T, last.T + 1
    return sums[bottom, right] - sums[top, right] - sums[bottom, left] + sums[top, left]


def _bands(first: NDArray[np.int64], last: NDArray[np.int64], patch_bytes: int) -> NDArray[np.int64]:
    """Return (n,): in which band each patch is read, from 0; rarely is there more than one."""
    if not len(first):
        return np.zeros(0, np.int64)
    top, bottom = first[:, 1].min(), last[:, 1].max()
    begun = np.bincount(first[:, 1] - top, minlength=bottom - top + 2)
    whole = np.bincount(last[:, 1] - top + 1, minlength=bottom - top + 2)
    open_bytes = int(np.cumsum(begun - whole).max()) * patch_bytes
    count = -(-open_bytes // MOST_OPEN_BYTES)
    left, columns = first[:, 0].min(), np.ptp(first[:, 0]) + 1
    return (first[:, 0] - left) * count // columns


def _visits(
    first: NDArray[np.int64], last: NDArray[np.int64], bands: NDArray[np.int64], shape: tuple[int, ...]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the place of each patch once per tile under it, and these tiles' numbers, counted on from band to band."""
    across, down = (last - first + 1).T
    counts = across * down
    patches = np.repeat(np.arange(len(first)), counts)
    row, column = np.divmod(np.arange(len(patches)) - np.repeat(np.cumsum(counts) - counts, counts), across[patches])
    row, column = first[patches, 1] + row, first[patches, 0] + column
    return patches, (bands[patches] * shape[0] + row) * shape[1] + column
