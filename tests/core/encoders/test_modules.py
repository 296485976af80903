"""A plain module of torch as an encoder: what it computes, by what it is known, and how a wrong one is refused."""

from pathlib import Path

import numpy as np
import pytest
import torch

from atlaspatch_core.encoders import PatchEncoder, SlideEncoder, load_patch_encoder, load_slide_encoder
from atlaspatch_core.encoders.inference import encode_slide
from atlaspatch_core.encoders.plugins import load_plugins
from atlaspatch_core.encoders.weights import LocalWeights
from atlaspatch_core.errors import InvalidProject, MissingWeights, NotFinite, WrongWeights

pytestmark = pytest.mark.quick
SIDE = 8


class Projected(torch.nn.Module):
    """Mean colour through a random layer."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(3, 2)

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        return self.layer(pixels.mean((2, 3)))


def encoder_of(module: object, dim: int = 2) -> PatchEncoder:
    return PatchEncoder.from_module("own", module, dim=dim, image_size=SIDE)  # pyright: ignore[reportArgumentType]


def patches(count: int = 3) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, SIDE, SIDE, 3), dtype=np.uint8)


def digest_of(encoder: PatchEncoder | SlideEncoder) -> str:
    return encoder.spec()["weights"]["tensors_sha256"]


def test_a_module_sees_scaled_and_normalised_pixels_as_floats():
    seen = []

    class Mean(torch.nn.Module):
        def forward(self, pixels):
            seen.append((pixels.shape[1:], pixels.dtype))
            return pixels.mean((2, 3))

    mean, std = (0.5, 0.4, 0.3), (0.1, 0.2, 0.4)
    encoder = PatchEncoder.from_module("own", Mean(), dim=3, image_size=4, mean=mean, std=std)
    white = np.full((2, SIDE, SIDE, 3), 255, np.uint8)
    features = load_patch_encoder(encoder).encode(white)
    assert np.allclose(features, (1 - np.array(mean)) / std, atol=1e-5)
    assert set(seen) == {((3, 4, 4), torch.float32)}


def test_a_class_that_draws_its_weights_gives_the_same_each_time():
    first, second = (load_patch_encoder(encoder_of(Projected)).encode(patches()) for _ in range(2))
    assert np.array_equal(first, second)
    assert digest_of(encoder_of(Projected)) == digest_of(encoder_of(Projected))


def test_making_a_module_leaves_the_random_numbers_of_the_caller_alone():
    torch.manual_seed(7)
    expected = torch.rand(1)
    torch.manual_seed(7)
    load_patch_encoder(encoder_of(Projected))
    assert torch.equal(torch.rand(1), expected)


@pytest.mark.parametrize("change", ["layer.weight", "layer.bias", "scale"])
def test_any_changed_number_is_another_encoder(change):
    module = Projected()
    module.register_buffer("scale", torch.tensor(1.0), persistent=False)
    before = encoder_of(module)
    digest = digest_of(before)
    with torch.no_grad():
        module.get_parameter(change).add_(1) if "layer" in change else module.get_buffer(change).add_(1)
    assert digest_of(encoder_of(module)) != digest
    assert digest_of(before) == digest


def test_a_module_that_is_trained_later_changes_nothing_of_its_encoder():
    module = Projected()
    encoder = encoder_of(module)
    before = load_patch_encoder(encoder).encode(patches())
    with torch.no_grad():
        module.layer.bias.add_(1)
    assert np.array_equal(load_patch_encoder(encoder).encode(patches()), before)
    assert module.training
    assert module.layer.weight.requires_grad


def test_weights_of_a_file_take_the_place_of_its_own(tmp_path: Path):
    path = tmp_path / "own.pt"
    trained = {"layer.weight": torch.zeros(2, 3), "layer.bias": torch.tensor([1.0, 2.0])}
    torch.save(trained, path)
    encoder = encoder_of(Projected).with_local_weights(LocalWeights(path), path)
    assert np.array_equal(load_patch_encoder(encoder).encode(patches(1)), [[1, 2]])
    assert "tensors_sha256" not in encoder.spec()["weights"]


def returning(function):
    class Module(torch.nn.Module):
        def forward(self, pixels):
            return function(pixels)

    return Module


WRONG_OUTPUT = {
    "flat": (lambda pixels: pixels.mean((1, 2, 3)), r"own: gives an array of shape \(1,\), not \(patches, dim\)"),
    "a map": (lambda pixels: pixels, r"own: gives an array of shape \(1, 3, 8, 8\), not \(patches, dim\)"),
    "one row": (lambda pixels: torch.zeros_like(pixels[:1, 0, 0, :2]), None),
    "wide": (lambda pixels: torch.zeros(len(pixels), 5), "own: the network gives 5 features, declared are 2"),
    "a tuple": (lambda pixels: (pixels, pixels), r"own: gives a tuple; return a tensor \(patches, dim\)"),
    "a failure": (lambda pixels: pixels @ torch.zeros(1, 1), r"own: fails on pixels of shape \(1, 3, 8, 8\): .*, line"),
}


@pytest.mark.parametrize("kind", WRONG_OUTPUT)
def test_output_of_another_shape_is_refused_in_one_sentence(kind):
    function, said = WRONG_OUTPUT[kind]
    with pytest.raises(WrongWeights, match=said or r"own: gave shape \(1, 2\), not \(3, 2\)") as error:
        load_patch_encoder(encoder_of(returning(function))).encode(patches())
    assert "\n" not in str(error.value)


def test_numbers_that_are_not_finite_are_refused():
    loaded = load_patch_encoder(encoder_of(returning(lambda pixels: torch.full((len(pixels), 2), torch.nan))))
    with pytest.raises(NotFinite, match="own: gave NaN or infinite features in float32; look into its weights"):
        loaded.encode(patches())


def changing():
    module = Projected()
    torch.nn.init.constant_(module.layer.bias, np.random.default_rng().random())
    return module


def failing():
    raise KeyError("weights")


def missing():
    return torch.load("no/weights.pt")


@pytest.mark.parametrize(
    ("source", "error", "said"),
    [
        (3, InvalidProject, "own: 3 is no torch.nn.Module and makes none; give a module or its class"),
        (dict, InvalidProject, r"own: dict\(\) gives {}; return a torch.nn.Module"),
        (failing, InvalidProject, r"own: failing\(\) fails: KeyError: 'weights', at .*test_modules.py, line"),
        (missing, MissingWeights, r"own: missing\(\) fails: FileNotFoundError: .*no/weights.pt', at .*test_modules.py"),
        (changing, WrongWeights, r"own: changing\(\) gives other weights each time; load them from a file"),
    ],
)
def test_what_makes_no_module_is_refused_in_one_sentence(source, error, said):
    with pytest.raises(error, match=said):
        load_patch_encoder(encoder_of(source))


def test_a_module_embeds_the_features_of_a_slide():
    class Largest(torch.nn.Module):
        def forward(self, features):
            return features.amax(0)

    encoder = SlideEncoder.from_module("largest", Largest, patch_encoder="own", dim=2)
    features = np.random.default_rng(0).random((5, 2), np.float32)
    embedding = encode_slide(load_slide_encoder(encoder), features, np.zeros((5, 2), int), 8)
    assert np.array_equal(embedding, features.max(axis=0))
    assert encoder.spec()["forward"] == "module_on_bag"
    assert len(digest_of(encoder)) == 64


def test_declaring_the_class_of_a_module_in_a_plugin_builds_nothing(tmp_path: Path):
    path = tmp_path / "own.py"
    path.write_text(
        "from atlaspatch_core.encoders import PatchEncoder\n"
        "def network(): raise AssertionError\n"
        "PATCH_ENCODERS = [PatchEncoder.from_module('own', network, dim=2)]\n"
    )
    assert load_plugins([path]).patch["own"].dim == 2
