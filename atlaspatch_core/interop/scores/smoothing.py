"""A Gaussian over the px of a picture that have a number; the others keep none, and count for nothing."""

from collections.abc import Callable, Iterator

import cv2
import numpy as np
from numpy.typing import NDArray

BAND = 512
"""Rows that are worked out together."""
REACH = 3.0
"""How far a Gaussian goes, standard deviations."""
ENOUGH = 8.0
"""Standard deviation, px, at which a picture shows a Gaussian well: one that is twice as wide is made smaller."""

Floats = NDArray[np.float64]
Rows = Callable[[int, int], Floats]
"""Returns rows of a picture, from the first to before the last; NaN where there is no number."""
Pair = tuple[float, float]
"""Of the axes x and y."""


def smoothed(rows: Rows, shape: tuple[int, int], sigmas: Pair) -> NDArray[np.float32]:
    """Return a picture of this height and width, smoothed with these standard deviations, px; 0 for none.

    Time grows with the px alone, however wide the Gaussian is: what is as wide as several times ``ENOUGH`` is worked
    out on a picture of blocks, and what lies between their middles is interpolated, to a hundredth of what there is.
    """
    across, down = (max(1, int(sigma // ENOUGH)) for sigma in sigmas)
    is_wide = max(across, down) > 1
    values = np.empty(shape, np.float32)
    for top, band in _bands(rows, shape, (0, 0) if is_wide else sigmas):
        values[top : top + len(band)] = band
    if is_wide:
        _smooth_widely(values, sigmas, (across, down))
    return values


def _bands(rows: Rows, shape: tuple[int, int], sigmas: Pair) -> Iterator[tuple[int, Floats]]:
    """Yield bands of smoothed rows with the number of their first, so that memory grows with the width alone."""
    height, halo = shape[0], int(np.ceil(REACH * sigmas[1]))
    for top in range(0, height, BAND):
        bottom, first = min(height, top + BAND), max(0, top - halo)
        band = rows(first, min(height, bottom + halo))
        if min(sigmas) > 0:
            inside = np.isfinite(band)
            sums, weights = _blurred(np.where(inside, band, 0), sigmas), _blurred(inside.astype(np.float64), sigmas)
            band = np.divide(sums, weights, out=np.full(band.shape, np.nan), where=inside)
        yield top, band[top - first : bottom - first]


def _smooth_widely(values: NDArray[np.float32], sigmas: Pair, block: tuple[int, int]) -> None:
    """Smooth a picture in place, by blocks of px across and down."""
    (across, down), (height, width) = block, values.shape
    size = -(-height // down), -(-width // across)
    sums, weights = np.zeros((2, *size))
    step = max(1, BAND // down)
    bands = [(first, min(size[0], first + step)) for first in range(0, size[0], step)]
    for first, last in bands:
        band = values[first * down : last * down].astype(np.float64)
        inside = np.isfinite(band)
        sums[first:last] = _block_means(np.where(inside, band, 0), block)
        weights[first:last] = _block_means(inside.astype(np.float64), block)
    own = _own_sigma(sigmas[0], across), _own_sigma(sigmas[1], down)
    small = [np.pad(_blurred(picture, own), 1, mode="edge") for picture in (sums, weights)]
    for first, last in bands:
        band = values[first * down : last * down]
        total, weight = (_enlarged(picture[first : last + 2], block)[: len(band), :width] for picture in small)
        np.divide(total, weight, out=band, where=np.isfinite(band), casting="same_kind")


def _block_means(picture: Floats, block: tuple[int, int]) -> Floats:
    """Return the mean of each block; beyond the edge there is 0."""
    (height, width), (across, down) = picture.shape, block
    whole = np.pad(picture, ((0, -height % down), (0, -width % across)))
    return whole.reshape(whole.shape[0] // down, down, whole.shape[1] // across, across).mean((1, 3))


def _enlarged(picture: Floats, block: tuple[int, int]) -> Floats:
    """Return px between the middles of blocks, without the outermost blocks."""
    across, down = block
    size = picture.shape[1] * across, picture.shape[0] * down
    return np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_LINEAR), np.float64)[down:-down, across:-across]


def _own_sigma(sigma: float, block: int) -> float:
    """Return the standard deviation in blocks, less what means of blocks, and px between them, smooth anyway."""
    away = np.abs((np.arange(block) + 0.5) / block - 0.5)
    anyway = (1 - 1 / block**2) / 12 + np.mean(away * (1 - away))
    return float(np.sqrt((sigma / block) ** 2 - anyway))


def _blurred(picture: Floats, sigmas: Pair) -> Floats:
    sizes = [2 * int(np.ceil(REACH * sigma)) + 1 for sigma in sigmas]
    return np.asarray(
        cv2.GaussianBlur(picture, sizes, sigmas[0], sigmaY=sigmas[1], borderType=cv2.BORDER_CONSTANT), np.float64
    )
