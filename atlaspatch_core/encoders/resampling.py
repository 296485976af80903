"""Resizing on any device to the very pixels that Pillow gives: on a CPU by Pillow, elsewhere by its rule.

Pillow's rule (``Image.resize``, antialiased): a pixel is a weighted sum over the source pixels under the filter, whose
width grows with the reduction; the weights are fixed-point numbers of 22 bits; columns come first, and each of the two
passes rounds to whole values. Rounding errors are visible: at 256 to 224 px every fourteenth sum is a tie.

Pillow 13 takes rows first where the height shrinks by much more than the width. Here columns always come first, so that
pixels depend on no version; those of squares never did.

Sums are of int32, which every device has and computes exactly: 255 times weights whose magnitudes sum up to less than 2
is less than 2**31. A matrix product would be one of floating point, which a GPU may round to fewer bits than the
weights have; MPS has no float64.
"""

from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from atlaspatch_core.encoders.declaration import Interpolation

if TYPE_CHECKING:
    from torch import Tensor, device

SUPPORT = {"bilinear": 1.0, "bicubic": 2.0}
"""Half the width of a filter that does not reduce, px."""
BITS = 22
"""Of a weight, behind the point."""


class Taps(NamedTuple):
    """What is summed to each px of a resized side, int32 (k, new)."""

    places: "Tensor"
    """Source px."""
    weights: "Tensor"
    """Times 2**22."""


def resample(pixels: "Tensor", height: int, width: int, interpolation: Interpolation) -> "Tensor":
    """Return uint8 pixels (b, 3, height, width), channels last in memory, from uint8 pixels (b, 3, h, w)."""
    of_device = by_pillow if pixels.device.type == "cpu" else by_weights
    return of_device(pixels, height, width, interpolation)


def by_pillow(pixels: "Tensor", height: int, width: int, interpolation: Interpolation) -> "Tensor":
    """Return what ``resample`` returns: a fifth of the time of the sums on a CPU."""
    import torch
    from PIL import Image

    patches = pixels.permute(0, 2, 3, 1).contiguous().numpy()
    out = np.empty((len(patches), height, width, 3), np.uint8)

    def resize(patch: int) -> None:
        image, how = Image.fromarray(patches[patch]), Image.Resampling[interpolation.upper()]
        out[patch] = np.asarray(image.resize((width, image.height), how).resize((width, height), how))

    with ThreadPoolExecutor(torch.get_num_threads(), "resize") as pool:
        list(pool.map(resize, range(len(patches))))
    return torch.from_numpy(out).permute(0, 3, 1, 2)


def by_weights(pixels: "Tensor", height: int, width: int, interpolation: Interpolation) -> "Tensor":
    """Return what ``resample`` returns, by weighted sums on the device of the pixels."""
    old_height, old_width = pixels.shape[-2:]
    columns = taps_on(pixels.device, old_width, width, interpolation)
    return by_taps(pixels, columns, taps_on(pixels.device, old_height, height, interpolation))


def by_taps(pixels: "Tensor", columns: "Taps | None", rows: "Taps | None") -> "Tensor":
    """Return what ``resample`` returns; None leaves a side as it is.

    Nothing in it depends on the values of pixels, so that ``torch.compile`` can take it as a whole.
    """
    values = pixels.permute(0, 2, 3, 1)
    for axis, taps in ((2, columns), (1, rows)):
        if taps is not None:
            values = weighted_sums(values, axis, taps)
    return values.permute(0, 3, 1, 2)


def weighted_sums(pixels: "Tensor", axis: int, taps: "Taps") -> "Tensor":
    """Return uint8 pixels whose axis is resized."""
    import torch

    shape = [1] * pixels.ndim
    shape[axis] = -1
    total = torch.full((), 1 << (BITS - 1), dtype=torch.int32, device=pixels.device)  # one half, to round
    for place, weight in zip(taps.places.unbind(), taps.weights.unbind(), strict=True):
        total = total + pixels.index_select(axis, place) * weight.view(shape)
    return (total >> BITS).clamp(0, 255).to(torch.uint8)


@lru_cache(maxsize=64)
def taps_on(device: "device", old: int, new: int, interpolation: Interpolation) -> "Taps | None":
    """Return what resizes a side on a device; None where it has the length already.

    Copies to the device are waited for, so that every stream may read them.
    """
    import torch

    if old == new:
        return None
    return Taps(*(torch.from_numpy(values).to(device) for values in filter_taps(old, new, interpolation)))


def filter_taps(old: int, new: int, interpolation: Interpolation) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Return which source pixels are summed to each resized pixel, and their weights times 2**22, both (k, new).

    k is the most that one needs; others have places that count nothing. Raises ValueError where a sum of bytes could
    exceed int32, which no size does by these filters.
    """
    weights = filter_weights(old, new, interpolation)
    if np.abs(weights, dtype=np.int64).sum(axis=1).max() >= 2 << BITS:
        raise ValueError(f"the weights of {interpolation} from {old} to {new} px are too large for sums of int32")
    first = (weights != 0).argmax(axis=1)
    last = old - 1 - (weights[:, ::-1] != 0).argmax(axis=1)
    places = np.minimum(first + np.arange((last - first).max() + 1)[:, None], old - 1)
    counts = first + np.arange(len(places))[:, None] <= last
    values = np.take_along_axis(weights, places.T, axis=1).T
    return places.astype(np.int32), np.where(counts, values, 0).astype(np.int32)


def filter_weights(old: int, new: int, interpolation: Interpolation) -> NDArray[np.int32]:
    """Return the weights of every source pixel in every resized pixel, shape (new, old), times 2**22.

    The operations and their order are Pillow's, to the last bit of float64: else one in some thousands is rounded to
    another whole number.
    """
    scale = old / new
    stretch = max(scale, 1.0)
    support = SUPPORT[interpolation] * stretch
    centre = (np.arange(new)[:, None] + 0.5) * scale
    source = np.arange(old)[None, :]
    first = np.maximum((centre - support + 0.5).astype(int), 0)
    end = np.minimum((centre + support + 0.5).astype(int), old)
    weights = _kernel((source - centre + 0.5) * (1 / stretch), interpolation) * ((source >= first) & (source < end))
    weights /= np.add.accumulate(weights, axis=1)[:, -1:]  # one after the other; numpy's sum would add pairs
    return np.trunc(weights * (1 << BITS) + np.copysign(0.5, weights)).astype(np.int32)


def _kernel(x: NDArray[np.float64], interpolation: Interpolation) -> NDArray[np.float64]:
    """Triangle, or Keys' cubic convolution with a = -0.5 (IEEE ASSP 29, 1981)."""
    x = np.abs(x)
    if interpolation == "bilinear":
        return np.maximum(1 - x, 0)
    near = (1.5 * x - 2.5) * x * x + 1
    far = (((x - 5) * x + 8) * x - 4) * -0.5
    return np.where(x < 1, near, np.where(x < 2, far, 0))
