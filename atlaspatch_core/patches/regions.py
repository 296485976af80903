"""Patches read through the slide's reader: one by one, or several neighbours from one block."""

from collections.abc import Iterator
from functools import partial
from itertools import pairwise

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from atlaspatch_core.patches.batch_buffer import BatchBuffer, ReadPlan, ReadTask
from atlaspatch_core.patches.grid import PatchGrid
from atlaspatch_core.patches.grid_spec import Resample
from atlaspatch_core.patches.scale import Sampling
from atlaspatch_core.slides.slide import Level, Region, Slide

BLOCK_SIDE = 1024
"""Longest side of a block, px of the level (where a patch itself is not longer)."""
LEAST_OVERLAP = 1.25
"""px of the patches per px of their block from which on one read of the block is cheaper than a read per patch.

OpenSlide caches decoded tiles, so neighbours that do not overlap cost it little: measured, blocks of them take 1.1
times as long as the patches one by one, whereas with half of each side overlapping they take 0.4 times as long.
"""


def read_patch(slide: Slide, x_level0: int, y_level0: int, sampling: Sampling) -> NDArray[np.uint8]:
    """Return the RGB pixels of the patch with this top-left corner.

    Shape (patch_size, patch_size, 3): ``read_size`` px of ``level``, resampled where that is not ``patch_size``.
    Raises UnreadableSlide when the pixels cannot be decoded.
    """
    side, level = sampling.read_size, slide.info.levels[sampling.level]
    square = slide.read_region(Region(x_level0, y_level0, sampling.level, side, side))
    square = filled_outside(square, np.array([x_level0, y_level0]) / level.downsamples, level, sampling.fill)
    return resampled(square, sampling.patch_size, sampling.resample)


def read_patches_here(slide: Slide, coords: NDArray[np.int32], sampling: Sampling) -> NDArray[np.uint8]:
    """Return the patches with these top-left corners (b, 2): (b, patch_size, patch_size, 3), of this process's slide.

    Black px outside the slide are those of tools that drop OpenSlide's alpha, and so are all others then.
    """
    slide, side = slide.without_alpha() if sampling.fill == 0 else slide, sampling.patch_size
    patches = np.empty((len(coords), side, side, 3), np.uint8)
    for patch, (x, y) in zip(patches, coords.tolist(), strict=True):
        patch[...] = read_patch(slide, x, y, sampling)
    return patches


def filled_outside(
    pixels: NDArray[np.uint8], position: NDArray[np.float64], level: Level, fill: int
) -> NDArray[np.uint8]:
    """Return pixels of which those beyond the right and bottom edge of a level have the value ``fill``, not white.

    ``pixels`` begin at ``position``, x, y, px of the level; a px that lies partly on the slide stays.
    """
    right, bottom = np.ceil((level.width, level.height) - position).astype(int).clip(0).tolist()
    if fill == 255 or (bottom >= pixels.shape[0] and right >= pixels.shape[1]):
        return pixels
    filled = pixels.copy()
    filled[bottom:] = fill
    filled[:, right:] = fill
    return filled


def resampled(pixels: NDArray[np.uint8], patch_size: int, resample: Resample = "area") -> NDArray[np.uint8]:
    """Return a square of pixels at ``patch_size``; the same array where it has that size."""
    if pixels.shape[0] == patch_size:
        return pixels
    size = (patch_size, patch_size)
    if resample == "bicubic":
        return np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.BICUBIC), np.uint8)
    way = cv2.INTER_LINEAR if resample == "bilinear" else cv2.INTER_AREA
    return np.asarray(cv2.resize(pixels, size, interpolation=way), np.uint8)


def region_read_plan(slide: Slide, grid: PatchGrid, rows: NDArray[np.int64], batch_size: int) -> ReadPlan:
    """Return how these rows of the grid are read, neighbours together."""
    cell_side = max(1, BLOCK_SIDE - grid.sampling.read_size) * slide.info.levels[grid.sampling.level].downsample
    cells = (grid.coords[rows] // cell_side).astype(np.int64)
    order = np.lexsort((cells[:, 0], cells[:, 1]))
    rows, cells = rows[order], cells[order]
    new_cells = 1 + np.flatnonzero((np.diff(cells, axis=0) != 0).any(axis=1))
    return ReadPlan(rows, _pieces(slide, grid, rows, batch_size, [0, *new_cells.tolist(), len(rows)]))


def _pieces(
    slide: Slide, grid: PatchGrid, rows: NDArray[np.int64], batch_size: int, borders: list[int]
) -> Iterator[ReadTask]:
    """Yield the patches between two borders as one piece."""
    patch_bytes = 3 * grid.sampling.read_size**2
    for start, stop in pairwise(borders):
        ends = -(-stop // batch_size) if stop == len(rows) else stop // batch_size
        fill = partial(_fill, slide, grid, rows[start:stop], start)
        yield ReadTask(fill, -(-stop // batch_size), ends, (stop - start) * patch_bytes)


def _fill(slide: Slide, grid: PatchGrid, rows: NDArray[np.int64], first: int, shelf: BatchBuffer) -> None:
    """Write the patches of neighbouring rows to the shelf, from place ``first`` on."""
    sampling, coords = grid.sampling, grid.coords[rows]
    positions = coords / slide.info.levels[sampling.level].downsamples
    corners = (positions - positions.min(axis=0)).astype(np.int64)
    width, height = (corners.max(axis=0) + sampling.read_size).tolist()
    worthwhile = len(rows) * sampling.read_size**2 >= LEAST_OVERLAP * width * height
    # A reader may interpolate between px; then only a patch read alone is certain to have the pixels of a patch.
    if not worthwhile or (positions % 1).any():
        for place, (x, y) in enumerate(coords.tolist(), first):
            shelf[place][...] = read_patch(slide, x, y, sampling)
        return
    x, y = coords.min(axis=0).tolist()
    block = slide.read_region(Region(x, y, sampling.level, width, height))
    block = filled_outside(block, positions.min(axis=0), slide.info.levels[sampling.level], sampling.fill)
    for place, (left, top) in enumerate(corners.tolist(), first):
        square = block[top : top + sampling.read_size, left : left + sampling.read_size]
        shelf[place][...] = resampled(square, sampling.patch_size, sampling.resample)
