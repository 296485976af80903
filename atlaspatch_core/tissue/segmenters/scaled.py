"""Squares of a slide at an exact scale, whatever levels it has; in bounded memory."""

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from atlaspatch_core.slides.slide import Region, Slide, SlideInfo

BLOCK = 2048
"""Longest side that is read at once, px of the level."""
SAME = 1.01
"""A level this much coarser than asked for passes for it."""


@dataclass(frozen=True, slots=True)
class Scale:
    """A slide's pixels at some µm per px."""

    downsample: float
    """Level-0 px per px; below 1 the slide is enlarged."""
    width: int
    """px; the last column may reach over the slide's edge."""
    height: int
    """px; the last row may reach over the slide's edge."""
    level: int
    """Level that is read."""


def scale_to(info: SlideInfo, mpp: float) -> Scale:
    """Return the scale of ``mpp`` µm per px, to be read from the coarsest level that is not coarser."""
    downsample = mpp / info.mpp
    level = max(i for i, level in enumerate(info.levels) if level.downsample <= downsample * SAME or i == 0)
    return Scale(downsample, math.ceil(info.width / downsample), math.ceil(info.height / downsample), level)


def read_square(slide: Slide, scale: Scale, x: int, y: int, side: int) -> NDArray[np.uint8]:
    """Return RGB pixels, shape (side, side, 3), from ``x``, ``y`` px of the scale; white outside the slide.

    Reductions average over areas. Raises UnreadableSlide when the pixels cannot be decoded.
    """
    step = min(side, max(1, int(BLOCK * slide.info.levels[scale.level].downsample / scale.downsample)))
    pixels = np.full((side, side, 3), 255, np.uint8)
    high, wide = min(side, scale.height - y), min(side, scale.width - x)
    for top in range(0, high, step):
        for left in range(0, wide, step):
            height, width = min(step, high - top), min(step, wide - left)
            block = _read(slide, scale, x + left, y + top, width, height)
            pixels[top : top + height, left : left + width] = block
    return pixels


def _read(slide: Slide, scale: Scale, x: int, y: int, width: int, height: int) -> NDArray[np.uint8]:
    """Read one block at once."""
    across, down = (scale.downsample / along for along in slide.info.levels[scale.level].downsamples)
    wide, high = max(1, round(width * across)), max(1, round(height * down))
    region = Region(round(x * scale.downsample), round(y * scale.downsample), scale.level, wide, high)
    pixels = slide.read_region(region)
    if (wide, high) == (width, height):
        return pixels
    how = cv2.INTER_AREA if min(across, down) >= 1 else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(pixels, (width, height), interpolation=how), np.uint8)
