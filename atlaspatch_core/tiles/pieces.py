"""Which part of which tile goes where in each patch."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from atlaspatch_core.tiles.layout import TiledLevel
from atlaspatch_core.tiles.plan import TilePlan

PieceOfTile = tuple[int, int, int, int, int, int, int, int, int]
"""A tile's number; top, bottom, left, right in the patch; top, bottom, left, right in the tile, px."""


@dataclass(frozen=True, slots=True)
class PatchPieces:
    """What one patch is made of."""

    decodes: list[int]
    """Numbers of the tiles that no earlier patch needs."""
    is_shared: bool
    """A tile of it is decoded with a patch before ``start``."""
    is_inside: bool
    """No part of it lies outside the level."""
    pieces: list[PieceOfTile]


def patch_pieces(level: TiledLevel, plan: TilePlan, start: int, stop: int, size: int) -> Iterator[PatchPieces]:
    """Yield what the patches start … stop - 1 of a plan, squares of ``size`` px of the level, are made of."""
    starts = plan.starts[start : stop + 1]
    needs = plan.needs[starts[0] : starts[-1]]
    patch = np.repeat(np.arange(start, stop), np.diff(starts))
    owners = plan.first_patch[needs]
    is_shared = (np.minimum.reduceat(owners, starts[:-1] - starts[0]) < start).tolist()
    is_inside = np.all(plan.corners[start:stop] + size <= (level.width, level.height), axis=1).tolist()
    pieces = list(map(tuple, _pieces(level, needs, plan.corners[patch], size).tolist()))
    first = np.where(owners == patch, needs, -1).tolist()
    bounds = (starts - starts[0]).tolist()
    for place, (low, high) in enumerate(pairwise(bounds)):
        decodes = [tile for tile in first[low:high] if tile >= 0]
        yield PatchPieces(decodes, is_shared[place], is_inside[place], pieces[low:high])


def _pieces(level: TiledLevel, tiles: NDArray[np.int64], corners: NDArray[np.int64], size: int) -> NDArray[np.int64]:
    """Return (n, 9): where each tile and the square with that corner (n, 2) overlap, as in ``PieceOfTile``."""
    row, column = np.divmod(tiles, level.offsets.shape[1])
    ends = np.minimum(corners + size, (level.width, level.height))
    in_patch, in_tile = [], []
    for axis, begin, side in (
        (1, row * level.tile_height, level.tile_height),
        (0, column * level.tile_width, level.tile_width),
    ):
        low, high = np.maximum(begin, corners[:, axis]), np.minimum(begin + side, ends[:, axis])
        in_patch += [low - corners[:, axis], high - corners[:, axis]]
        in_tile += [low - begin, high - begin]
    return np.stack([tiles, *in_patch, *in_tile], axis=1)
