import logging
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from streaming import encode_batches

from atlaspatch_core.encoders import devices
from atlaspatch_core.encoders.architecture import Built
from atlaspatch_core.encoders.declaration import HALF, PatchEncoder, SlideEncoder, Transform
from atlaspatch_core.encoders.devices import resolve_device
from atlaspatch_core.encoders.inference import encode_slide
from atlaspatch_core.encoders.loaded import LoadedPatchEncoder
from atlaspatch_core.encoders.loading import load_patch_encoder, load_slide_encoder
from atlaspatch_core.encoders.model_cache import MODELS
from atlaspatch_core.encoders.patch import find_patch_encoder
from atlaspatch_core.encoders.patch_encoders import PatchEncoders
from atlaspatch_core.encoders.running import Pooled
from atlaspatch_core.encoders.slide import find_slide_encoder
from atlaspatch_core.encoders.weights import BuiltIn
from atlaspatch_core.errors import InvalidProject, MissingDevice, NoPatches, NotFinite, WrongWeights

UNIT = Transform(None, None, "bilinear", (0.0, 0.0, 0.0), (1.0, 1.0, 1.0))


class MeanColour(torch.nn.Module):
    """Gives the mean of each channel, 0..1."""

    def forward(self, pixels):
        return pixels.mean(dim=(2, 3))


class Reddest(torch.nn.Module):
    """Gives the largest red, 0..1."""

    def forward(self, pixels):
        return pixels[:, :1].amax(dim=(2, 3))


class Dropping(torch.nn.Module):
    """Divides by the red channel: infinite where there is none."""

    def forward(self, pixels):
        return 1 / pixels.mean(dim=(2, 3))


def small_network() -> torch.nn.Module:
    torch.manual_seed(1)
    blocks = []
    for before, after in [(3, 8), (8, 8), (8, 8), (8, 8), (8, 16)]:
        blocks += [torch.nn.Conv2d(before, after, 3, padding=1), torch.nn.BatchNorm2d(after), torch.nn.ReLU()]
    return torch.nn.Sequential(*blocks, torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten())


def encoder(build: Callable[[], torch.nn.Module], name: str = "toy", **changes: Any) -> PatchEncoder:
    declared = PatchEncoder(
        name=name, architecture=Built(build), source=BuiltIn(), dim=None, transform=UNIT, license="Apache-2.0"
    )
    return replace(declared, **changes)


def loaded(build: Callable[[], torch.nn.Module], name: str = "toy", **changes: Any) -> LoadedPatchEncoder:
    return load_patch_encoder(encoder(build, name, **changes))


def patches(count: int, side: int = 16) -> np.ndarray:
    return np.random.default_rng(0).integers(1, 256, (count, side, side, 3), dtype=np.uint8)


def network_in_micro_batches() -> LoadedPatchEncoder:
    return loaded(small_network, transform=Transform(None, 16, "bilinear", HALF, HALF))


def test_one_pass_gives_every_encoder_its_rows_in_order():
    given = patches(7)
    batches = iter([given[:3], given[3:6], given[6:]])
    features = encode_batches(batches, [loaded(MeanColour, "mean"), loaded(Reddest, "red")])
    assert list(features) == ["mean", "red"]
    assert features["mean"].dtype == np.float32
    assert np.allclose(features["mean"], given.mean(axis=(1, 2)) / 255, atol=1e-6)
    assert np.allclose(features["red"][:, 0], given[..., 0].max(axis=(1, 2)) / 255, atol=1e-6)


def test_no_patches_give_empty_features_of_the_right_width():
    assert PatchEncoders([loaded(MeanColour)]).encode(patches(0))[0].shape == (0, 3)


def test_a_network_in_micro_batches_gives_the_features_of_the_eager_one():
    ready = network_in_micro_batches()
    given = patches(6)
    with torch.inference_mode():
        expected = small_network().eval()(torch.from_numpy(given).permute(0, 3, 1, 2) / 127.5 - 1).numpy()
    assert np.allclose(ready.encode(given), expected, atol=1e-4)


class Erratic(torch.nn.Module):
    """Does something else at every call, as a network does that cannot be frozen."""

    def __init__(self) -> None:
        super().__init__()
        self.network = small_network()
        self.calls = 0

    def forward(self, pixels):
        self.calls += 1
        return self.network(pixels) + self.calls


def test_a_network_that_changes_when_frozen_stays_eager():
    ready = loaded(Erratic, transform=Transform(None, 16, "bilinear", HALF, HALF))
    assert type(ready.forward) is Pooled


def test_features_depend_neither_on_the_batch_size_nor_on_the_order():
    ready, given = network_in_micro_batches(), patches(33)
    whole = ready.encode(given)
    assert np.array_equal(np.concatenate([ready.encode(given[i : i + 1]) for i in range(33)]), whole)
    assert np.array_equal(ready.encode(given[::-1])[::-1], whole)
    for size in (5, 32):
        batches = [given[i : i + size] for i in range(0, 33, size)]
        assert np.array_equal(encode_batches(batches, [ready])["toy"], whole)


def test_patches_of_an_encoder_with_a_transform_may_have_any_size():
    ready = loaded(small_network, transform=Transform(16, 16, "bilinear", HALF, HALF))
    assert ready.encode(patches(2, 40)).shape == (2, 16)


