"""A slide seen small: read in blocks, area-averaged, in bounded memory."""

import math
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from atlaspatch_core.isolation.cores import usable_cores
from atlaspatch_core.slides.slide import Level, Region, Slide, SlideInfo

BLOCK = 2048
"""Side of a block that is read at once, px of the level: 28 MB with the reader's own copy."""
THREADS = min(4, usable_cores())
"""Blocks read at once. Speed only."""


@dataclass(frozen=True, slots=True)
class Overview:
    """A whole slide at low power."""

    pixels: NDArray[np.uint8]
    """Shape (height, width, 3), RGB, area-averaged."""
    downsample: float
    """Level-0 px per px of the overview, along either axis; the last row and column may reach over the slide's edge."""
    mpp: float
    """µm per px of the overview."""


@dataclass(frozen=True, slots=True)
class _Plan:
    """Which level is averaged in squares of how many px."""

    index: int
    level: Level
    factor: int


def read_overview(slide: Slide, mpp: float) -> Overview:
    """Return the whole slide at ``mpp`` µm per px or finer, never below half of that unless the slide is coarser.

    The coarsest level that is not coarser than ``mpp`` is read in blocks by a few threads and averaged over squares of
    a whole number of px, so no resampling blurs or shifts the picture, unless the level's axes differ in scale. At most
    ``THREADS`` blocks are held.
    Raises UnreadableSlide when pixels cannot be decoded.
    """
    plan = _plan(slide.info, mpp)
    height, width = -(-plan.level.height // plan.factor), -(-plan.level.width // plan.factor)
    pixels = np.empty((height, width, 3), np.uint8)
    with ThreadPoolExecutor(THREADS) as pool:
        for done in pool.map(_reader(slide, plan, pixels), _blocks(plan)):
            del done
    downsample = plan.level.downsample * plan.factor
    return Overview(_evened(pixels, plan, slide.info), downsample, slide.info.mpp * downsample)


def _plan(info: SlideInfo, mpp: float) -> _Plan:
    """Choose the coarsest level of at most ``mpp`` (within 1 %), and the largest factor that stays within it."""
    most = max(1.0, mpp / info.mpp * 1.01)
    index = max(i for i, level in enumerate(info.levels) if level.downsample <= most or i == 0)
    level = info.levels[index]
    return _Plan(index, level, max(1, int(most / level.downsample)))


def _blocks(plan: _Plan) -> Iterator[tuple[int, int, int, int]]:
    """Yield x, y, width, height of blocks, px of the level; all but the last are whole multiples of the factor."""
    side = plan.factor * max(1, BLOCK // plan.factor)
    for y in range(0, plan.level.height, side):
        for x in range(0, plan.level.width, side):
            yield x, y, min(side, plan.level.width - x), min(side, plan.level.height - y)


def _reader(slide: Slide, plan: _Plan, pixels: NDArray[np.uint8]) -> Callable[[tuple[int, int, int, int]], None]:
    """Return what reads one block and writes its average where it belongs."""

    def read(block: tuple[int, int, int, int]) -> None:
        x, y, width, height = block
        left, top = (round(at * along) for at, along in zip((x, y), plan.level.downsamples, strict=True))
        small = _average(slide.read_region(Region(left, top, plan.index, width, height)), plan.factor)
        row, column = y // plan.factor, x // plan.factor
        pixels[row : row + small.shape[0], column : column + small.shape[1]] = small

    return read


def _evened(pixels: NDArray[np.uint8], plan: _Plan, info: SlideInfo) -> NDArray[np.uint8]:
    """Return the picture with one scale along both axes, where its level has two."""
    if plan.level.axes is None:
        return pixels
    across, down = (plan.level.downsample / along for along in plan.level.axes)
    side = plan.level.downsample * plan.factor
    size = math.ceil(info.width / side), math.ceil(info.height / side)
    to_level = np.array([[across, 0, (across - 1) / 2], [0, down, (down - 1) / 2]])
    how = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    even = cv2.warpAffine(pixels, to_level, size, flags=how, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(even, np.uint8)


def _average(block: NDArray[np.uint8], factor: int) -> NDArray[np.uint8]:
    """Return the mean of each ``factor`` × ``factor`` square; the last row and column are repeated to fill theirs."""
    if factor == 1:
        return block
    down, right = -block.shape[0] % factor, -block.shape[1] % factor
    if down or right:
        block = cv2.copyMakeBorder(block, 0, down, 0, right, cv2.BORDER_REPLICATE).astype(np.uint8)
    size = (block.shape[1] // factor, block.shape[0] // factor)
    return cv2.resize(block, size, interpolation=cv2.INTER_AREA).astype(np.uint8)
