from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from rounds import examples
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torchvision.transforms import CenterCrop, Compose, InterpolationMode, Normalize, Resize, ToTensor

from atlaspatch_core.encoders.declaration import IMAGENET_MEAN, IMAGENET_STD, Transform
from atlaspatch_core.encoders.preprocessing import device_function, preprocess
from atlaspatch_core.encoders.resampling import by_pillow, by_weights, filter_taps
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
    assert torch.equal(
        by_weights(pixels, height, width, interpolation), by_pillow(pixels, height, width, interpolation)
    )


SIDES = st.integers(1, 90)


@examples(400)
@given(
    sizes=st.tuples(SIDES, SIDES, SIDES, SIDES),
    interpolation=st.sampled_from(["bilinear", "bicubic"]),
    values=st.sampled_from([[0, 255], [0], [255], [127, 128], range(256)]),
    seed=st.integers(0, 2**20),
)
def test_sums_of_int32_are_pillows_pixels_of_any_size_and_value(sizes, interpolation, values, seed):
    height, width, new_height, new_width = sizes
    drawn = np.random.default_rng(seed).choice(np.array(values, np.uint8), (2, height, width, 3))
    pixels = torch.from_numpy(drawn).permute(0, 3, 1, 2)
    sums = by_weights(pixels, new_height, new_width, interpolation)
    assert sums.dtype == torch.uint8
    assert torch.equal(sums, by_pillow(pixels, new_height, new_width, interpolation))


@examples(200)
@given(old=st.integers(1, 5000), new=st.integers(1, 600), interpolation=st.sampled_from(["bilinear", "bicubic"]))
def test_no_sum_of_bytes_exceeds_int32(old, new, interpolation):
    weights = filter_taps(old, new, interpolation)[1].astype(np.int64)
    half = 1 << 21
    assert 255 * np.maximum(weights, 0).sum(axis=0).max() + half < 2**31
    assert 255 * np.minimum(weights, 0).sum(axis=0).min() >= -(2**31)


def test_columns_come_first_whatever_pillow_does():
    """Pillow 13 takes rows first where the height shrinks by much more; squares are not concerned."""
    tall = torch.from_numpy(noise(400, 40)).permute(0, 3, 1, 2)
    columns_first = by_pillow(by_pillow(tall, 400, 30, "bicubic"), 20, 30, "bicubic")
    assert torch.equal(by_pillow(tall, 20, 30, "bicubic"), columns_first)


TRANSFORMS = [
    Transform(224, 224, "bicubic", IMAGENET_MEAN, IMAGENET_STD),
    Transform(40, 32, "bilinear", IMAGENET_MEAN, IMAGENET_STD),
    Transform(None, 60, "bilinear", IMAGENET_MEAN, IMAGENET_STD),
    Transform(None, None, "bilinear", IMAGENET_MEAN, IMAGENET_STD),
]


@pytest.mark.parametrize("transform", TRANSFORMS)
@pytest.mark.parametrize("side", [64, 97])
def test_what_a_device_computes_is_the_input_that_a_cpu_has(transform, side):
    pixels = torch.from_numpy(noise(side, side)).permute(0, 3, 1, 2)
    on_device = device_function(transform, side, side, torch.device("cpu"))(pixels)
    assert torch.equal(on_device, preprocess(pixels, transform))
    assert on_device.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("transform", TRANSFORMS[:2])
def test_preprocessing_is_one_graph_that_can_be_compiled(transform):
    pixels = torch.from_numpy(noise(97, 97)).permute(0, 3, 1, 2)
    function = device_function(transform, 97, 97, torch.device("cpu"))
    compiled = torch.compile(function, fullgraph=True, dynamic=False, backend="aot_eager")
    assert torch.equal(compiled(pixels), function(pixels))


@pytest.mark.parametrize("transform", TRANSFORMS[:2])
def test_a_device_uses_no_number_of_64_bits_for_pixels(transform):
    """MPS has no float64, and integers of 64 bits are slow on every GPU."""
    kinds = set()

    class Kinds(TorchDispatchMode):
        def __torch_dispatch__(self, function, types, args=(), kwargs=None):
            out = function(*args, **(kwargs or {}))
            kinds.update(value.dtype for value in tree_leaves(out) if isinstance(value, torch.Tensor))
            return out

    function = device_function(transform, 97, 97, torch.device("cpu"))
    with Kinds():
        function(torch.from_numpy(noise(97, 97)).permute(0, 3, 1, 2))
    assert kinds == {torch.uint8, torch.int32, torch.float32}


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
