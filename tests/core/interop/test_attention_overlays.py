"""Kept attention is drawn where the patches lie, by the command and by Python, and what lacks is one sentence."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from click.testing import CliRunner
from exporting import make, paint
from known_attention import ABMIL, WIDTH, paint_scan, recipe_with_abmil, write_abmil

import atlaspatch_core as ap
from atlaspatch_core.cli.main import cli
from atlaspatch_core.errors import InvalidScores, NoAttention
from atlaspatch_core.interop.scores import ColourScale


@pytest.fixture(scope="module")
def lab(tmp_path_factory) -> Path:
    """Results at 10x of a 40x scan with attention, of another without, and of one without tissue; two heads."""
    folder = tmp_path_factory.mktemp("lab")
    recipe = recipe_with_abmil(folder, keep_attention=True)
    write_abmil(folder / "abmil.pt", WIDTH, heads=2)
    make(recipe, [paint_scan(folder, "kept")])
    make(recipe_with_abmil(folder), [paint_scan(folder, "without", seed=2), paint(folder, "empty", 0, mpp=0.25)])
    return folder


def overlay(*words: object):
    return CliRunner().invoke(cli, ["overlay", *map(str, words)])


def test_tiles_have_the_mean_of_the_heads_or_one_of_them(lab, tmp_path):
    attention, coords = (getattr(ap.results(lab / "out"), of)("kept") for of in ("attention", "coords"))
    assert attention.shape == (len(coords), 2)
    for head, values in ((None, attention.mean(axis=1)), (1, attention[:, 1])):
        words = ["--format", "geojson", "--to", tmp_path, *([] if head is None else ["--head", head])]
        said = overlay(lab / "out", "kept", "--attention", ABMIL, *words)
        assert said.exit_code == 0, said.output
        name = f"{ABMIL} attention" + ("" if head is None else ", head 1")
        tiles = json.loads((tmp_path / "kept.geojson").read_text())["features"]
        found = {tuple(t["geometry"]["coordinates"][0][0]): t["properties"]["measurements"][name] for t in tiles}
        assert found.keys() == {*map(tuple, coords.tolist())}
        drawn = [found[place] for place in map(tuple, coords.tolist())]
        np.testing.assert_allclose(drawn, values, rtol=1e-5)


def test_every_form_is_written_and_the_picture_has_the_colours_of_the_attention(lab, tmp_path):
    words = ["--format", "png", "--format", "ome-tiff", "--format", "geojson", "--format", "sheet", "--to", tmp_path]
    looks = ["--opacity", 1, "--beyond-tissue", "--colour-map", "coolwarm", "--longest", 1024, "--head", 0]
    said = overlay(lab / "out", "kept", "--attention", ABMIL, *words, *looks)
    assert said.exit_code == 0, said.output
    assert {path.name for path in tmp_path.iterdir()} == {
        "kept.png", "kept.ome.tif", "kept.geojson", "kept_patches.png"
    }  # fmt: skip
    values = ap.results(lab / "out").attention("kept")[:, 0].astype(float)
    heat = ap.heat_map(lab / "out", "kept", values, longest=1024, beyond_tissue=True).values
    inside = np.isfinite(heat)
    picture = cv2.imread(str(tmp_path / "kept.png"))[: heat.shape[0], : heat.shape[1], ::-1]
    wanted = ColourScale(values.min(), values.max(), "coolwarm").colours(heat[inside])
    assert np.abs(picture[inside].astype(int) - wanted).max() <= 1


def test_without_a_stem_slides_with_embedding_are_drawn_or_told(lab, tmp_path):
    said = overlay(lab / "out", "--attention", ABMIL.upper(), "--to", tmp_path, "--on-white")
    assert said.exit_code == 1
    assert f"FAILED without: no attention of {ABMIL} is kept in " in said.output
    assert "run again with --keep-attention" in said.output
    assert "2 slides: 1 drawn, 1 failed" in said.output
    assert (tmp_path / "kept.png").is_file()


@pytest.mark.parametrize(
    ("words", "why"),
    [
        ([], "give --scores or --attention, one of them"),
        (["--scores", __file__, "--attention", ABMIL], "give --scores or --attention, one of them"),
        (["--scores", __file__, "--head", 1], "--head is of --attention"),
        (["--attention", ABMIL, "--column", "p"], "--column is of --scores"),
        (["--attention", "titan"], "there is no encoder titan"),
        (["nobody", "--attention", ABMIL], "nobody: no such slide in "),
    ],
)
def test_wrong_usage_is_one_sentence(lab, words, why):
    said = overlay(lab / "out", *words)
    assert (said.exit_code, why in said.output) == (2, True), said.output


def test_a_head_that_is_not_there_and_a_slide_without_embedding_are_told(lab, tmp_path):
    said = overlay(lab / "out", "kept", "empty", "--attention", ABMIL, "--head", 2, "--to", tmp_path)
    assert said.exit_code == 1
    assert f"FAILED kept: {ABMIL} has no head 2; give one from 0 to 1" in said.output
    assert f"FAILED empty: it has no embedding of {ABMIL}" in said.output


def test_python_gives_the_same_heat_map_as_of_the_numbers_themselves(lab):
    read = ap.results(lab / "out")
    attention = read.attention("kept", ABMIL)
    for head, values in ((None, attention.mean(axis=1, dtype=float)), (1, attention[:, 1])):
        shown = ap.heat_map(read, "kept", attention=ABMIL, head=head, longest=200)
        np.testing.assert_array_equal(shown.values, ap.heat_map(read, "kept", values, longest=200).values)
    with pytest.raises(NoAttention, match="without: no attention"):
        ap.heat_map(read, "without", attention=ABMIL)
    with pytest.raises(InvalidScores, match="kept: give scores or attention, one of them"):
        ap.heat_map(read, "kept", attention[:, 0], attention=ABMIL)
