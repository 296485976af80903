"""From uint8 patches to the input of a network, on the network's device."""

from typing import TYPE_CHECKING

from atlaspatch_core.encoders.declaration import Transform
from atlaspatch_core.encoders.resampling import resample
from atlaspatch_core.errors import GeometryMismatch

if TYPE_CHECKING:
    from torch import Tensor


def preprocess(pixels: "Tensor", transform: Transform) -> "Tensor":
    """Return float32 input (b, 3, h, w), channels last in memory, from uint8 pixels (b, 3, h, w) on the same device.

    Before the normalisation, the pixels are those of torchvision's ``Resize`` and ``CenterCrop`` on PIL images; a patch
    that already has the size keeps its own. Raises GeometryMismatch when a patch is smaller than the crop.
    """
    return normalise(resize_and_crop(pixels, transform), transform)


def resize_and_crop(pixels: "Tensor", transform: Transform) -> "Tensor":
    """Return whole values 0..255, shape (b, 3, h, w), uint8 when nothing had to be resized, else floating point."""
    if transform.resize is not None:
        pixels = _resize(pixels, *_resized(pixels.shape[-2], pixels.shape[-1], transform.resize), transform)
    return pixels if transform.crop is None else _crop(pixels, transform.crop)


def normalise(pixels: "Tensor", transform: Transform) -> "Tensor":
    """Return (pixels / 255 - mean) / std per channel, float32, channels last in memory."""
    import torch

    # Rows of r, g, b, r, g, b …: with three channels innermost, broadcasting over them alone is several times slower.
    pixels = pixels.contiguous(memory_format=torch.channels_last).to(torch.float32, copy=True)
    rows = pixels.permute(0, 2, 3, 1).flatten(2)
    mean = torch.tensor(transform.mean, device=pixels.device).repeat(pixels.shape[3])
    std = torch.tensor(transform.std, device=pixels.device).repeat(pixels.shape[3])
    rows.mul_(1 / (255 * std)).sub_(mean / std)
    return pixels


def _resized(height: int, width: int, shorter: int) -> tuple[int, int]:
    """Height and width once the shorter side has the given length; the longer one is cut down, as in torchvision."""
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


def _crop(pixels: "Tensor", side: int) -> "Tensor":
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
