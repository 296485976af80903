"""Slide encoders without a network: mean, largest value, and both, of every patch encoder."""

import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest
import timm
import torch
from painting import paint_slide, stain, white
from safetensors.torch import save_file

from atlaspatch_core.config.project import make_project
from atlaspatch_core.consent import executing_nothing
from atlaspatch_core.discovery.sources import SlideSource
from atlaspatch_core.encoders.inference import encode_slide
from atlaspatch_core.encoders.loading import load_slide_encoder
from atlaspatch_core.encoders.patch import PATCH_ENCODERS
from atlaspatch_core.encoders.patch.trident import as_trident
from atlaspatch_core.encoders.slide import SLIDE_ENCODERS, find_slide_encoder
from atlaspatch_core.errors import UnknownName, WrongWeights
from atlaspatch_core.interop.export.trident import trident_name
from atlaspatch_core.pipeline.processing import process
from atlaspatch_core.validity.recipe import make_recipe

pytestmark = pytest.mark.quick

FEATURES = np.array([[1, 5], [3, 4], [2, -9]], np.float32)
COORDS = np.array([[0, 0], [256, 0], [512, 0]], np.int64)


@pytest.mark.parametrize(
    ("name", "expected"),
    [("mean", [2, 0]), ("max", [3, 5]), ("meanmax", [2, 0, 3, 5])],
)
def test_patches_are_pooled_over_the_slide(name: str, expected: list[float]):
    encoder = find_slide_encoder(f"{name}-timm-test_vit")
    embedding = encode_slide(load_slide_encoder(encoder), FEATURES, COORDS, 256)
    assert embedding.tolist() == expected
    assert embedding.dtype == np.float32


@pytest.mark.parametrize("prefix", ["max-", "meanmax-"])
def test_every_patch_encoder_has_its_poolings_and_none_is_listed(prefix: str):
    times = 2 if prefix == "meanmax-" else 1
    for name, patch_encoder in PATCH_ENCODERS.items():
        encoder = find_slide_encoder(f"{prefix}{name}")
        assert (encoder.patch_encoder, encoder.license) == (name, patch_encoder.license)
        assert encoder.dim == (None if patch_encoder.dim is None else times * patch_encoder.dim)
    assert not any(name.startswith(prefix) for name in SLIDE_ENCODERS)


def test_an_alias_or_another_case_is_the_same_pooling():
    assert find_slide_encoder("MeanMax-Virchow2") == find_slide_encoder("meanmax-virchow_v2")


def test_a_pooling_of_an_unknown_patch_encoder_is_answered_with_near_names():
    with pytest.raises(UnknownName, match=r"near names: .*uni_v1"):
        find_slide_encoder("max-uni_v")


def test_tridents_names_are_translated_behind_each_prefix():
    assert as_trident("max-resnet50") == "max-resnet50_layer3"
    assert trident_name("meanmax-h_optimus_0") == "meanmax-hoptimus0"


def test_poolings_are_told_apart_by_what_decides_their_numbers():
    specs = [find_slide_encoder(f"{name}-uni_v1").spec()["forward"] for name in ("mean", "max", "meanmax")]
    assert specs == ["mean_of_patches", "max_of_patches", "mean_and_max_of_patches"]


def test_a_slide_is_pooled_from_features_that_are_encoded_once(tmp_path: Path):
    """All three take one dataset of features, and a second run reuses each."""
    names = ["mean-timm-test_vit", "max-timm-test_vit", "meanmax-timm-test_vit"]
    source = SlideSource("a", paint_slide(tmp_path / "a.svs", stain(white(512, 512), 0, 0, 512, 512)))
    torch.manual_seed(0)
    torch.save(timm.create_model("test_vit", num_classes=0).state_dict(), tmp_path / "vit.pt")
    values = {
        "output": tmp_path / "out",
        "geometry": [{"patch_size": 256, "target_mag": 20, "precision": "float32", "slide_encoders": names}],
        "weights": {"timm-test_vit": tmp_path / "vit.pt"},
        "runtime": {"device": "cpu", "read_workers": 1, "threads": 1},
    }
    steps = [str(outcome.step) for outcome in process([source], make_recipe(make_project(values, origin="test")))]
    assert steps.count("patch_features/timm-test_vit") == 1
    with h5py.File(tmp_path / "out" / "patches" / "a.h5") as file:
        features = file["features/timm-test_vit"][()]
        mean, largest, both = (file[f"slide_features/{name}"][()] for name in names)
    np.testing.assert_allclose(mean, features.mean(axis=0), atol=1e-6)
    assert largest.tolist() == features.max(axis=0).tolist()
    assert both.tolist() == [*mean, *largest]
    again = [*process([source], make_recipe(make_project(values, origin="test")))]
    assert {outcome.status.value for outcome in again if outcome.step.kind == "slide_embedding"} == {"reused"}


