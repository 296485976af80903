"""Resizing on any device to the very pixels that Pillow gives: on a CPU by Pillow, elsewhere by its rule.

Pillow's rule (``Image.resize``, antialiased): a pixel is a weighted sum over the source pixels under the filter, whose
width grows with the reduction; the weights are fixed-point numbers of 22 bits; columns come first, and each of the two
passes rounds to whole values. Rounding errors are visible: at 256 to 224 px every fourteenth sum is a tie.
"""

from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from atlaspatch_core.encoders.declaration import Interpolation

if TYPE_CHECKING:
    from torch import Tensor, device

SUPPORT = {"bilinear": 1.0, "bicubic": 2.0}
"""Half the width of a filter that does not reduce, px."""
FIXED_POINT = 1 << 22
BAND = 32
"""Outputs that share one dense matrix: the full one would be zeros for the most part."""


def resample(pixels: "Tensor", height: int, width: int, interpolation: Interpolation) -> "Tensor":
    """Return whole values 0..255, shape (b, 3, height, width), uint8 or float64, from uint8 pixels (b, 3, h, w)."""
    of_device = by_pillow if pixels.device.type == "cpu" else by_weights
    return of_device(pixels, height, width, interpolation)


def by_pillow(pixels: "Tensor", height: int, width: int, interpolation: Interpolation) -> "Tensor":
    """Return what ``resample`` returns, uint8: a fifth of the time of the sums on a CPU."""
    import torch
    from PIL import Image

    patches = pixels.permute(0, 2, 3, 1).contiguous().numpy()
    out = np.empty((len(patches), height, width, 3), np.uint8)

    def resize(patch: int) -> None:
        image = Image.fromarray(patches[patch])
        out[patch] = np.asarray(image.resize((width, height), Image.Resampling[interpolation.upper()]))

    with ThreadPoolExecutor(torch.get_num_threads(), "resize") as pool:
        list(pool.map(resize, range(len(patches))))
    return torch.from_numpy(out).permute(0, 3, 1, 2)


def by_weights(pixels: "Tensor", height: int, width: int, interpolation: Interpolation) -> "Tensor":
    """Return what ``resample`` returns, float64, by weighted sums on the device of the pixels."""
    values = pixels.double().contiguous()
    return _columns_of(_columns_of(values, width, interpolation).mT, height, interpolation).mT


def _columns_of(values: "Tensor", width: int, interpolation: Interpolation) -> "Tensor":
    """Resize the last axis."""
    if values.shape[-1] == width:
        return values
    out = values.new_empty((*values.shape[:-1], width))
    for first, start, matrix in _bands(values.shape[-1], width, interpolation, values.device):
        source = values[..., start : start + matrix.shape[0]]
        out[..., first : first + matrix.shape[1]] = source @ matrix
    return out.add_(0.5).floor_().clamp_(0, 255)


@lru_cache(maxsize=64)
def _bands(old: int, new: int, interpolation: Interpolation, device: "device") -> tuple[tuple[int, int, "Tensor"], ...]:
    """Return (first output, first input, weights (inputs, outputs)) per band of outputs."""
    import torch

    weights = filter_weights(old, new, interpolation)
    bands = []
    for first in range(0, new, BAND):
        rows = weights[first : first + BAND]
        used = np.flatnonzero(rows.any(axis=0))
        block = rows[:, used[0] : used[-1] + 1].T
        bands.append((first, int(used[0]), torch.from_numpy(np.ascontiguousarray(block)).to(device)))
    return tuple(bands)


def filter_weights(old: int, new: int, interpolation: Interpolation) -> NDArray[np.float64]:
    """Return the weights of every source pixel in every resized pixel, shape (new, old); multiples of 2**-22."""
    scale = old / new
    stretch = max(scale, 1.0)
    support = SUPPORT[interpolation] * stretch
    centre = (np.arange(new)[:, None] + 0.5) * scale
    source = np.arange(old)[None, :]
    first = np.maximum((centre - support + 0.5).astype(int), 0)
    end = np.minimum((centre + support + 0.5).astype(int), old)
    weights = _kernel((source - centre + 0.5) / stretch, interpolation) * ((source >= first) & (source < end))
    weights /= weights.sum(axis=1, keepdims=True)
    return np.trunc(weights * FIXED_POINT + np.copysign(0.5, weights)) / FIXED_POINT


def _kernel(x: NDArray[np.float64], interpolation: Interpolation) -> NDArray[np.float64]:
    """Triangle, or Keys' cubic convolution with a = -0.5 (IEEE ASSP 29, 1981)."""
    x = np.abs(x)
    if interpolation == "bilinear":
        return np.maximum(1 - x, 0)
    near = (1.5 * x - 2.5) * x * x + 1
    far = ((-0.5 * x + 2.5) * x - 4) * x + 2
    return np.where(x < 1, near, np.where(x < 2, far, 0))
