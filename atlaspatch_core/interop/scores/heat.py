"""Numbers of patches as a picture: each px the mean of the patches that cover it."""

from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from atlaspatch_core.interop.scores.colours import MOST, colour_scale
from atlaspatch_core.interop.scores.smoothing import smoothed

Boxes = NDArray[np.int64]
"""Left, top, right and bottom px of each patch, shape (n, 4)."""


@dataclass(frozen=True, slots=True)
class HeatMap:
    """Numbers over a whole slide."""

    values: NDArray[np.float32]
    """Shape (height, width); NaN where there is no patch, or no tissue."""
    downsample: tuple[float, float]
    """Level-0 px per px, along x and y."""

    @property
    def affine(self) -> NDArray[np.float64]:
        """Shape (3, 3): takes (column, row, 1) of a px's corner to level-0 px (x, y, 1)."""
        across, down = self.downsample
        return np.diag([across, down, 1.0])

    def rgba(
        self,
        colour_map: str = "turbo",
        limits: tuple[float, float] | None = None,
        percentiles: tuple[float, float] = (0.0, 100.0),
    ) -> NDArray[np.uint8]:
        """Return its colours, shape (height, width, 4), transparent where it is blank.

        Args:
            colour_map: One of ``COLOUR_MAPS``.
            limits: Numbers that have the first and the last colour.
            percentiles: The same as percentiles of the px, where there are no limits.

        Raises:
            InvalidScores: No px has a number, and there are no limits; there is no such colour map; or the lower end
                is not first, or one lies beyond what there is.
        """
        scale = colour_scale(self.values.astype(np.float64), colour_map, limits, percentiles)
        alpha = np.where(np.isfinite(self.values), 255, 0).astype(np.uint8)
        return np.dstack([scale.colours(self.values), alpha])


def heat_map(
    scores: NDArray[np.float64],
    coords: NDArray[np.int64],
    side: int,
    slide: tuple[int, int],
    shape: tuple[int, int],
    *,
    smooth: float = 0.0,
    inside: NDArray[np.bool_] | None = None,
) -> HeatMap:
    """Return scores as a picture of the whole slide; where patches overlap, the mean of those that cover a px.

    Args:
        scores: One a patch, (n,); NaN for patches that are left out. Beyond float32, its ends count.
        coords: Top-left corners, level-0 px, (n, 2).
        side: Side of a patch, level-0 px.
        slide: Width and height of level 0, px.
        shape: Height and width of the picture, px.
        smooth: Standard deviation of a Gaussian over the px that have a value, in sides of a patch; 0 for none.
        inside: Which px may have a value, as those of the tissue, of this shape; all by default.
    """
    factor = np.array([shape[1] / slide[0], shape[0] / slide[1]])
    finite = np.isfinite(scores)
    boxes, sigmas = _boxes(coords[finite], side, factor, shape), (smooth * side * factor).tolist()
    shown = np.clip(scores[finite], -MOST, MOST)
    values = smoothed(partial(_means, boxes, shown, shape[1]), shape, (sigmas[0], sigmas[1]))
    if inside is not None:
        values[~inside] = np.nan
    return HeatMap(values, (float(1 / factor[0]), float(1 / factor[1])))


def _boxes(coords: NDArray[np.int64], side: int, factor: NDArray[np.float64], shape: tuple[int, int]) -> Boxes:
    """Return which px each patch covers, at least one."""
    height, width = shape
    near = np.clip(np.round(coords * factor).astype(np.int64), 0, (width - 1, height - 1))
    far = np.clip(np.round((coords + side) * factor).astype(np.int64), near + 1, (width, height))
    return np.hstack([near, far])


def _means(boxes: Boxes, scores: NDArray[np.float64], width: int, first: int, last: int) -> NDArray[np.float64]:
    """Return the means of some rows of the picture; NaN where no patch is."""
    sums, counts = _covered(boxes, scores, (first, last), width)
    return np.divide(sums, counts, out=np.full(sums.shape, np.nan), where=counts > 0)


def _covered(
    boxes: Boxes, scores: NDArray[np.float64], rows: tuple[int, int], width: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the sum of scores and the number of patches at each px.

    No score is ever subtracted again: beside a very large one, that would leave nothing of the others.
    """
    first, last = rows
    some = (boxes[:, 3] > first) & (boxes[:, 1] < last)
    placed = np.clip(boxes[some] - (0, first, 0, first), 0, None).tolist()
    sums, counts = np.zeros((2, last - first, width), np.float64)
    for (left, top, right, bottom), score in zip(placed, scores[some].tolist(), strict=True):
        sums[top:bottom, left:right] += score
        counts[top:bottom, left:right] += 1
    return sums, counts
