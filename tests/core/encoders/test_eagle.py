"""EAGLE: attention over the features of one encoder picks the patches whose other features are averaged."""

from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from click.testing import CliRunner
from painting import paint_slide

from atlaspatch_core.cli.main import cli
from atlaspatch_core.config.project import make_project
from atlaspatch_core.encoders.inference import encode_slide, slide_attention
from atlaspatch_core.encoders.loading import load_slide_encoder
from atlaspatch_core.encoders.slide import find_slide_encoder
from atlaspatch_core.errors import GeometryMismatch, MissingWeights, WrongWeights
from atlaspatch_core.operations.fetching import named_networks
from atlaspatch_core.validity.recipe import make_recipe

pytestmark = pytest.mark.quick

SMALL = """
from dataclasses import replace

import torch

from atlaspatch_core.encoders.declaration import PatchEncoder
from atlaspatch_core.encoders.slide import SLIDE_ENCODERS as OURS


def colours(width):
    mean_colour = torch.nn.Sequential(torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten())
    return torch.nn.Sequential(mean_colour, torch.nn.Linear(3, width), torch.nn.Tanh())


PATCH_ENCODERS = [
    PatchEncoder.from_module("picking", lambda: colours(768), dim=768, image_size=None),
    PatchEncoder.from_module("averaged", lambda: colours(1280), dim=1280, image_size=None),
]
SLIDE_ENCODERS = [
    replace(OURS["eagle"], name="small-eagle", patch_encoder="picking", further_patch_encoders=("averaged",))
]
"""
"""EAGLE itself over two encoders that a test can afford."""


def chief_checkpoint(path: Path, seed: int = 0, width: int = 768) -> dict[str, torch.Tensor]:
    """Write CHIEF_pretraining.pth with numbers drawn by chance, named and shaped as its makers publish it."""
    torch.manual_seed(seed)
    layers = {
        "attention_net.0": torch.nn.Linear(width, 512),
        "attention_net.3.attention_a.0": torch.nn.Linear(512, 256),
        "attention_net.3.attention_b.0": torch.nn.Linear(512, 256),
        "attention_net.3.attention_c": torch.nn.Linear(256, 1),
        "classifiers": torch.nn.Linear(512, 2),
        "text_to_vision.0": torch.nn.Linear(768, 512),
    }
    state = {
        f"{name}.{kind}": tensor.detach() * 3
        for name, layer in layers.items()
        for kind, tensor in layer.named_parameters()
    }
    torch.save({"organ_embedding": torch.randn(19, 768), **state}, path)
    return state


