"""Optional filters on patches: AtlasPatch's, for what is nearly all black or white, and ours for blur and ink."""

from dataclasses import replace

import cv2
import numpy as np
from numpy.typing import NDArray

from atlaspatch_core.patches.filter_spec import FilterSpec
from atlaspatch_core.patches.grid import PatchGrid
from atlaspatch_core.patches.stream import stream_patches
from atlaspatch_core.slides.overview import read_overview
from atlaspatch_core.slides.slide import Slide
from atlaspatch_core.tissue.contours import mask_to_polygons
from atlaspatch_core.tissue.mask import TissueMask
from atlaspatch_core.tissue.segmenters.colour import balanced
from atlaspatch_core.tissue.segmenters.ink import find_ink
from atlaspatch_core.tissue.sharpness import sharpness

LEAST_SHARE = 0.7
"""A patch is black or white when this share of its px is (AtlasPatch 1.1.0)."""
BRIGHT = 200
"""Least HSV value of a white px (AtlasPatch 1.1.0)."""
INK_SEEN_AT = 8.0
"""Scale at which ink is sought, µm per px: close up, dense nuclei have its colour."""


def filter_grid(slide: Slide, grid: PatchGrid, spec: FilterSpec, *, workers: int) -> PatchGrid:
    """Return the grid without the patches that do not pass; each patch is read once, by ``workers`` threads.

    Those with too much ink are not read. Raises UnreadableSlide when pixels cannot be decoded.
    """
    if spec.max_pen is not None and len(grid):
        grid = drop_patches(grid, under_ink(slide, grid) <= np.float32(spec.max_pen))
    passed = np.zeros(len(grid), bool)
    for batch in stream_patches(slide, grid, batch_size=64, workers=workers):
        passed[batch.rows] = is_neither_black_nor_white(batch.patches, spec) & ~is_blurred(
            batch.patches, spec, grid.sampling.mpp
        )
    return drop_patches(grid, passed)


def under_ink(slide: Slide, grid: PatchGrid) -> NDArray[np.float32]:
    """Return the share of each patch's square that is under ink, shape (n,), 0 to 1."""
    overview = read_overview(slide, INK_SEEN_AT)
    ink = find_ink(balanced(overview.pixels), overview.mpp)
    strokes = mask_to_polygons(ink, overview.downsample, slide.info, tolerance=0)
    mask = TissueMask.from_polygons(strokes, slide.info.width, slide.info.height)
    return mask.coverage(grid.coords, grid.sampling.patch_size_level0)


def is_blurred(patches: NDArray[np.uint8], spec: FilterSpec, mpp: float) -> NDArray[np.bool_]:
    """Tell which RGB patches (b, h, w, 3) of ``mpp`` µm per px are less sharp than ``spec`` asks for, (b,).

    Patches of one colour have nothing to be sharp, and are not blurred.
    """
    if spec.min_sharpness is None:
        return np.zeros(len(patches), bool)
    return np.array([sharpness(patch, mpp) < spec.min_sharpness for patch in patches], bool)


def is_black(patches: NDArray[np.uint8], threshold: int) -> NDArray[np.bool_]:
    """Tell which RGB patches (b, h, w, 3) have a gray value below ``threshold`` in 70 % of their px or more, (b,)."""
    return _share(_converted(patches, cv2.COLOR_RGB2GRAY) < threshold) >= LEAST_SHARE


def is_white(patches: NDArray[np.uint8], threshold: int) -> NDArray[np.bool_]:
    """Tell which RGB patches (b, h, w, 3) have a saturation below ``threshold`` and a value of 200 or more, (b,).

    In 70 % of their px or more; saturation and value are OpenCV's, 0 to 255.
    """
    hsv = _converted(patches, cv2.COLOR_RGB2HSV)
    return _share((hsv[..., 1] < threshold) & (hsv[..., 2] >= BRIGHT)) >= LEAST_SHARE


def is_neither_black_nor_white(patches: NDArray[np.uint8], spec: FilterSpec) -> NDArray[np.bool_]:
    """Tell which RGB patches (b, h, w, 3) are neither black nor white, (b,)."""
    return ~(is_black(patches, spec.black_thresh) | is_white(patches, spec.white_thresh))


def drop_patches(grid: PatchGrid, keep_mask: NDArray[np.bool_]) -> PatchGrid:
    """Return the grid of the patches that ``keep_mask`` (n,) is true for."""
    return replace(grid, coords=grid.coords[keep_mask], tissue_fraction=grid.tissue_fraction[keep_mask])


def _converted(patches: NDArray[np.uint8], code: int) -> NDArray[np.uint8]:
    """Convert the colours of all patches at once, shape (b, h, w) or (b, h, w, 3)."""
    if patches.size == 0:
        return np.zeros(patches.shape if code == cv2.COLOR_RGB2HSV else patches.shape[:-1], np.uint8)
    b, h, w, _ = patches.shape
    pixels = cv2.cvtColor(np.ascontiguousarray(patches).reshape(b * h, w, 3), code)
    return np.asarray(pixels, np.uint8).reshape(b, h, w, *pixels.shape[2:])


def _share(pixels: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return the share of px that hold, per patch."""
    return pixels.mean(axis=(1, 2))
