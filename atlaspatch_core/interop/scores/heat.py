"""Numbers of patches as a picture: each px the mean of the patches that cover it."""

from collections.abc import Iterable
from dataclasses import dataclass

import cv2
import numpy as np
import shapely
from numpy.typing import NDArray

from atlaspatch_core.interop.scores.colours import colour_scale

SIGMAS = 3.0
"""How far smoothing reaches, standard deviations."""


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
            InvalidScores: No px has a number, and there are no limits.
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
    tissue: Iterable[shapely.Polygon] | None = None,
) -> HeatMap:
    """Return scores as a picture of the whole slide; where patches overlap, the mean of those that cover a px.

    Args:
        scores: One a patch, (n,); NaN for patches that are left out.
        coords: Top-left corners, level-0 px, (n, 2).
        side: Side of a patch, level-0 px.
        slide: Width and height of level 0, px.
        shape: Height and width of the picture, px.
        smooth: Standard deviation of a Gaussian over the px that have a value, in sides of a patch; 0 for none.
        tissue: Outlines, level-0 px; outside them the picture is blank.
    """
    factor = np.array([shape[1] / slide[0], shape[0] / slide[1]])
    finite = np.isfinite(scores)
    sums, counts = _covered(coords[finite], side, scores[finite], factor, shape)
    if smooth > 0:
        inside = counts > 0
        means = np.divide(sums, counts, out=np.zeros_like(sums), where=inside)
        sigmas = (smooth * side * factor).tolist()
        sums, counts = _blurred(means, sigmas) * inside, _blurred(inside.astype(np.float64), sigmas) * inside
    values = np.divide(sums, counts, out=np.full(shape, np.nan), where=counts > 0)
    if tissue is not None:
        values[~_mask(tissue, factor, shape)] = np.nan
    return HeatMap(values.astype(np.float32), (float(1 / factor[0]), float(1 / factor[1])))


def _covered(
    coords: NDArray[np.int64],
    side: int,
    scores: NDArray[np.float64],
    factor: NDArray[np.float64],
    shape: tuple[int, int],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the sum of scores and the number of patches at each px, by differences at the corners of each patch.

    The work grows with patches and px alone, however large the patches are.
    """
    height, width = shape
    near = np.clip(np.round(coords * factor).astype(np.int64), 0, (width - 1, height - 1))
    far = np.clip(np.round((coords + side) * factor).astype(np.int64), near + 1, (width, height))
    sums, counts = np.zeros((2, height + 1, width + 1), np.float64)
    for x, y, sign in ((near, near, 1), (far, near, -1), (near, far, -1), (far, far, 1)):
        place = y[:, 1], x[:, 0]
        np.add.at(sums, place, sign * scores)
        np.add.at(counts, place, sign)
    covering = np.round(counts.cumsum(0).cumsum(1)[:-1, :-1]).astype(np.float64)
    return np.where(covering > 0, sums.cumsum(0).cumsum(1)[:-1, :-1], 0.0).astype(np.float64), covering


def _blurred(picture: NDArray[np.float64], sigmas: list[float]) -> NDArray[np.float64]:
    sizes = [2 * int(np.ceil(SIGMAS * sigma)) + 1 for sigma in sigmas]
    return np.asarray(
        cv2.GaussianBlur(picture, sizes, sigmas[0], sigmaY=sigmas[1], borderType=cv2.BORDER_CONSTANT), np.float64
    )


def _mask(tissue: Iterable[shapely.Polygon], factor: NDArray[np.float64], shape: tuple[int, int]) -> NDArray[np.bool_]:
    mask = np.zeros(shape, np.uint8)
    for piece in tissue:
        rings = (shapely.get_coordinates(ring) * factor for ring in (piece.exterior, *piece.interiors))
        cv2.fillPoly(mask, [np.floor(ring).astype(np.int32) for ring in rings], 1)
    return mask > 0
