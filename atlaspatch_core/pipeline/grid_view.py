"""Which part of a slide a picture of its grid shows, and how large, so that each cell can be seen."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from atlaspatch_core.patches.grid import PatchGrid
from atlaspatch_core.pipeline.grid_cells import GAPPED, cell_boxes, cell_side, cell_squares
from atlaspatch_core.slides.slide import SlideInfo

MOST_PIXELS = 2**24
"""Most px of a picture, its legend apart: 48 MiB in memory."""
LONGEST = 16_384
"""Most px of a side."""
SIDE = 4096
"""Most px of the shorter side where patches are left out."""


@dataclass(frozen=True, slots=True)
class GridView:
    """What a picture shows."""

    left: float
    top: float
    """Level-0 px at the picture's corner."""
    width: int
    height: int
    """px of the picture."""
    factor: float
    """px of the picture per level-0 px."""
    rows: NDArray[np.int64]
    """Shape (m,): the patches that are shown, by their row in the grid."""
    boxes: NDArray[np.int64]
    """Shape (m, 4): x0, y0, x1, y1 of their cells, px of the picture, the last exclusive."""
    is_clipped: bool
    """Whether parts of the slide are left out."""


def choose_view(grid: PatchGrid, info: SlideInfo, longest: int) -> GridView:
    """Return the whole slide, its longer side at ``longest`` px or at more where a cell would be under 4 px.

    Where that takes more than ``MOST_PIXELS``, or a side more than ``LONGEST``, it is the part with patches; where
    that is still too large, the fullest of the windows of that size over it.
    """
    squares, side = cell_squares(grid), cell_side(grid.sampling)
    factor = longest / max(info.width, info.height)
    if len(squares):
        factor = max(factor, GAPPED / side)
    whole = _around(np.vstack([squares, [[0, 0, info.width, info.height]]]))
    if _fits(whole, factor):
        return _view(whole, factor, squares, is_clipped=False)
    patches = _around(squares) + np.array([-side, -side, side, side])
    if not _fits(patches, factor):
        patches = _fullest_window(squares, factor)
    return _view(patches, factor, squares, is_clipped=True)


def _around(squares: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.concatenate([squares[:, :2].min(axis=0), squares[:, 2:].max(axis=0)])


def _size(frame: NDArray[np.float64], factor: float) -> tuple[int, int]:
    """Return width and height of a frame (x0, y0, x1, y1), px of the picture; every cell within it ends within."""
    width, height = np.maximum(1, np.round((frame[2:] - frame[:2]) * factor, 6)).tolist()
    return int(np.ceil(width)), int(np.ceil(height))


def _fits(frame: NDArray[np.float64], factor: float) -> bool:
    width, height = _size(frame, factor)
    return max(width, height) <= LONGEST and width * height <= MOST_PIXELS


def _fullest_window(squares: NDArray[np.float64], factor: float) -> NDArray[np.float64]:
    """Return the frame, of those that lie side by side over the patches, in which most cells begin.

    Neighbours overlap by a cell, so that each cell lies wholly in one of them.
    """
    first = _around(squares)
    shape = np.array(_size(first, factor))
    short, long = int(shape.argmin()), int(shape.argmax())
    if short == long:
        short, long = 0, 1
    shape[short] = min(shape[short], SIDE)
    shape[long] = min(shape[long], LONGEST, MOST_PIXELS // shape[short])
    window = np.floor(shape) / factor
    side = squares[0, 2] - squares[0, 0]
    stride = np.maximum(window - side, side)
    tiles = np.floor((squares[:, :2] - first[:2]) / stride)
    columns = tiles[:, 0].max() + 1
    numbers, counts = np.unique(tiles @ (1, columns), return_counts=True)
    row, column = divmod(numbers[counts.argmax()], columns)
    corner = first[:2] + np.array([column, row]) * stride
    return np.concatenate([corner, corner + window])


def _view(frame: NDArray[np.float64], factor: float, squares: NDArray[np.float64], *, is_clipped: bool) -> GridView:
    width, height = _size(frame, factor)
    left, top = frame[:2].tolist()
    slack = 1e-6 / factor
    is_inside = (squares[:, :2] >= frame[:2] - slack).all(axis=1) & (squares[:, 2:] <= frame[2:] + slack).all(axis=1)
    rows = np.flatnonzero(is_inside)
    boxes = cell_boxes(squares[rows], (left, top), np.array([factor, factor]))
    return GridView(left, top, width, height, factor, rows, boxes, is_clipped)
