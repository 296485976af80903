"""The cells of a grid: what of each patch is coloured, and the colour of its tissue share."""

import cv2
import numpy as np
from numpy.typing import NDArray

from atlaspatch_core.patches.grid import PatchGrid
from atlaspatch_core.patches.scale import Sampling

FILL_OPACITY = 0.55
"""Share of the colour where it covers the slide."""
GAPPED = 5
"""Cells of so many px or more leave their last row and column bare, so that neighbours can be told apart."""
UNKNOWN = 255
"""Code of a share that nobody measured; 0 is no cell, and 1 to 101 are 0 to 100 %."""
UNKNOWN_COLOUR = (128, 128, 128)
EDGE = 254
"""Code of the edge that cells have on a dark slide, white."""
STRIP = 256
"""Rows that are coloured at once, so that no second picture lies in memory."""


def share_colours() -> NDArray[np.uint8]:
    """Return the RGB of each code, shape (256, 3): viridis from 0 % (violet) to 100 % (yellow)."""
    steps = np.round(np.linspace(0, 255, 101)).astype(np.uint8)
    colours = np.zeros((256, 3), np.uint8)
    colours[1:102] = cv2.applyColorMap(steps[:, None], cv2.COLORMAP_VIRIDIS)[:, 0, ::-1]
    colours[EDGE], colours[UNKNOWN] = 255, UNKNOWN_COLOUR
    return colours


def share_codes(shares: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Return the code of each tissue share, whole per cent; of NaN, ``UNKNOWN``."""
    percent = np.round(100 * np.clip(np.nan_to_num(shares), 0, 1)).astype(np.uint8)
    return np.where(np.isnan(shares), np.uint8(UNKNOWN), percent + np.uint8(1)).astype(np.uint8)


def cell_side(sampling: Sampling) -> int:
    """Return the side of a cell, level-0 px: a patch, or the step where patches overlap."""
    return min(sampling.patch_size_level0, sampling.step_size_level0)


def cell_squares(grid: PatchGrid) -> NDArray[np.float64]:
    """Return x0, y0, x1, y1 of each cell, shape (n, 4), level-0 px: the middle of its patch."""
    side = cell_side(grid.sampling)
    near = grid.coords + (grid.sampling.patch_size_level0 - side) / 2
    return np.hstack([near, near + side]).astype(np.float64)


def cell_boxes(squares: NDArray[np.float64], origin: tuple[float, float], factor: NDArray) -> NDArray[np.int64]:
    """Return x0, y0, x1, y1 of what is coloured of each cell, shape (n, 4), px of the picture, the last exclusive.

    ``origin`` is the level-0 px at the picture's corner, ``factor`` px of the picture per level-0 px, along x and y.
    """
    placed = np.floor((squares - np.tile(origin, 2)) * np.tile(factor, 2)).astype(np.int64)
    sides = placed[:, 2:] - placed[:, :2]
    placed[:, 2:] = placed[:, :2] + np.maximum(1, np.where(sides >= GAPPED, sides - 1, sides))
    return placed


def fill_cells(picture: NDArray[np.uint8], boxes: NDArray[np.int64], shares: NDArray[np.float32]) -> None:
    """Colour the cells of a picture by their tissue share, in place; where cells overlap, by the last.

    On a dark slide their bare edges are white, for the colours of low shares are dark.
    """
    codes = np.zeros(picture.shape[:2], np.uint8)
    inside = np.clip(boxes, 0, None).tolist()
    if is_dark(picture):
        for x0, y0, x1, y1 in inside:
            codes[y0 : y1 + 1, x0 : x1 + 1] = EDGE
    for (x0, y0, x1, y1), code in zip(inside, share_codes(shares).tolist(), strict=True):
        codes[y0:y1, x0:x1] = code
    _blend(picture, codes)


def is_dark(picture: NDArray[np.uint8]) -> bool:
    """Tell whether a picture is mostly dark, as those of fluorescence are."""
    return float(picture.mean()) < 96


def _blend(picture: NDArray[np.uint8], codes: NDArray[np.uint8]) -> None:
    """Lay the colours of codes, shape (height, width), over a picture, in place."""
    colours = share_colours().astype(np.float32)
    for row in range(0, len(picture), STRIP):
        strip, part = picture[row : row + STRIP], codes[row : row + STRIP]
        covered = part > 0
        strip[covered] = np.round((1 - FILL_OPACITY) * strip[covered] + FILL_OPACITY * colours[part[covered]])