def eagle_by_hand(state: dict[str, torch.Tensor], by_attention: np.ndarray, averaged: np.ndarray) -> np.ndarray:
    """Return what the makers' script does with the raw attention of CHIEF, in float64."""
    values = {name.removeprefix("attention_net."): tensor.double() for name, tensor in state.items()}

    def layer(name: str, given: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.linear(given, values[f"{name}.weight"], values[f"{name}.bias"])

    hidden = layer("0", torch.from_numpy(by_attention).double()).relu()
    gated = layer("3.attention_a.0", hidden).tanh() * layer("3.attention_b.0", hidden).sigmoid()
    raw = layer("3.attention_c", gated).squeeze(1)
    _, indices = torch.topk(raw, min(25, len(raw)))
    return averaged[indices.numpy()].mean(axis=0)


@pytest.mark.parametrize("count", [1, 25, 60])
def test_the_class_tokens_of_the_25_patches_of_most_attention_are_averaged(tmp_path: Path, count: int):
    state, chance = chief_checkpoint(tmp_path / "CHIEF_pretraining.pth"), np.random.default_rng(3)
    by_attention, averaged = (chance.normal(size=(count, width)).astype(np.float32) for width in (768, 1280))
    loaded = load_slide_encoder(find_slide_encoder("eagle", {"eagle": tmp_path / "CHIEF_pretraining.pth"}))
    embedding = encode_slide(loaded, (by_attention, averaged), np.zeros((count, 2), np.int64), 896)
    np.testing.assert_allclose(embedding, eagle_by_hand(state, by_attention, averaged), atol=1e-6)
    assert np.allclose(embedding, averaged.mean(axis=0), atol=1e-6) == (count <= 25)


def test_of_patches_of_the_same_attention_the_first_are_picked(tmp_path: Path):
    chief_checkpoint(tmp_path / "CHIEF_pretraining.pth")
    averaged = np.repeat(np.arange(40, dtype=np.float32)[:, None], 1280, axis=1)
    loaded = load_slide_encoder(find_slide_encoder("eagle", {"eagle": tmp_path / "CHIEF_pretraining.pth"}))
    embedding = encode_slide(loaded, (np.ones((40, 768), np.float32), averaged), np.zeros((40, 2), np.int64), 896)
    assert embedding.tolist() == [12] * 1280
    attention = slide_attention(loaded, (np.ones((40, 768), np.float32), averaged), np.zeros((40, 2), np.int64), 896)
    assert attention.tolist() == pytest.approx([1 / 25] * 25 + [0] * 15)


def test_a_checkpoint_of_another_network_is_refused_and_a_missing_one_asked_for(tmp_path: Path):
    chief_checkpoint(tmp_path / "other.pth", width=1024)
    with pytest.raises(WrongWeights, match=r"eagle: .*patch_embed.0.weight \(512, 1024\) for \(512, 768\)"):
        load_slide_encoder(find_slide_encoder("eagle", {"eagle": tmp_path / "other.pth"}))
    with pytest.raises(MissingWeights, match=r"eagle: .*get CHIEF_pretraining.pth from .*ckpt-path eagle=PATH"):
        load_slide_encoder(find_slide_encoder("eagle"))


def recipe(**geometry):
    values = {"patch_size": 224, "target_mpp": 2, "slide_encoders": ["eagle"], "input_size": None} | geometry
    return make_recipe(make_project({"geometry": [values]}, origin="test"))


def test_its_patch_encoders_run_by_themselves_and_no_scale_is_warned_of():
    made = recipe()
    assert [str(stage.step) for stage in made.stages][3:] == [
        "patch_features/ctranspath-original",
        "patch_features/virchow_v2_cls",
        "slide_embedding/eagle",
    ]
    assert [step.encoder for step in made.stages[-1].features] == ["ctranspath-original", "virchow_v2_cls"]
    assert made.warnings == ()


def test_patches_of_another_scale_are_refused():
    with pytest.raises(GeometryMismatch, match=r"eagle needs 5x\); take patch size 224 at 5x"):
        recipe(target_mpp=0.5)


def test_its_weights_are_fetched_with_those_of_both_patch_encoders():
    assert [needed.name for needed in named_networks(["eagle"])] == ["ctranspath-original", "virchow_v2_cls", "eagle"]


def test_a_path_of_weights_without_a_name_could_be_either_encoders(tmp_path: Path):
    (tmp_path / "slides").mkdir()
    chief_checkpoint(tmp_path / "CHIEF_pretraining.pth")
    options = ["--task", "feat", "--wsi_dir", tmp_path / "slides", "--job_dir", tmp_path / "out", "--patch_size", 224]
    options += ["--mag", 5, "--slide_encoder", "eagle", "--patch_encoder_ckpt_path", tmp_path / "CHIEF_pretraining.pth"]
    result = CliRunner().invoke(cli, ["run", *map(str, options)])
    assert result.exit_code == 2
    assert "say whose it is, as in ctranspath-original=" in " ".join(result.output.split())


def paint_gradient(path: Path) -> Path:
    """Paint a slide of 36 patches of 112 px, each of another colour."""
    pixels = np.full((1024, 1024, 3), 255, np.uint8)
    for row in range(6):
        for column in range(6):
            x, y = 112 * (1 + column), 112 * (1 + row)
            pixels[y : y + 112, x : x + 112] = (150 + 15 * row, 30 + 15 * column, 100 + 3 * row * column)
    return paint_slide(path, pixels, mpp=2)


@pytest.mark.e2e
def test_encode_slide_picks_with_one_encoder_and_averages_the_other(tmp_path: Path):
    state = chief_checkpoint(tmp_path / "CHIEF_pretraining.pth", seed=1)
    (tmp_path / "small.py").write_text(SMALL.replace('name="small-eagle"', 'name="small-eagle", patch_size=112'))
    slide = paint_gradient(tmp_path / "a.svs")
    options = {
        "--output": tmp_path / "out",
        "--slide-encoders": "small-eagle",
        "--patch-size": 112,
        "--target-mpp": 2,
        "--plugin": tmp_path / "small.py",
        "--patch-encoder-ckpt-path": f"small-eagle={tmp_path / 'CHIEF_pretraining.pth'}",
        "--device": "cpu",
    }
    arguments = [str(word) for pair in options.items() for word in pair]
    result = CliRunner().invoke(cli, ["encode-slide", str(slide), *arguments])
    assert result.exit_code == 0, result.output
    with h5py.File(tmp_path / "out" / "patches" / "a.h5") as file:
        names = ("features/picking", "features/averaged", "slide_features/small-eagle")
        by_attention, averaged, embedding = (file[name][()] for name in names)  # pyright: ignore
    assert len(averaged) >= 36
    np.testing.assert_allclose(embedding, eagle_by_hand(state, by_attention, averaged), atol=1e-5)
    assert not np.allclose(embedding, averaged.mean(axis=0), atol=1e-3)
