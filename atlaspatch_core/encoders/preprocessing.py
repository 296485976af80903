"""From uint8 patches to the input of a network, on the network's device."""

from collections.abc import Callable
from functools import lru_cache
from typing import TYPE_CHECKING

from atlaspatch_core.encoders.declaration import Transform
from atlaspatch_core.encoders.resampling import by_taps, resample, taps_on
from atlaspatch_core.errors import GeometryMismatch

if TYPE_CHECKING:
    from torch import Tensor, device


def preprocess(pixels: "Tensor", transform: Transform) -> "Tensor":
    """Return float32 input (b, 3, h, w), channels last in memory, from uint8 pixels (b, 3, h, w) on the same device.

    Before the normalisation, the pixels are those of torchvision's ``Resize`` and ``CenterCrop`` on PIL images; a patch
    that already has the size keeps its own. Raises GeometryMismatch when a patch is smaller than the crop.
    """
    height, width = pixels.shape[-2:]
    if pixels.device.type != "cpu" and transform.antialias:
        return device_function(transform, height, width, pixels.device)(pixels)
    return normalise(resize_and_crop(pixels, transform), transform)


@lru_cache(maxsize=64)
def device_function(transform: Transform, height: int, width: int, device: "device") -> "Callable[[Tensor], Tensor]":
    """Return ``preprocess`` for uint8 pixels of one size on one device: two passes of sums, and the normalisation.

    All that is looked up is looked up here, and no branch depends on values: ``torch.compile`` takes it as a whole. It
    may then fuse a product with a sum, so that input differs in its last bit; pixels never do.
    """
    new_height, new_width = _resized(height, width, transform.resize)
    columns = taps_on(device, width, new_width, transform.interpolation)
    rows = taps_on(device, height, new_height, transform.interpolation)
    scale, shift = _scale_and_shift(transform, transform.crop or new_width, device)

    def preprocess_on_device(pixels: "Tensor") -> "Tensor":
        return _normalised(_crop(by_taps(pixels, columns, rows), transform.crop), scale, shift)

    return preprocess_on_device


def resize_and_crop(pixels: "Tensor", transform: Transform) -> "Tensor":
    """Return whole values 0..255, shape (b, 3, h, w), uint8, or floating point where it was resized plainly."""
    height, width = _resized(pixels.shape[-2], pixels.shape[-1], transform.resize)
    return _crop(_resize(pixels, height, width, transform), transform.crop)


def normalise(pixels: "Tensor", transform: Transform) -> "Tensor":
    """Return (pixels / 255 - mean) / std per channel, float32, channels last in memory."""
    return _normalised(pixels, *_scale_and_shift(transform, pixels.shape[3], pixels.device))


def _normalised(pixels: "Tensor", scale: "Tensor", shift: "Tensor") -> "Tensor":
    import torch

    # Rows of r, g, b, r, g, b …: with three channels innermost, broadcasting over them alone is several times slower.
    pixels = pixels.contiguous(memory_format=torch.channels_last).to(torch.float32, copy=True)
    pixels.permute(0, 2, 3, 1).flatten(2).mul_(scale).sub_(shift)
    return pixels


@lru_cache(maxsize=64)
def _scale_and_shift(transform: Transform, width: int, device: "device") -> "tuple[Tensor, Tensor]":
    """Return what a row of pixels is multiplied by, and what is subtracted then, each (3 · width,), on a device.

    They are computed on the CPU; the copy is waited for, so that every stream may read them.
    """
    import torch

    mean, std = torch.tensor(transform.mean).repeat(width), torch.tensor(transform.std).repeat(width)
    return (1 / (255 * std)).to(device), (mean / std).to(device)


def _resized(height: int, width: int, shorter: int | None) -> tuple[int, int]:
    """Height and width once the shorter side has the given length; the longer one is cut down, as in torchvision."""
    if shorter is None:
        return height, width
    if height <= width:
        return shorter, int(shorter * width / height)
    return int(shorter * height / width), shorter


def _resize(pixels: "Tensor", height: int, width: int, transform: Transform) -> "Tensor":
    from torch.nn.functional import interpolate

    if tuple(pixels.shape[-2:]) == (height, width):
        return pixels
    if transform.antialias:
        return resample(pixels, height, width, transform.interpolation)
    plain = interpolate(pixels.float(), (height, width), mode=transform.interpolation, align_corners=False)
    return plain.round_().clamp_(0, 255)


def _crop(pixels: "Tensor", side: int | None) -> "Tensor":
    if side is None:
        return pixels
    height, width = pixels.shape[-2:]
    if min(height, width) < side:
        raise GeometryMismatch(
            f"a patch of {width} × {height} px is smaller than the {side} px that the encoder crops from it; "
            f"use a patch size of at least {side}"
        )
    top, left = round((height - side) / 2), round((width - side) / 2)
    return pixels[..., top : top + side, left : left + side]


def input_side(transform: Transform | None) -> int | None:
    """Return the side of the square input that every square patch becomes, px; None when it depends on the patch."""
    return None if transform is None else transform.crop or transform.resize
