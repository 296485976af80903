"""The picture of a slide's patches: cells that can be seen, in the colour of its tissue share, beside a legend."""

import cv2
import numpy as np
from numpy.typing import NDArray

from atlaspatch_core.patches.grid import PatchGrid
from atlaspatch_core.pipeline.grid_cells import fill_cells
from atlaspatch_core.pipeline.grid_legend import draw_legend
from atlaspatch_core.pipeline.grid_view import GridView, choose_view
from atlaspatch_core.slides.slide import SlideInfo


def draw_grid_picture(thumbnail: NDArray[np.uint8], grid: PatchGrid, info: SlideInfo) -> NDArray[np.uint8]:
    """Return the slide with its patches, RGB, the picture at the top left and the legend below or to its right.

    No cell is under 4 px; what is shown, and within which bounds, says ``choose_view``. The slide itself is no sharper
    than its thumbnail.
    """
    view = choose_view(grid, info, max(thumbnail.shape[:2]))
    picture = _shown(thumbnail, info, view)
    fill_cells(picture, view.boxes, grid.tissue_fraction[view.rows])
    return _beside(picture, draw_legend(grid, info, view))


def _shown(thumbnail: NDArray[np.uint8], info: SlideInfo, view: GridView) -> NDArray[np.uint8]:
    """Return what a view shows of a slide, from its thumbnail; white beside the slide."""
    across, down = thumbnail.shape[1] / info.width, thumbnail.shape[0] / info.height
    x_step, y_step = across / view.factor, down / view.factor
    placed = np.array(
        [
            [x_step, 0, view.left * across + (x_step - 1) / 2],
            [0, y_step, view.top * down + (y_step - 1) / 2],
        ]
    )
    white = np.full((view.height, view.width, 3), 255, np.uint8)
    how = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    cv2.warpAffine(thumbnail, placed, (view.width, view.height), white, how, cv2.BORDER_REPLICATE)
    x0, y0 = (max(0, round(-corner * view.factor)) for corner in (view.left, view.top))
    x1 = round((info.width - view.left) * view.factor)
    y1 = round((info.height - view.top) * view.factor)
    white[:y0], white[:, :x0], white[max(0, y1) :], white[:, max(0, x1) :] = 255, 255, 255, 255
    return white


def _beside(picture: NDArray[np.uint8], legend: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return both on white, the legend to the right of a picture that is higher than wide, else below."""
    (high, wide), (below, right) = picture.shape[:2], legend.shape[:2]
    is_high = high > wide
    size = (max(high, below), wide + right) if is_high else (high + below, max(wide, right))
    page = np.full((*size, 3), 255, np.uint8)
    page[:high, :wide] = picture
    y, x = (0, wide) if is_high else (high, 0)
    page[y : y + below, x : x + right] = legend
    return page
