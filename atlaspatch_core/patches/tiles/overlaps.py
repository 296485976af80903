"""Which part of which tile goes where in which patch."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from atlaspatch_core.patches.tiles.plan import TilePlan
from atlaspatch_core.slides.tiles.layout import TiledLevel

Part = list[int]
"""A part of a tile that belongs to a patch: the patch's place in the plan; top, bottom, left, right in the patch, px at
the scale of the level; top, bottom, left, right in the tile. A plain list, because there are millions."""


def tile_overlaps(
    level: TiledLevel, plan: TilePlan, start: int, stop: int, size: int
) -> Iterator[tuple[int, list[Part]]]:
    """Yield the numbers of the tiles at the places start … stop - 1 of a plan, each with its parts.

    Patches are squares of ``size`` px of the level.
    """
    starts = plan.starts[start : stop + 1]
    patches = plan.patches[starts[0] : starts[-1]]
    tiles = np.repeat(plan.tiles[start:stop], np.diff(starts))
    parts = _parts(level, tiles, patches, plan.corners[patches], size).tolist()
    bounds = (starts - starts[0]).tolist()
    for place, tile in enumerate(plan.tiles[start:stop].tolist()):
        yield tile, parts[bounds[place] : bounds[place + 1]]


def _parts(
    level: TiledLevel, tiles: NDArray[np.int64], patches: NDArray[np.int64], corners: NDArray[np.int64], size: int
) -> NDArray[np.int64]:
    """Return (n, 9): where each tile and the square with that corner (n, 2) overlap, as in ``Part``."""
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
    return np.stack([patches, *in_patch, *in_tile], axis=1)
