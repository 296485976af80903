"""AtlasPatch's optional filters: patches that are nearly all black or nearly all white."""

from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from atlaspatch_core.errors import InvalidProject
from atlaspatch_core.grid import PatchGrid

LEAST_SHARE = 0.7
"""A patch is black or white when this share of its px is (AtlasPatch 1.1.0)."""
BRIGHT = 200
"""Least HSV value of a white px (AtlasPatch 1.1.0)."""


@dataclass(frozen=True, slots=True)
class FilterSpec:
    """What counts as black or white; the defaults are AtlasPatch's."""

    white_thresh: int = 15
    """A bright px of less HSV saturation, 0 to 255, is white."""
    black_thresh: int = 50
    """A px of less gray value, 0 to 255, is black."""

    def __post_init__(self) -> None:
        """Raise InvalidProject unless both are above 0."""
        for field in ("white_thresh", "black_thresh"):
            if getattr(self, field) <= 0:
                raise InvalidProject(f"{field} is {getattr(self, field)}: give a number above 0")


def is_black(patches: NDArray[np.uint8], threshold: int) -> NDArray[np.bool_]:
    """Tell which RGB patches (b, h, w, 3) have a gray value below ``threshold`` in 70 % of their px or more, (b,)."""
    return _share(_converted(patches, cv2.COLOR_RGB2GRAY) < threshold) >= LEAST_SHARE


def is_white(patches: NDArray[np.uint8], threshold: int) -> NDArray[np.bool_]:
    """Tell which RGB patches (b, h, w, 3) have a saturation below ``threshold`` and a value of 200 or more, (b,).

    In 70 % of their px or more; saturation and value are OpenCV's, 0 to 255.
    """
    hsv = _converted(patches, cv2.COLOR_RGB2HSV)
    return _share((hsv[..., 1] < threshold) & (hsv[..., 2] >= BRIGHT)) >= LEAST_SHARE


def keep(patches: NDArray[np.uint8], spec: FilterSpec) -> NDArray[np.bool_]:
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