PLUGIN = """
import torch
from atlaspatch_core.encoders import PatchEncoder, SlideEncoder

PATCH_ENCODERS = [
    PatchEncoder.from_module("tint", torch.nn.Sequential(torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten()), dim=3)
]


class Least(torch.nn.Module):
    def forward(self, features):
        return features.amin(dim=0)


SLIDE_ENCODERS = [SlideEncoder.from_module("max-tint", Least, patch_encoder="tint", dim=3, license="MIT")]
"""


def test_a_plugin_that_took_such_a_name_before_keeps_it_where_it_is_not_executed(tmp_path: Path):
    source = SlideSource("a", paint_slide(tmp_path / "a.svs", stain(white(512, 512), 0, 0, 512, 512)))
    (tmp_path / "tint.py").write_text(PLUGIN)
    geometry = {"patch_size": 256, "target_mag": 20, "slide_encoders": ["max-tint", "mean-tint"]}
    values = {
        "output": tmp_path / "out",
        "plugins": [tmp_path / "tint.py"],
        "geometry": [geometry],
        "runtime": {"device": "cpu", "read_workers": 1, "threads": 1},
    }
    project = make_project(values, origin="test")
    *_, least, _ = process([source], make_recipe(project))
    with executing_nothing():
        recorded = make_recipe(project)
    assert recorded.stage(least.step).spec == least.recipe
    shutil.rmtree(tmp_path / "out")
    with executing_nothing():
        assert make_recipe(project).stage(least.step).spec["forward"] == "max_of_patches"


def gated_pooling(state: dict[str, torch.Tensor], features: torch.Tensor) -> torch.Tensor:
    """Return gated attention pooling as Ilse et al. 2018 write it, in float64."""
    values = {name.removeprefix("model."): tensor.double() for name, tensor in state.items()}

    def layer(name: str, given: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.linear(given, values[f"{name}.weight"], values[f"{name}.bias"])

    hidden = layer("patch_embed.0", features.double()).relu()
    gate = layer("global_attn.attention_b.0", hidden).sigmoid()
    scores = layer("global_attn.attention_c", layer("global_attn.attention_a.0", hidden).tanh() * gate)
    return (scores.softmax(dim=0) * hidden).sum(dim=0)


def feather_checkpoint(width: int) -> dict[str, torch.Tensor]:
    """Return the layers of FEATHER as its makers publish them, drawn by chance."""
    layers = {
        "patch_embed.0": torch.nn.Linear(width, 512),
        "global_attn.attention_a.0": torch.nn.Linear(512, 384),
        "global_attn.attention_b.0": torch.nn.Linear(512, 384),
        "global_attn.attention_c": torch.nn.Linear(384, 1),
        "classifier": torch.nn.Linear(512, 108),
    }
    return {
        f"model.{name}.{kind}": tensor.detach()
        for name, layer in layers.items()
        for kind, tensor in layer.named_parameters()
    }


def test_feather_of_uni_pools_1024_features_by_gated_attention(tmp_path: Path):
    torch.manual_seed(5)
    state, features = feather_checkpoint(1024), torch.randn(9, 1024)
    save_file(state, tmp_path / "feather.safetensors")
    loaded = load_slide_encoder(find_slide_encoder("feather_uni", {"feather_uni": tmp_path / "feather.safetensors"}))
    embedding = encode_slide(loaded, features.numpy(), np.zeros((9, 2), np.int64), 256)
    np.testing.assert_allclose(embedding, gated_pooling(state, features).numpy(), atol=1e-5)
    assert sum(tensor.numel() for tensor in loaded.network.parameters()) == 919_169


def test_feather_of_uni_refuses_the_checkpoint_of_another_feather(tmp_path: Path):
    save_file(feather_checkpoint(1536), tmp_path / "feather.safetensors")
    with pytest.raises(WrongWeights, match=r"feather_uni: .*patch_embed.0.weight \(512, 1536\) for \(512, 1024\)"):
        load_slide_encoder(find_slide_encoder("feather_uni", {"feather_uni": tmp_path / "feather.safetensors"}))
