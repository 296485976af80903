"""Every door keeps attention where it is asked to: commands, Python, project files, encoders of plugins, exports."""

from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from click.testing import CliRunner
from known_attention import ABMIL, PATCH_ENCODER, attention_by_hand, paint_scan, recipe_with_abmil
from plugins import plugin_file

import atlaspatch_core as ap
from atlaspatch_core.cli.main import cli
from atlaspatch_core.config.project import load_project
from atlaspatch_core.interop import export_slides
from atlaspatch_core.pipeline.processing import process
from atlaspatch_core.validity.outcome import Status
from atlaspatch_core.validity.recipe import make_recipe

OWN_ENCODER = f"""
from atlaspatch_core.encoders import SlideEncoder


def weigh(network, features, coords, side):
    return coords.astype("float32") + side


SLIDE_ENCODERS = [
    SlideEncoder(name="own", patch_encoder="{PATCH_ENCODER}", dim=None, license="MIT", attention=weigh,
                 forward=lambda network, features, coords, side: features.max(axis=0)),
]
"""


@pytest.fixture
def scan(tmp_path) -> Path:
    recipe_with_abmil(tmp_path)  # writes the weights
    return paint_scan(tmp_path, "a").path


def words_of(folder: Path) -> list[str]:
    weights = {ABMIL: folder / "abmil.pt", PATCH_ENCODER: folder / "vit.pt"}
    named = [word for name, path in weights.items() for word in ("--patch-encoder-ckpt-path", f"{name}={path}")]
    geometry = ["--patch-size", "64", "--target-mag", "10", "--slide-encoders", ABMIL, "--segmenter", "otsu"]
    return [*named, *geometry, "--output", str(folder / "out"), "--device", "cpu", "--keep-attention"]


def by_encode_slide(folder: Path, scan: Path) -> None:
    said = CliRunner().invoke(cli, ["encode-slide", str(scan), *words_of(folder)])
    assert (said.exit_code, f"{ABMIL} embedding with attention computed" in said.output) == (0, True), said.output


def by_run(folder: Path, scan: Path) -> None:
    said = CliRunner().invoke(cli, ["run", "--task", "all", "--wsi-dir", str(scan), *words_of(folder)])
    assert said.exit_code == 0, said.output


def by_python(folder: Path, scan: Path) -> None:
    weights = {ABMIL: folder / "abmil.pt", PATCH_ENCODER: folder / "vit.pt"}
    options = {"slide_encoders": ABMIL, "weights": weights, "device": "cpu", "keep_attention": True}
    ap.process(scan, folder / "out", patch_size=64, target_mag=10, **options)


def by_project_file(folder: Path, scan: Path) -> None:
    text = f"""
output = "out"
[slides]
folders = ["{scan.name}"]
[[geometry]]
patch_size = 64
target_mag = 10
slide_encoders = ["{ABMIL}"]
keep_attention = true
[weights]
"{ABMIL}" = "abmil.pt"
"{PATCH_ENCODER}" = "vit.pt"
[runtime]
device = "cpu"
"""
    (folder / "atlaspatch.toml").write_text(text)
    recipe = make_recipe(load_project(folder / "atlaspatch.toml"))
    outcomes = list(process([paint_scan(folder, "a")], recipe))
    assert not [outcome.why for outcome in outcomes if outcome.status is Status.FAILED]


@pytest.mark.parametrize("keep", [by_encode_slide, by_run, by_python, by_project_file])
def test_every_door_keeps_the_attention_of_the_features_that_it_stores(tmp_path, scan, keep):
    keep(tmp_path, scan)
    [path] = (tmp_path / "out").rglob("patches/a.h5")
    with h5py.File(path) as file:
        by_hand = attention_by_hand(tmp_path / "abmil.pt", file[f"features/{PATCH_ENCODER}"][()])
        np.testing.assert_allclose(file[f"attention/{ABMIL}"][()], by_hand, rtol=2e-4, atol=1e-7)


def test_a_dry_run_says_which_attention_is_to_be_added_and_adds_none(tmp_path, scan):
    words = words_of(tmp_path)
    assert CliRunner().invoke(cli, ["encode-slide", str(scan), *words[:-1]]).exit_code == 0
    runs = (["--dry-run"], ["--dry-run"], [], ["--dry-run"])
    lines = [CliRunner().invoke(cli, ["encode-slide", str(scan), *words, *more]).output for more in runs]
    assert f"a: slide_embedding/{ABMIL}: its attention is to be computed from stored features" in lines[0]
    assert "1 slide: 0 to compute, 1 up to date" in lines[0]
    assert lines[0] == lines[1]
    assert "reused (its attention was computed from stored features)" in lines[2]
    assert "a: nothing to do" in lines[3]


def test_an_encoder_of_a_plugin_may_say_how_it_weighs_the_patches(tmp_path, scan):
    plugin = plugin_file(OWN_ENCODER)
    weights, more = {PATCH_ENCODER: tmp_path / "vit.pt"}, {"plugins": [plugin], "device": "cpu", "keep_attention": True}
    ap.process(scan, tmp_path / "out", patch_size=64, target_mag=10, slide_encoders="own", weights=weights, **more)
    read = ap.results(tmp_path / "out")
    assert np.array_equal(read.attention("a", "own"), read.coords("a") + read.patch_size_level0("a"))


def test_the_layout_pt_has_it_beside_the_embedding_once_it_is_kept(tmp_path, scan):
    exported = tmp_path / "exported"
    for keeps in (False, True, True):
        recipe = recipe_with_abmil(tmp_path, keep_attention=keeps)
        list(process([paint_scan(tmp_path, "a")], recipe))
        [slide] = export_slides(recipe, "pt", exported)
        found = torch.load(exported / f"slide_features_{ABMIL}" / "a.pt", weights_only=True)
        assert ("attention" in found) == keeps
    assert np.array_equal(found["attention"].numpy(), ap.results(tmp_path / "out").attention("a"))
    assert not slide.written


@pytest.mark.parametrize("encoders", [[], [f"max-{PATCH_ENCODER}"], [f"max-{PATCH_ENCODER}", f"mean-{PATCH_ENCODER}"]])
@pytest.mark.parametrize("strict", [False, True])
def test_attention_that_no_encoder_tells_is_told_of_before_the_work(tmp_path, scan, encoders, strict):
    words = [word for word in words_of(tmp_path) if not word.startswith(f"{ABMIL}=")]
    words = [*words[1 : words.index("--slide-encoders")], *words[words.index("--slide-encoders") + 2 :]]
    named = ["--slide-encoders", ",".join(encoders)] if encoders else ["--patch-encoders", PATCH_ENCODER]
    said = CliRunner().invoke(cli, ["encode-slide", str(scan), *words, *named, *(["--strict"] if strict else [])])
    names = ", ".join(encoders) or "there is none"
    assert f"no slide encoder tells how much each patch counts ({names}); name one that" in said.output
    assert said.exit_code == (2 if strict else 0), said.output
    assert (tmp_path / "out").exists() != strict
