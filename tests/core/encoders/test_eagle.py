"""EAGLE: attention over the features of one encoder picks the patches whose other features are averaged."""

from pathlib import Path

import h5py
import numpy as np
import pytest
from click.testing import CliRunner
from eagle_files import SMALL, chief_checkpoint, eagle_by_hand, paint_gradient

from atlaspatch_core.cli.main import cli
from atlaspatch_core.config.project import make_project
from atlaspatch_core.encoders.inference import encode_slide, slide_attention
from atlaspatch_core.encoders.loading import load_slide_encoder
from atlaspatch_core.encoders.slide import find_slide_encoder
from atlaspatch_core.errors import GeometryMismatch, MissingWeights, WrongWeights
from atlaspatch_core.operations.fetching import named_networks
from atlaspatch_core.validity.recipe import make_recipe

pytestmark = pytest.mark.quick


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


def test_weights_of_the_network_of_virchow2_hold_for_its_class_token(tmp_path: Path):
    slide = paint_gradient(tmp_path / "a.svs")
    options = ["--output", tmp_path / "out", "--slide-encoders", "eagle", "--patch-size", 224, "--target-mpp", 2]
    for name in ("virchow_v2", "eagle", "ctranspath-original"):
        (tmp_path / name).touch()
        options += ["--patch-encoder-ckpt-path", f"{name}={tmp_path / name}"]
    result = CliRunner().invoke(cli, ["encode-slide", *map(str, (slide, *options)), "--dry-run"])
    assert result.exit_code == 0, result.output


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
