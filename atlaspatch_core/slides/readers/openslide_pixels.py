"""What OpenSlide's RGBA px are as RGB: the background colour where they are transparent, white outside the slide."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from atlaspatch_core.slides.slide import Level, Region

WHITE = (255, 255, 255)


def background_of(properties: Mapping[str, str]) -> tuple[int, int, int]:
    """Return the RGB of empty glass (``openslide.background-color``, six hex digits), white where none is stated."""
    try:
        red, green, blue = bytes.fromhex(properties.get("openslide.background-color", "ffffff").lstrip("#"))
    except ValueError:
        return WHITE
    return red, green, blue


def place_of(region: Region, level: Level) -> tuple[int, int]:
    """Return what to call a place for OpenSlide, which divides it by one downsample, whatever the axis."""
    if level.axes is None:
        return region.x, region.y
    across, down = level.axes
    return round(region.x / across * level.downsample), round(region.y / down * level.downsample)


def backdrop(region: Region, level: Level, background: tuple[int, int, int]) -> NDArray[np.uint8]:
    """Return what lies under a region's transparent pixels, shape (height, width, 3) or one colour for all.

    ``background`` where the region overlaps the slide, white elsewhere.
    """
    if background == WHITE:
        return np.array(WHITE, np.uint8)
    left, top = (at / along for at, along in zip((region.x, region.y), level.downsamples, strict=True))
    under = np.full((region.height, region.width, 3), 255, np.uint8)
    rows = slice(max(0, int(-top)), max(0, int(np.ceil(level.height - top))))
    columns = slice(max(0, int(-left)), max(0, int(np.ceil(level.width - left))))
    under[rows, columns] = background
    return under


def composite(rgba: NDArray[np.uint8], under: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return ``rgba`` (height, width, 4) laid over ``under``, rounded to the nearest value."""
    if (rgba[..., 3] == 255).all():
        return np.ascontiguousarray(rgba[..., :3])
    alpha = rgba[..., 3:].astype(np.uint16)
    return ((rgba[..., :3] * alpha + under * (255 - alpha) + 127) // 255).astype(np.uint8)