class Greedy(torch.nn.Module):
    """Runs out of memory with more than two patches."""

    def __init__(self) -> None:
        super().__init__()
        self.sizes: list[int] = []

    def forward(self, pixels):
        self.sizes.append(len(pixels))
        if len(pixels) > 2:
            raise torch.OutOfMemoryError("no memory")
        return pixels.mean(dim=(2, 3))


def test_out_of_memory_halves_the_batch_from_there_on(caplog: pytest.LogCaptureFixture):
    network, given = Greedy(), patches(11)
    MODELS.release_idle()
    with caplog.at_level(logging.WARNING):
        features = encode_batches([given[:8], given[8:]], [loaded(lambda: network)])
    assert network.sizes[1:] == [8, 4, 2, 2, 2, 2, 2, 1]
    assert np.allclose(features["toy"], given.mean(axis=(1, 2)) / 255, atol=1e-6)
    assert "out of memory with 8 patches at a time; going on with 4" in caplog.text


def test_infinite_features_are_an_error_that_names_the_encoder():
    black = np.zeros((1, 16, 16, 3), np.uint8)
    with pytest.raises(NotFinite, match="toy: gave NaN or infinite features in float32"):
        loaded(Dropping, dim=3).encode(black)


@pytest.mark.parametrize("name", ["gpu", "cuda:x", "xpu", ""])
def test_a_device_that_is_not_known_is_refused(name: str):
    with pytest.raises(InvalidProject, match="use auto, cpu, cuda, cuda:0"):
        resolve_device(name)


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has CUDA")
@pytest.mark.parametrize("name", ["cuda", "cuda:3"])
def test_cuda_that_is_not_there_is_an_error_with_a_cure(name: str):
    with pytest.raises(MissingDevice, match=rf"^the device {name} is not there: torch .*; name another, or take auto"):
        resolve_device(name)


@pytest.mark.skipif(devices.present_device() is not None, reason="this machine has a GPU")
def test_auto_without_a_gpu_is_the_cpu_and_says_so_once(caplog: pytest.LogCaptureFixture):
    devices._cpu_for_want_of_a_gpu.cache_clear()
    assert [resolve_device("auto").type, resolve_device("auto").type] == ["cpu", "cpu"]
    assert caplog.messages == ["this machine has no GPU that torch can use (CUDA or MPS): computing on the CPU"]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="this machine has no CUDA")
def test_auto_is_cuda_where_it_is_there():
    assert resolve_device("auto").type == "cuda"


def test_float16_on_a_cpu_is_float32_without_a_warning(caplog: pytest.LogCaptureFixture):
    assert loaded(MeanColour, precision="float16").precision == "float32"
    assert caplog.messages == []


@pytest.mark.parametrize("autocast", [True, False])
def test_bfloat16_is_near_float32_and_comes_back_as_float32(autocast: bool):
    half = loaded(small_network, precision="bfloat16", autocast=autocast).encode(patches(3))
    assert half.dtype == np.float32
    assert np.allclose(half, loaded(small_network).encode(patches(3)), atol=0.05)
    assert not np.array_equal(half, loaded(small_network).encode(patches(3)))


def test_a_precision_given_at_loading_wins_over_the_declared_one():
    ready = load_patch_encoder(encoder(MeanColour, precision="bfloat16"), precision="float32")
    assert ready.precision == "float32"


def test_real_weights_give_equal_features_in_batches_of_one_and_of_many():
    ready = load_patch_encoder(find_patch_encoder("efficientnet_lite0"))
    given = patches(5, 224)
    assert np.allclose(ready.encode(given)[3], ready.encode(given[3:4])[0], atol=1e-5)


def mean_slide() -> Any:
    return load_slide_encoder(find_slide_encoder("mean-efficientnet_lite0"))


def test_the_mean_of_patches_is_summed_in_float64():
    features = np.full((100_000, 1280), 0.1, np.float32)
    embedding = encode_slide(mean_slide(), features, np.zeros((100_000, 2), np.int32), 256)
    assert embedding.dtype == np.float32
    assert np.array_equal(embedding, np.full(1280, 0.1, np.float32))


def test_a_slide_without_patches_has_no_embedding():
    with pytest.raises(NoPatches, match="mean-efficientnet_lite0: a slide without patches"):
        encode_slide(mean_slide(), np.empty((0, 1280), np.float32), np.empty((0, 5), np.int32), 256)


def test_an_embedding_of_another_dim_or_with_nan_is_an_error():
    with pytest.raises(WrongWeights, match=r"shape \(7,\), not \(1280,\)"):
        encode_slide(mean_slide(), np.ones((2, 7), np.float32), np.zeros((2, 2), np.int32), 256)
    with pytest.raises(NotFinite, match="mean-efficientnet_lite0"):
        encode_slide(mean_slide(), np.full((2, 1280), np.nan, np.float32), np.zeros((2, 2), np.int32), 256)


def test_a_slide_encoder_gets_corners_in_level0_px_as_int64_and_may_return_a_tensor():
    def extent(network, features, coords, patch_size_level0):
        assert coords.dtype == np.int64
        return torch.tensor([coords[:, 0].max() + patch_size_level0, coords[:, 1].max() + patch_size_level0])

    declared = SlideEncoder(name="extent", patch_encoder="toy", dim=2, forward=extent, license="Apache-2.0")
    coords = np.array([[0, 0, 256, 256, 0], [512, 1024, 256, 256, 0]], np.int32)
    embedding = encode_slide(load_slide_encoder(declared), np.ones((2, 3), np.float32), coords, 256)
    assert embedding.tolist() == [768.0, 1280.0]
