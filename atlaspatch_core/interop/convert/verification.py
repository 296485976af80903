"""Whether a converted file is what was asked for: read back through OpenSlide and held against the slide."""

from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from atlaspatch_core.errors import AtlasPatchError, UnreadableOutput
from atlaspatch_core.interop.convert.settings import TILE, Settings
from atlaspatch_core.interop.convert.sources import PixelSource
from atlaspatch_core.interop.convert.vips import vips
from atlaspatch_core.slides.readers import open_slide
from atlaspatch_core.slides.slide import Region, Slide, SlideInfo

SIDE = 512
"""Side of a region that is compared, px of the result."""
PLACES = ((0.0, 0.0), (0.25, 0.25), (0.5, 0.5), (0.75, 0.25), (1.0, 1.0))
"""Where regions lie: share of the way from the first to the last that fits."""
SAME_MPP = 1e-6
"""Relative; TIFF keeps a resolution as a 32-bit fraction."""
BLOCK = 16
"""Where the scale changed, means of squares of so many px are compared: kernels differ within, not beyond."""
SLACK = 1.0
"""Levels of 255 beyond what compression alone would do."""


def verify_conversion(stem: str, path: Path, pixels: PixelSource, settings: Settings) -> SlideInfo:
    """Return what a converted file says of itself, when it is what was asked for.

    Dimensions, µm per px, levels by halves, and regions of the first and of the second level are compared.
    Raises UnreadableOutput that says what differs.
    """
    try:
        with open_slide(path, reader="openslide") as slide:
            wrong = next(_differences(slide, pixels, settings), "")
            info = slide.info
    except AtlasPatchError as error:
        raise UnreadableOutput(f"{stem}: the converted file cannot be read back ({error}); convert it again") from error
    if wrong:
        raise UnreadableOutput(f"{stem}: the converted file is not as the slide: {wrong}; convert it again")
    return info


def _differences(slide: Slide, pixels: PixelSource, settings: Settings) -> Iterator[str]:
    """Yield what differs, cheapest first."""
    info = slide.info
    expected = (round(pixels.width / settings.downscale), round(pixels.height / settings.downscale))
    if max(abs(info.width - expected[0]), abs(info.height - expected[1])) > (settings.downscale > 1):
        yield f"{info.width} × {info.height} px, expected {expected[0]} × {expected[1]}"
    mpp = pixels.mpp * settings.downscale
    if abs(info.mpp - mpp) > SAME_MPP * mpp:
        yield f"{info.mpp:.8g} µm/px, expected {mpp:.8g}"
    sizes = [(level.width, level.height) for level in info.levels]
    if sizes != list(halves(info.width, info.height)):
        yield f"levels of {sizes} px"
    for place in PLACES:
        yield from _region(slide, pixels, settings, place)


def halves(width: int, height: int) -> Iterator[tuple[int, int]]:
    """Yield the sizes of the levels: each half of the one before, down to one that fits into a tile."""
    yield width, height
    while max(width, height) > TILE:
        width, height = max(1, width // 2), max(1, height // 2)
        yield width, height


def _region(slide: Slide, pixels: PixelSource, settings: Settings, place: tuple[float, float]) -> Iterator[str]:
    """Yield how a region differs."""
    info = slide.info
    width, height = min(SIDE, info.width), min(SIDE, info.height)
    x, y = (int(share * side) for share, side in zip(place, (info.width - width, info.height - height), strict=True))
    x, y = x // 2 * 2, y // 2 * 2
    pixels_found = slide.read_region(Region(x, y, 0, width, height))
    expected = _expected(pixels, settings, (x, y, width, height))
    allowed = 0.0 if settings.compression == "deflate" else 2 * jpeg_error(expected, settings.quality) + SLACK
    if settings.downscale > 1:
        pixels_found, expected, allowed = _means(pixels_found, BLOCK), _means(expected, BLOCK), allowed + 2 * SLACK
    if (error := mean_difference(pixels_found, expected)) > allowed:
        yield f"at ({x}, {y}) pixels differ by {error:.1f} of 255 in the mean, {allowed:.1f} would be usual"
    if len(info.levels) > 1 and settings.downscale == 1:
        half = slide.read_region(Region(x, y, 1, width // 2, height // 2))
        error = mean_difference(_means(half, 8), _means(expected, 16)[: half.shape[0] // 8, : half.shape[1] // 8])
        if error > allowed + 2 * SLACK:
            yield f"at ({x}, {y}) the second level differs by {error:.1f} of 255 from the first"


def _expected(pixels: PixelSource, settings: Settings, place: tuple[int, int, int, int]) -> NDArray[np.uint8]:
    """Return the slide's pixels at a place of the result, at its scale."""
    scale = settings.downscale
    x, y, width, height = place
    x0, y0 = min(round(x * scale), pixels.width - 1), min(round(y * scale), pixels.height - 1)
    across, down = min(round(width * scale), pixels.width - x0), min(round(height * scale), pixels.height - y0)
    region = pixels.region(x0, y0, across, down)
    if scale == 1:
        return region
    return np.asarray(cv2.resize(region, (width, height), interpolation=cv2.INTER_AREA), np.uint8)


def _means(region: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    """Return the means of squares; what does not fill one is left out, but for a region smaller than a square."""
    rows, columns = region.shape[0] // side, region.shape[1] // side
    if not (rows and columns):
        return region
    whole = region[: rows * side, : columns * side]
    return np.asarray(cv2.resize(whole, (columns, rows), interpolation=cv2.INTER_AREA), np.uint8)


def mean_difference(actual: NDArray[np.uint8], expected: NDArray[np.uint8]) -> float:
    """Return the mean absolute difference of two regions of one shape, levels of 255; infinite for other shapes."""
    if actual.shape != expected.shape:
        return float("inf")
    return float(np.abs(actual.astype(np.int16) - expected).mean()) if actual.size else 0.0


def jpeg_error(region: NDArray[np.uint8], quality: int) -> float:
    """Return by how much JPEG of that quality changes a region, in the mean, levels of 255."""
    encoded = vips().Image.new_from_array(region).copy(interpretation="srgb").jpegsave_buffer(Q=quality)
    return mean_difference(vips().Image.new_from_buffer(encoded, "").numpy(), region)
