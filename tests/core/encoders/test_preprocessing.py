from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms import CenterCrop, Compose, InterpolationMode, Normalize, Resize, ToTensor

from atlaspatch_core.encoders.declaration import IMAGENET_MEAN, IMAGENET_STD, Transform
from atlaspatch_core.encoders.preprocessing import preprocess
from atlaspatch_core.encoders.resampling import by_pillow, by_weights
from atlaspatch_core.errors import GeometryMismatch

pytestmark = pytest.mark.quick


def noise(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(7).integers(0, 256, (3, height, width, 3), dtype=np.uint8)


def plain(resize: int | None, crop: int | None, interpolation: str, antialias: bool = True) -> Transform:
    """A transform whose normalisation gives back the scale 0..1."""
    return Transform(resize, crop, interpolation, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0), antialias)  # pyright: ignore[reportArgumentType]


def ours(patches: np.ndarray, transform: Transform) -> torch.Tensor:
    return preprocess(torch.from_numpy(patches).permute(0, 3, 1, 2), transform)


def reference(patches: np.ndarray, *steps: Callable[..., Any]) -> torch.Tensor:
    pipeline: Any = Compose([*steps, ToTensor()])
    return torch.stack([pipeline(Image.fromarray(patch)) for patch in patches])


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
@pytest.mark.parametrize(
    ("height", "width", "resize", "crop"),
    [(256, 256, 224, 224), (512, 512, 235, 224), (100, 100, 224, 224), (150, 233, 224, 192), (233, 150, 96, 96)],
)
def test_pixels_are_those_of_torchvision_on_pil_images(height, width, resize, crop, interpolation):
    patches = noise(height, width)
    expected = reference(patches, Resize(resize, InterpolationMode(interpolation), antialias=True), CenterCrop(crop))
    difference = (ours(patches, plain(resize, crop, interpolation)) - expected).abs().max()
    assert float(difference) < 0.5 / 255


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
@pytest.mark.parametrize(("side", "size"), [(256, (224, 224)), (512, (235, 224)), (100, (224, 300)), (97, (96, 31))])
def test_every_device_gives_pillows_very_pixels(side, size, interpolation):
    pixels = torch.from_numpy(noise(side, side)).permute(0, 3, 1, 2)
    height, width = size
    sums = by_weights(pixels, height, width, interpolation)
    assert torch.equal(sums, by_pillow(pixels, height, width, interpolation).double())


def test_a_patch_of_the_right_size_keeps_its_pixels():
    patches = noise(224, 224)
    assert torch.allclose(ours(patches, plain(224, 224, "bicubic")), reference(patches), atol=1e-6, rtol=0)


def test_no_resize_and_no_crop_leave_any_size():
    assert ours(noise(60, 40), plain(None, None, "bilinear")).shape == (3, 3, 60, 40)


def test_channels_are_normalised_by_their_own_mean_and_std():
    patches = noise(32, 32)
    expected = Normalize(IMAGENET_MEAN, IMAGENET_STD)(reference(patches))
    given = ours(patches, Transform(None, None, "bilinear", IMAGENET_MEAN, IMAGENET_STD))
    assert torch.allclose(given, expected, atol=1e-5, rtol=0)


def test_the_given_pixels_are_left_alone():
    patches = noise(32, 32)
    before = patches.copy()
    ours(patches, plain(16, 16, "bilinear"))
    assert np.array_equal(patches, before)


def test_without_antialias_shrinking_looks_at_the_nearest_pixels_only():
    stripes = np.zeros((1, 64, 64, 3), np.uint8)
    stripes[:, :, ::4] = 255
    shrunk = ours(stripes, plain(16, None, "bilinear", antialias=False))
    assert float(shrunk.max()) == 0
    assert float(ours(stripes, plain(16, None, "bilinear")).min()) > 0.1


def test_a_patch_smaller_than_the_crop_is_refused():
    with pytest.raises(GeometryMismatch, match="100 × 100 px is smaller than the 224 px"):
        ours(noise(100, 100), plain(None, 224, "bilinear"))
